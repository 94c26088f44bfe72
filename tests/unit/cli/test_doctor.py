"""`fanout doctor` and object events: whether the bucket sends an event for each new object, and how to set that up."""

from __future__ import annotations

import json
import shlex
from typing import Any

import boto3
import pytest

from cli.commands.doctor import CHECKS, CheckFailedError, Outcome
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
        self.others: dict[str, Any] = {}

    def get_bucket_notification_configuration(self, Bucket: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
        assert Bucket == "theirs"
        return {**self.others, **({"QueueConfigurations": self._queues} if self._queues else {})}


class Stack(Deployment):
    """A stack with a change log in another bucket."""

    def __init__(self, discovery: str, *queues: dict[str, Any], mode: str = "manifest", own: str = "stacks") -> None:
        super().__init__(boto3.session.Session(region_name="us-east-1"), "stack", None)
        self._clients["s3"] = Bucket(*queues)
        self.outputs = {"ObjectEventsQueueArn": QUEUE, "ChangeLogDir": "s3://theirs/log", "DataBucketName": own}
        self.dispatching = DispatchSettings.model_construct(discovery=discovery, sweep_minutes=90)
        self.planning = ClaimSettings.model_construct(bookmark_mode=mode)


def check(stack: Stack) -> str:
    return CHECKS["object events"](stack)


def command(text: str) -> dict[str, Any]:
    """The notifications that the shell command in a text sets."""
    words = shlex.split(text.split("`")[1])
    assert words[:5] == ["aws", "s3api", "put-bucket-notification-configuration", "--bucket", "theirs"]
    assert words[5] == "--notification-configuration"
    found: dict[str, Any] = json.loads(words[6])
    return found


@pytest.mark.parametrize("notification", [LEADS, {key: LEADS[key] for key in ("QueueArn", "Events")}])
def test_a_bucket_that_sends_an_event_for_every_new_object_is_ok(notification: dict[str, Any]) -> None:
    assert check(Stack("events", notification)) == "s3://theirs/log/ sends an event for each new object to the queue"


@pytest.mark.parametrize("split", [False, True])
def test_notifications_that_list_every_event_of_new_objects_are_ok(split: bool) -> None:
    ways = ["Put", "Post", "Copy", "CompleteMultipartUpload"]
    listed = [[f"s3:ObjectCreated:{way}"] for way in ways] if split else [[f"s3:ObjectCreated:{way}" for way in ways]]

    said = check(Stack("events", *({**LEADS, "Events": events} for events in listed)))

    assert said == "s3://theirs/log/ sends an event for each new object to the queue"


@pytest.mark.parametrize("others", [[], [{**LEADS, "QueueArn": QUEUE + "-other"}]])
def test_a_bucket_that_sends_no_events_fails_with_the_command_that_corrects_it(others: list[dict[str, Any]]) -> None:
    with pytest.raises(
        CheckFailedError, match=r"^s3://theirs/log/ sends no events of new objects.*up to 90 minutes$"
    ) as caught:
        check(Stack("events", *others))

    assert caught.value.outcome is Outcome.FAIL
    assert "replaces the bucket's other notifications" in caught.value.advice
    (corrected,) = command(caught.value.advice)["QueueConfigurations"]
    assert check(Stack("events", corrected))


@pytest.mark.parametrize("others", [{}, {"EventBridgeConfiguration": {}}])
@pytest.mark.parametrize(
    "part",
    [
        {"Events": ["s3:ObjectCreated:Put"]},
        {"Events": [f"s3:ObjectCreated:{way}" for way in ("Put", "Post", "Copy")]},
        {"Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "log/provider=a"}]}}},
        {"Filter": {"Key": {"FilterRules": [RULE, {"Name": "Suffix", "Value": ".gz"}]}}},
    ],
)
def test_a_bucket_that_sends_events_of_only_some_new_objects_gives_a_warning(
    part: dict[str, Any], others: dict[str, Any]
) -> None:
    stack = Stack("events", {**LEADS, **part})
    stack._clients["s3"].others = others

    with pytest.raises(CheckFailedError, match="sends only some events of new objects") as caught:
        check(stack)

    assert caught.value.outcome is Outcome.WARN


def test_with_polling_every_due_provider_is_started_and_the_check_says_how_to_switch() -> None:
    said = check(Stack("poll"))

    assert "every due provider is started" in said
    assert said.endswith("then deploy with Discovery=events")
    assert command(said)["QueueConfigurations"] == [
        {**LEADS, "Filter": {"Key": {"FilterRules": [RULE | {"Name": "prefix"}]}}}
    ]


def test_with_the_stack_s_own_bucket_only_the_setting_has_to_change() -> None:
    said = check(Stack("poll", own="theirs"))

    assert said.endswith("to start only providers with new objects, deploy with Discovery=events")


def test_with_glue_s_bookmarks_polling_is_required() -> None:
    assert check(Stack("poll", mode="glue")).endswith("BookmarkMode=glue requires it")


@pytest.mark.parametrize(
    "others", [{"EventBridgeConfiguration": {}}, {"TopicConfigurations": [{"TopicArn": "arn:topic", "Events": ["x"]}]}]
)
def test_a_bucket_that_sends_its_events_elsewhere_gives_a_warning(others: dict[str, Any]) -> None:
    stack = Stack("events")
    stack._clients["s3"].others = others

    with pytest.raises(CheckFailedError, match="to EventBridge or SNS, not to the queue itself") as caught:
        check(stack)

    assert caught.value.outcome is Outcome.WARN
    assert f"s3://theirs/log/ to {QUEUE}" in caught.value.advice
