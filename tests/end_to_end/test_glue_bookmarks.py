"""`BookmarkMode=glue`: Glue's job bookmark finds the new objects, and one provider runs at a time.

The bookmark is that of laptop_cloud/aws/glue_packages, which follows AWS's documentation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from tests.end_to_end.bookmarks import Account, log
from tests.end_to_end.conftest import impatient, template_copy
from tests.harness.waiting import HANG_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.spark]


@pytest.fixture(scope="module")
def bookmarked(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> Iterator[Account]:
    """Two providers in glue mode, after two ticks of each."""
    workdir, template = tmp_path_factory.mktemp("cloud"), impatient(template_copy(tmp_path_factory.mktemp("template")))
    with LaptopCloud(template, {"BookmarkMode": "glue"}, workdir=workdir, drivers=drivers) as cloud:
        account = Account(cloud)
        for provider in ("a", "b"):
            account.put(log(provider, 30))
        account.register("a", "b")
        yield account


def test_in_glue_mode_one_provider_runs_at_a_time_and_nothing_is_sent_twice(bookmarked: Account) -> None:
    job = bookmarked.cloud.client("glue").get_job(JobName=bookmarked.cloud.physical_id("ChangeLogJob"))["Job"]
    assert job["ExecutionProperty"] == {"MaxConcurrentRuns": 1}
    at = datetime.now(UTC).replace(microsecond=0)
    started, sent = bookmarked.tick(at)
    assert (sorted(started), sent) == (["a", "b"], {"a": 30, "b": 30})

    bookmarked.put(log("a", 12, day=1))

    started, sent = bookmarked.tick(at + timedelta(minutes=20))
    assert (sorted(started), sent) == (["a", "b"], {"a": 12})
    runs = sorted((e["startDate"], e["stopDate"]) for e in bookmarked.cloud.executions())
    assert all(ended <= began for (_, ended), (began, _) in pairwise(runs))
    bookmarked.assert_exactly_one_message_a_row()


def test_in_glue_mode_a_replay_sends_the_same_ids_and_leaves_the_bookmark(bookmarked: Account) -> None:
    bookmark = stored_bookmark(bookmarked)
    ids = set(bookmarked.messages["b"])
    replay = {"from": "2000-01-01T00:00:00Z", "to": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    bookmarked.cloud.client("stepfunctions").start_execution(
        stateMachineArn=bookmarked.cloud.physical_id("ChangeLogStateMachine"),
        name="replay-1",
        input=json.dumps({"provider": "b", "replay": replay}),
    )
    assert {execution["status"] for execution in bookmarked.cloud.wait(HANG_SECONDS)} == {"SUCCEEDED"}
    bookmarked.receive()

    assert set(bookmarked.messages["b"]) == ids
    assert set(bookmarked.messages["b"].values()) == {2}
    assert stored_bookmark(bookmarked) == bookmark


def stored_bookmark(account: Account) -> Any:
    name = account.cloud.physical_id("ChangeLogJob")
    script = account.cloud.client("glue").get_job(JobName=name)["Job"]["Command"]["ScriptLocation"]
    bucket = script.removeprefix("s3://").split("/")[0]
    body = account.cloud.client("s3").get_object(Bucket=bucket, Key=f"glue-bookmarks/{name}.json")["Body"].read()
    return json.loads(body)
