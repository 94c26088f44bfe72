"""A run: its result, its log, the error that it raises, and what its work may use."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from contract.failure import Failure
from fanout_job import run
from fanout_job.errors import RunFailedError, StorageError, UnexpectedError
from fanout_job.run import Run
from fanout_job.task import Tally
from tests.unit.job import records
from tests.unit.job.test_logs import kept_handlers
from tests.unit.job.test_unreadable_objects import Store

__all__ = ["kept_handlers"]

pytestmark = pytest.mark.usefixtures("kept_handlers")
SETTINGS = replace(records.SETTINGS, run_dir="s3://data/runs/run-1/")
BAD = Failure(type="RecordError", message="is bad", object="s3://data/a", line=3)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store({})
    monkeypatch.setattr(run, "s3_client", lambda: store)
    return store


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture(autouse=True)
def spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark with three machines, which returns the objects' values in another order."""
    monkeypatch.setattr(run, "spark_workers", lambda: 3)
    monkeypatch.setattr(run, "read_manifest", lambda *where: [])
    monkeypatch.setattr(run, "each_on_spark", lambda *given: ([(1, "a"), (0, "b")], Tally(objects=2)))


def result(store: Store) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(store.put["runs/run-1/result.json"])
    return made


def test_the_work_of_an_object_must_not_contain_the_run() -> None:
    with pytest.raises(UnexpectedError, match="return a value instead"):
        pickle.dumps(Run(SETTINGS, "glue"))


def test_on_glue_the_values_of_objects_are_in_the_order_of_the_manifest(store: Store) -> None:
    values: list[Any] = []
    argv = ["job.py", "--JOB_NAME", "job"]
    for name in ("provider", "run_id", "manifest", "run_dir", "env", "data_bucket"):
        argv += [f"--{name}", getattr(SETTINGS, name)]

    def work(this: Run) -> None:
        values.extend(this.each_object(lambda source: None))
        values.append(this.argv)

    run.on_glue(argv, work)

    assert values == ["b", "a", argv]
    assert [result(store)[name] for name in ("engine", "workers", "objects")] == ["glue", 3, 2]


def test_a_lambda_run_must_be_done_five_seconds_before_its_timeout(
    store: Store, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    for name in ("QUEUE_URL", "ENV", "DATA_BUCKET"):
        monkeypatch.setenv(name, getattr(SETTINGS, name.lower()))
    event = {name: getattr(SETTINGS, name) for name in ("provider", "run_id", "manifest", "run_dir")}
    deadlines: list[float | None] = []

    def work(this: Run) -> None:
        deadlines.append(this.deadline)
        clock.now += 1.23456

    returned = run.in_lambda(event, SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000), work)

    assert deadlines == [155.0]
    assert returned == result(store)
    assert [returned[name] for name in ("status", "engine", "workers", "seconds")] == ["succeeded", "lambda", 1, 1.235]


def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[tuple[str, str]]:
    """The level and the message of each line of the log."""
    for one in map(json.loads, capsys.readouterr().out.splitlines()):
        assert (one["provider"], one["run_id"]) == ("acme", "run-1")
        yield one["level"], one["message"]


def test_the_log_of_a_run_has_its_counts_and_then_each_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def work(this: Run) -> None:
        this.tally = Tally(objects=2, failures=[BAD, replace(BAD, line=4)])

    with pytest.raises(RunFailedError, match=r"RecordError: s3://data/a, line 3: is bad \(and 1 more\)$"):
        run.do(work, Run(SETTINGS, "lambda"))

    (level, counts), *failures = logged(capsys)
    assert level == "INFO"
    assert counts.startswith('run failed: {"')
    shown = json.loads(counts.removeprefix("run failed: "))
    assert (shown["objects"], shown["workers"]) == (2, 1)
    assert [name for name in shown if name.startswith("failure")] == []
    assert failures == [("ERROR", f"RecordError: s3://data/a, line {line}: is bad") for line in (3, 4)]


def failing(this: Run) -> None:
    this.notes["rate"] = float("nan")
    raise StorageError("is busy")


def without_json(this: Run) -> None:
    this.notes["rate"] = float("nan")


@pytest.mark.parametrize(("work", "error", "workers"), [(failing, StorageError, 0), (without_json, UnexpectedError, 1)])
def test_the_error_of_the_work_is_raised_and_notes_that_are_no_json_are_one(
    work: Callable[[Run], None], error: type[Exception], workers: int, store: Store
) -> None:
    with pytest.raises(error):
        run.do(work, Run(SETTINGS, "lambda"))

    found = result(store)
    assert [failure["type"] for failure in found["failures"]] == [error.__name__]
    assert (found["notes"], found["workers"], found["failure_count"]) == ({}, workers, 1)
