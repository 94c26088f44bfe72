"""What `fanout doctor` says about object events: whether the bucket tells of new objects, and how to have it do so."""

from __future__ import annotations

import json
import shlex
from typing import Any

import boto3
import pytest

from cli.commands.doctor import CHECKS, CheckFailedError, Verdict
from cli.deployment import Deployment
from fanout.settings import ClaimSettings, DispatchSettings

QUEUE = "arn:aws:sqs:us-east-1:123456789012:stack-object-events"
RULE = {"Name": "Prefix", "Value": "log/"}
LEADS: dict[str, Any] = {
    "QueueArn": QUEUE,
    "Events": ["s3:ObjectCreated:*"],
    "Filter": {"Key": {"FilterRules": [RULE]}},
}


class Bucket:
    """S3 with one bucket's notifications."""

    def __init__(self, *queues: dict[str, Any]) -> None:
        self._queues = list(queues)

    def get_bucket_notification_configuration(self, Bucket: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        assert Bucket == "theirs"
        return {"ResponseMetadata": {}, **({"QueueConfigurations": self._queues} if self._queues else {})}


class Stack(Deployment):
    """A stack with a change log in a bucket of the user's."""

    def __init__(self, discovery: str, *queues: dict[str, Any], mode: str = "manifest", own: str = "stacks") -> None:
        super().__init__(boto3.session.Session(region_name="us-east-1"), "stack", None)
        self._clients["s3"] = Bucket(*queues)
        self.outputs = {"ObjectEventsQueueArn": QUEUE, "ChangeLogDir": "s3://theirs/log", "DataBucketName": own}
        self.dispatching = DispatchSettings.model_construct(discovery=discovery, sweep_minutes=90)
        self.planning = ClaimSettings.model_construct(bookmark_mode=mode)


def check(stack: Stack) -> str:
    return CHECKS["object events"](stack)


def command(text: str) -> dict[str, Any]:
    """The notifications that the one command in a text sets; it must be one for a shell."""
    words = shlex.split(text.split("`")[1])
    assert words[:5] == ["aws", "s3api", "put-bucket-notification-configuration", "--bucket", "theirs"]
    assert words[5] == "--notification-configuration"
    found: dict[str, Any] = json.loads(words[6])
    return found


@pytest.mark.parametrize("notification", [LEADS, {key: LEADS[key] for key in ("QueueArn", "Events")}])
def test_a_bucket_that_tells_of_every_new_object_is_well(notification: dict[str, Any]) -> None:
    assert check(Stack("events", notification)) == "s3://theirs/log/ sends an event for each new object to the queue"


@pytest.mark.parametrize("split", [False, True])
def test_notifications_that_list_every_way_to_create_an_object_are_well(split: bool) -> None:
    ways = ["Put", "Post", "Copy", "CompleteMultipartUpload"]
    listed = [[f"s3:ObjectCreated:{way}"] for way in ways] if split else [[f"s3:ObjectCreated:{way}" for way in ways]]

    said = check(Stack("events", *({**LEADS, "Events": events} for events in listed)))

    assert said == "s3://theirs/log/ sends an event for each new object to the queue"


@pytest.mark.parametrize("others", [[], [{**LEADS, "QueueArn": QUEUE + "-other"}]])
def test_a_bucket_that_tells_nothing_fails_with_the_command_that_mends_it(others: list[dict[str, Any]]) -> None:
    with pytest.raises(CheckFailedError, match=r"sends no events of new objects.*up to 90 minutes") as caught:
        check(Stack("events", *others))

    assert caught.value.verdict is Verdict.FAIL
    assert "replaces the bucket's other notifications" in caught.value.advice
    (mended,) = command(caught.value.advice)["QueueConfigurations"]
    assert check(Stack("events", mended))


@pytest.mark.parametrize(
    "part",
    [
        {"Events": ["s3:ObjectCreated:Put"]},
        {"Events": [f"s3:ObjectCreated:{way}" for way in ("Put", "Post", "Copy")]},
        {"Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "log/provider=a"}]}}},
        {"Filter": {"Key": {"FilterRules": [RULE, {"Name": "Suffix", "Value": ".gz"}]}}},
    ],
)
def test_a_bucket_that_tells_of_some_new_objects_only_is_warned_of(part: dict[str, Any]) -> None:
    with pytest.raises(CheckFailedError, match="sends only some events of new objects") as caught:
        check(Stack("events", {**LEADS, **part}))

    assert caught.value.verdict is Verdict.WARN


def test_polling_says_that_every_due_provider_is_started_and_how_to_switch() -> None:
    said = check(Stack("poll"))

    assert "every due provider is started" in said
    assert said.endswith("then deploy with Discovery=events")
    assert command(said)["QueueConfigurations"] == [
        {**LEADS, "Filter": {"Key": {"FilterRules": [RULE | {"Name": "prefix"}]}}}
    ]


def test_polling_the_stack_s_own_bucket_needs_only_the_setting() -> None:
    said = check(Stack("poll", own="theirs"))

    assert said.endswith("to start only providers with new objects, deploy with Discovery=events")


def test_polling_with_glue_s_bookmarks_cannot_be_switched() -> None:
    assert check(Stack("poll", mode="glue")).endswith("BookmarkMode=glue allows no other")
