"""Two concurrent providers on one Glue bookmark, in the published design and in this project.

See docs/glue-bookmarks.md for the conclusions.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.verify import expected_ids
from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from tests.end_to_end.bookmarks import TEMPLATE, Account, log
from tests.harness.call_log import watching
from tests.harness.waiting import HANG_SECONDS, eventually

ARTICLE = Path(__file__).parent / "article/change_log.py"
AN_HOUR = timedelta(hours=1)

pytestmark = [pytest.mark.slow, pytest.mark.spark]


class BothBegin:
    """Blocks the messages of a Glue job until two runs have read their bookmark, so that both run at the same time."""

    def __init__(self) -> None:
        self._both = threading.Event()
        self._count = 0

    def watch(self, when: str, call: dict[str, str | None], port: int) -> None:
        """See `tests.harness.call_log.watching`."""
        if when == "after" and call["principal"] == "glue" and "/glue-bookmarks/" in str(call["resource"]):
            self._count += 1
            if self._count == 2:
                self._both.set()
        if when == "before" and (call["principal"], call["action"]) == ("ChangeLogJobRole", "SendMessage"):
            self._both.wait(HANG_SECONDS)


class ArticleJob:
    """The single job of the published design, in the same account."""

    def __init__(self, account: Account) -> None:
        self._cloud = account.cloud
        self.queue_url = account.cloud.client("sqs").create_queue(QueueName="article")["QueueUrl"]
        self._script = account.cloud.client("glue").get_job(JobName=account.cloud.physical_id("ChangeLogJob"))["Job"]
        bucket = self._script["Command"]["ScriptLocation"].removeprefix("s3://").split("/")[0]
        account.cloud.client("s3").put_object(Bucket=bucket, Key="article", Body=ARTICLE.read_bytes())
        account.cloud.client("glue").create_job(
            Name="article",
            Role=self._script["Role"],
            Command={"Name": "glueetl", "ScriptLocation": f"s3://{bucket}/article"},
            ExecutionProperty={"MaxConcurrentRuns": 2},
            DefaultArguments={
                "--job-bookmark-option": "job-bookmark-enable",
                "--change_log_dir": account.directory,
                "--queue_url": self.queue_url,
            },
        )

    def run(self, *providers: str) -> dict[str, dict[str, Any]]:
        """Run the job for these providers concurrently; return how each run ended."""
        glue = self._cloud.client("glue")
        runs = {p: glue.start_job_run(JobName="article", Arguments={"--provider": p})["JobRunId"] for p in providers}

        def look() -> dict[str, dict[str, Any]] | None:
            found = {p: glue.get_job_run(JobName="article", RunId=run)["JobRun"] for p, run in runs.items()}
            return found if all(run["JobRunState"] in ("SUCCEEDED", "FAILED") for run in found.values()) else None

        return eventually(look, f"the end of {runs}") or {}

    def received(self) -> Counter[str]:
        """The change of each message."""
        sqs, found = self._cloud.client("sqs"), Counter[str]()
        while messages := sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found[json.loads(message["Body"])["eventID"]] += 1
                sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])
        return found


def test_two_concurrent_providers_fail_repeat_and_skip_only_in_the_published_design(
    tmp_path: Path, drivers: Drivers
) -> None:
    together = BothBegin()
    parameters = {"LambdaMaxBytes": 0, "MaxConcurrentRuns": 3}
    with LaptopCloud(TEMPLATE, parameters, workdir=tmp_path, drivers=drivers, around=watching(together.watch)) as cloud:
        account = Account(cloud)
        for provider, rows in (("a", 10), ("b", 60), ("c", 20)):
            account.put(log(provider, rows), age=AN_HOUR)
            account.put(log(provider, rows, day=1))
        account.register("a", "b", "c")
        ids = expected_ids(cloud.client("s3"), account.bucket, account.prefix)
        article = ArticleJob(account)

        # Two concurrent providers: one commit fails, although all of its rows have been sent.
        runs = article.run("a", "b")
        assert sorted(run["JobRunState"] for run in runs.values()) == ["FAILED", "SUCCEEDED"]
        (failed,) = [provider for provider, run in runs.items() if run["JobRunState"] == "FAILED"]
        assert "VersionMismatchException" in runs[failed]["ErrorMessage"]
        sent = article.received()
        assert sent == Counter(ids["a"] + ids["b"])

        # The failed run is repeated: objects within the band of 15 minutes are sent a second time.
        assert article.run(failed)[failed]["JobRunState"] == "SUCCEEDED"
        repeated = article.received()
        assert 0 < sum(repeated.values()) < len(ids[failed])
        assert set(repeated) <= set(ids[failed])

        # A provider that has never run shares the others' transformation_ctx: its older object is never read.
        assert article.run("c")["c"]["JobRunState"] == "SUCCEEDED"
        lost = set(ids["c"]) - set(article.received())
        assert len(lost) == 20

        # The same data, three concurrent providers with their own bookmarks: every row is sent exactly once.
        at = datetime.now(UTC).replace(microsecond=0)
        started, messages = account.tick(at)
        assert (sorted(started), messages) == (["a", "b", "c"], Counter(a=20, b=120, c=40))
        assert account.tick(at + AN_HOUR)[1] == Counter()
        account.assert_exactly_one_message_a_row()
        ours = [run for run in cloud.job_runs() if run["JobName"] != "article"]
        assert [run["JobRunState"] for run in ours] == ["SUCCEEDED"] * 3
