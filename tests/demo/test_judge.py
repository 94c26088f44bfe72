"""The verdict of `make run`: each wrong outcome makes its report not ok and its exit status 1.

The laptop cloud is replaced by one whose runs have the outcomes that a test gives them.
"""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import pytest

from demo.__main__ import main
from demo.orders import STYLES
from demo.runs import Run
from demo.standardize import StandardStage
from demo.verify import expected_ids

BUCKET, PREFIX = "data", "change_log"
QUEUES = {"ChangesQueueUrl": "changes", "DataBucketName": BUCKET, "ChangeLogDir": f"s3://{BUCKET}/{PREFIX}"}
FIRST, SECOND, CORRUPT = "aurora", "borealis", "cumulus"
"""The generated providers: `CORRUPT` has the corrupt object, and the others get new objects before the second tick."""

Message = dict[str, Any]


@dataclass
class S3:
    objects: dict[str, bytes] = field(default_factory=dict)

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803 - boto3's names
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, operation: str) -> S3:
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:  # noqa: N803
        return [{"Contents": [{"Key": key, "ETag": '"e"'} for key in sorted(self.objects) if key.startswith(Prefix)]}]


@dataclass
class Queue:
    bodies: list[Message] = field(default_factory=list)

    def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int) -> dict[str, Any]:  # noqa: N803
        taken, self.bodies = self.bodies[:MaxNumberOfMessages], self.bodies[MaxNumberOfMessages:]
        return {"Messages": [{"Body": json.dumps(body), "ReceiptHandle": "r"} for body in taken]}

    def delete_message_batch(self, **_: Any) -> None:
        """Nothing to do: a message is received once."""


@dataclass
class Cloud:
    """A laptop cloud and its runs. Each run sends a message for each row that no earlier run has sent."""

    workdir: Path = Path()
    s3: S3 = field(default_factory=S3)
    queue: Queue = field(default_factory=Queue)
    sent: dict[str, str] = field(default_factory=dict)
    """Id of a row -> its provider."""
    happened: list[Run] = field(default_factory=list)
    ticks: int = 0
    wrong: Callable[[Cloud], None] = lambda cloud: None
    outputs = QUEUES
    endpoint = "http://127.0.0.1:1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *what: object) -> None:
        """Nothing to stop."""

    def client(self, service: str) -> Any:
        return {"s3": self.s3, "sqs": self.queue, "dynamodb": Table()}[service]

    def job_runs(self) -> list[Any]:
        return []

    def objects(self, bucket: str, prefix: str) -> list[Any]:
        return []

    def update(self, parameters: dict[str, str]) -> None:
        """The stack of a table."""

    def wait(self, seconds: float) -> None:
        """Runs end at once."""

    def run(self, provider: str, status: str, rows: int) -> None:
        name = f"{provider}-{self.ticks}"
        self.happened.append(Run(name, provider, status, "lambda", status.lower(), 1, rows, rows))

    def tick(self, at: datetime) -> dict[str, Any]:
        self.ticks += 1
        good = {key: body for key, body in self.s3.objects.items() if readable(body)}
        ids = expected_ids(S3(good), BUCKET, PREFIX)
        listed = {key.split("/")[1].removeprefix("provider=") for key in self.s3.objects}
        for provider in sorted(listed):
            new = [id_ for id_ in ids.get(provider, []) if id_ not in self.sent]
            self.sent |= dict.fromkeys(new, provider)
            if new or provider not in ids:
                self.run(provider, "SUCCEEDED" if provider in ids else "FAILED", len(new))
            self.queue.bodies += [{"provider": provider, "id": id_} for id_ in new]
        self.wrong(self)
        counts = dict.fromkeys(("due", "started", "idle", "deferred", "invalid"), 0)
        return {**counts, "faults": [], "invalid_providers": [], "started_providers": []}


class Table:
    """DynamoDB, whose changes reach no message."""

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **_: {"TableDescription": {"LatestStreamArn": "arn"}}


def readable(body: bytes) -> bool:
    try:
        gzip.decompress(body)
    except (OSError, EOFError):
        return False
    return True


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cloud:
    """The cloud that `make run` starts."""
    made = Cloud(tmp_path)
    watcher = type("Watcher", (), {"runs": lambda self: list(made.happened)})
    monkeypatch.setattr("laptop_cloud.cloud.LaptopCloud", lambda *_, **__: made)
    monkeypatch.setattr("demo.runs.RunWatcher", lambda *_: watcher())
    for module in ("run", "table"):
        monkeypatch.setattr(f"demo.{module}.register", lambda *_: None)
    return made


def judged(cloud: Cloud, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the report."""
    status = main(["run", "--workdir", str(cloud.workdir), *arguments])
    report: dict[str, Any] = json.loads((cloud.workdir / "report.json").read_text())
    return status, report


def test_a_run_with_the_right_outcomes_is_ok_and_exits_with_0(cloud: Cloud) -> None:
    status, report = judged(cloud, "--providers", "3", "--rows", "60")

    assert (status, report["ok"], report["faults"]) == (0, True, [])
    assert report["totals"]["rows"] == report["totals"]["messages"] == len(cloud.sent)
    assert len(cloud.sent) == sum(one["rows"] for one in report["providers"].values()) > 60
    assert [run["status"] for run in report["providers"][CORRUPT]["runs"]] == ["FAILED", "SUCCEEDED"]


def lost(cloud: Cloud) -> None:
    cloud.queue.bodies[:] = cloud.queue.bodies[1:]


def repeated(cloud: Cloud) -> None:
    cloud.queue.bodies.append(cloud.queue.bodies[0])


def repeated_at_the_next_tick(cloud: Cloud) -> None:
    if cloud.ticks == 2:
        id_, provider = next(iter(cloud.sent.items()))
        cloud.queue.bodies.append({"provider": provider, "id": id_})


def of_no_row(cloud: Cloud) -> None:
    cloud.queue.bodies.append({"provider": FIRST, "id": f"unknown-{cloud.ticks}"})


def of_a_stranger(cloud: Cloud) -> None:
    cloud.queue.bodies.append({"provider": "stranger", "id": "1"})


def instead_of_another(cloud: Cloud) -> None:
    cloud.queue.bodies[0] = {**cloud.queue.bodies[0], "id": f"unknown-{cloud.ticks}"}


def to_another_provider(cloud: Cloud) -> None:
    one = next(body for body in cloud.queue.bodies if body["provider"] == FIRST)
    one["provider"] = SECOND


def ended_as(status: str, provider: str, tick: int) -> Callable[[Cloud], None]:
    def change(cloud: Cloud) -> None:
        for run in cloud.happened:
            if run.execution == f"{provider}-{tick}":
                run.status, run.error = status, "an error"

    return change


def not_started(provider: str, tick: int) -> Callable[[Cloud], None]:
    def change(cloud: Cloud) -> None:
        cloud.happened = [run for run in cloud.happened if run.execution != f"{provider}-{tick}"]

    return change


def swept_with_rows(cloud: Cloud) -> None:
    if cloud.ticks == 2:
        cloud.run("drizzle", "SUCCEEDED", 5)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lost, "2 rows without a message"),
        (repeated, "2 ids with more than one message"),
        (repeated_at_the_next_tick, "1 ids with more than one message"),
        (of_no_row, f"{FIRST}: 0 rows without a message, 2 messages without a row"),
        (of_a_stranger, "stranger: 0 rows without a message, 1 messages without a row, 1 ids with more than one"),
        (instead_of_another, "2 rows without a message, 2 messages without a row"),
        (to_another_provider, f"{SECOND}: 0 rows without a message, 2 messages without a row"),
        (ended_as("FAILED", FIRST, 1), f"tick 1: the run of {FIRST} ended as FAILED"),
        (ended_as("TIMED_OUT", FIRST, 1), f"tick 1: the run of {FIRST} ended as TIMED_OUT"),
        (ended_as("ABORTED", SECOND, 2), f"tick 2: the run of {SECOND} ended as ABORTED"),
        (ended_as("SUCCEEDED", CORRUPT, 1), f"tick 1: the run of {CORRUPT} ended as SUCCEEDED"),
        (ended_as("FAILED", CORRUPT, 2), f"tick 2: the run of {CORRUPT} ended as FAILED"),
        (not_started(FIRST, 1), f"tick 1: {FIRST} was not started"),
        (not_started(CORRUPT, 2), f"tick 2: {CORRUPT} was not started"),
        (swept_with_rows, "tick 2: drizzle had no new objects, but processed 5 rows"),
    ],
)
def test_a_wrong_outcome_is_a_fault_and_the_exit_status_is_1(
    wrong: Callable[[Cloud], None], fault: str, cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.wrong = wrong

    status, report = judged(cloud, "--providers", "3", "--rows", "60")

    assert (status, report["ok"]) == (1, False)
    assert any(fault in one for one in report["faults"]), report["faults"]
    assert "ok: false" in capsys.readouterr().out


def test_a_sweep_without_rows_is_no_fault(cloud: Cloud) -> None:
    cloud.wrong = lambda cloud: cloud.run("drizzle", "SUCCEEDED", 0) if cloud.ticks == 2 else None

    assert judged(cloud, "--providers", "3", "--rows", "60")[0] == 0


def test_changes_of_a_table_without_messages_are_faults(cloud: Cloud) -> None:
    status, report = judged(cloud, "--table", "--providers", "2", "--rows", "20")

    assert (status, report["ok"]) == (1, False)
    assert len(report["faults"]) == report["totals"]["items"] > 10


@pytest.mark.parametrize("wrong", ["", "missing", "extra", "changed"])
def test_a_missing_an_extra_and_a_changed_row_of_the_standard_table_are_faults(
    wrong: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_back(stage: StandardStage) -> tuple[list[str], Counter[tuple[Any, ...]]]:
        rows = [
            (key.split("/")[0].removeprefix("provider="), f"s3://{BUCKET}/{PREFIX}/{key}", *row.values())
            for key, found in stage._plan.expected.items()
            for row in found
        ]
        first = rows[0]
        rows += [("stranger", *first[1:])] if wrong == "extra" else []
        rows[:1] = [] if wrong == "missing" else [(*first[:-1], "another")] if wrong == "changed" else [first]
        return list(next(iter(stage._plan.expected.values()))[0]), Counter(rows)

    monkeypatch.setattr(StandardStage, "_read_back", read_back)
    monkeypatch.setattr(StandardStage, "_unexpected_outcomes", lambda self: [])

    status, report = judged(cloud, "--job", "standardize", "--rows", str(10 * len(STYLES)))

    kinds = Counter(fault.partition(":")[0] for fault in report["faults"])
    assert (
        kinds
        == {
            "": {},
            "missing": {"not in the table": 1},
            "extra": {"not in any source": 1},
            "changed": {"not in the table": 1, "not in any source": 1},
        }[wrong]
    )
    assert (status, report["ok"]) == ((1, False) if wrong else (0, True))
