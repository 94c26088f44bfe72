"""A user's own job: a script whose work is a function of a Run has the same results on both engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration.job.harness import PROVIDER, Harness
from tests.unit.job.records import line, stream

SCRIPT = """
import sys
from collections import Counter

from fanout_job import run
from fanout_job.changes import parse_change


def days_of(source):
    changes = source.rows(lambda line, number: parse_change(line, str(number)))
    return source.object.index, dict(Counter(change.time[:10] for change in changes))


def count_days(this):
    found = this.each_object(days_of)
    days = sum((Counter(days) for _, days in found), Counter())
    this.put_json(f"days/{this.settings.run_id}.json", {"days": days, "order": [index for index, _ in found]})
    this.notes["days"] = len(days)


def handler(event, context):
    return run.in_lambda(event, context, count_days)


if __name__ == "__main__":
    run.on_glue(sys.argv, count_days)
"""

DAY = 86_400


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "days.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


def change_log(days: range) -> dict[str, bytes]:
    """One object for each day. Sizes differ, so that the engines distribute the objects in another order."""
    return {
        f"{n:02}.json": b"\n".join([line(stream(ApproximateCreationDateTime=n * DAY))] * (1 + n * 7 % 11)) for n in days
    }


def test_the_results_of_objects_are_in_the_order_of_the_manifest(job: Harness, script: Path) -> None:
    outcome = job.run(change_log(range(20)), script)
    assert outcome.error is None
    assert (outcome.result["objects"], outcome.result["notes"]["days"], outcome.result["messages"]) == (20, 20, 0)
    written = json.loads(job.read("days/run-1.json"))
    assert written["order"] == list(range(20))
    assert written["days"] == {f"1970-01-{n + 1:02}": 1 + n * 7 % 11 for n in range(20)}
    assert outcome.result["rows"] == sum(written["days"].values())


def test_the_work_of_an_object_logs_with_the_names_of_its_run(job: Harness, script: Path) -> None:
    text = SCRIPT.replace("dict(Counter(change.time[:10] for change in changes))", "names_in_log()").replace(
        "def days_of(source):",
        "def names_in_log():\n"
        "    import logging\n\n"
        "    return {handler.formatter.run['run_id']: 1 for handler in logging.getLogger('fanout_job').handlers}\n\n\n"
        "def days_of(source):",
    )
    script.write_text(text, encoding="utf-8")
    for number in (1, 2):
        job.run(change_log(range(2)), script)
        assert json.loads(job.read(f"days/run-{number}.json"))["days"] == {f"run-{number}": 2}


def test_a_bad_line_fails_the_run_with_its_place_and_the_work_ends(job: Harness, script: Path) -> None:
    outcome = job.run({**change_log(range(5)), "bad.json": line(stream()) + b"\nbroken"}, script)
    assert outcome.result["failure"]["type"] == "RecordError"
    assert f"provider={PROVIDER}/bad.json, line 2: not JSON" in str(outcome.error)
    assert (outcome.result["objects"], outcome.result["status"]) == (6, "failed")
    assert outcome.result["workers"] == 1, "workers cost money although the run failed"
    assert job.keys_below("days/") == []


def test_under_quarantine_the_bad_line_is_copied_and_the_rest_is_processed(job: Harness, script: Path) -> None:
    outcome = job.run({"bad.json": line(stream()) + b"\nbroken"}, script, on_bad_record="quarantine")
    assert outcome.error is None
    assert (outcome.result["rows"], outcome.result["quarantined"]) == (1, 1)
    assert job.keys_below("days/") == ["days/run-1.json"]


def test_a_run_without_objects_still_does_its_work(job: Harness, script: Path) -> None:
    outcome = job.run({}, script)
    assert outcome.error is None
    assert json.loads(job.read("days/run-1.json")) == {"days": {}, "order": []}


LINES = SCRIPT.splitlines()
RETURNED, NOTED = (
    next(n for n, one in enumerate(LINES) if text in one) + 1 for text in ("    return", "    this.notes")
)
OF_OBJECT, OF_RUN = (LINES.index(f"def {name}:") + 1 for name in ("days_of(source)", "count_days(this)"))
FAULTS = {
    "in the work of an object": ("change.time[:10]", "change.nothing", f"AttributeError at days.py:{RETURNED}", 1),
    "a value that no process can return": ("dict(Counter", "(Counter", f"TypeError at days.py:{OF_OBJECT}", None),
    "in the work of the run": ("len(days)", "days.nothing", f"AttributeError at days.py:{NOTED}", 0),
    "a note of no JSON form": ("len(days)", "{1j}", f"TypeError at days.py:{OF_RUN}", 0),
}
"""Text of the script, text in its place, message, and the line of the object; 0 if no object is concerned."""


@pytest.mark.parametrize("fault", FAULTS)
def test_an_unexpected_error_is_reported_with_its_place_and_no_content(job: Harness, script: Path, fault: str) -> None:
    before, after, message, line = FAULTS[fault]
    text = SCRIPT.replace(before, after).replace(
        "(Counter(change.time[:10] for change in changes))", "(c for c in changes)"
    )
    script.write_text(text if line is None else SCRIPT.replace(before, after), encoding="utf-8")
    outcome = job.run(change_log(range(3)), script)
    failure = outcome.result["failure"]
    assert (failure["type"], failure["message"]) == ("UnexpectedError", message)
    assert (failure["object"] or "").rpartition("/")[2] == ("" if line == 0 else "00.json")
    assert failure["line"] == (line or None)
    assert outcome.result["failure_count"] == (1 if line == 0 else 3)
    assert outcome.result["notes"] == {}


@pytest.mark.spark
def test_work_that_changes_the_run_in_a_spark_task_is_refused_with_its_place(
    spark: object, queue: str, script: Path
) -> None:
    text = SCRIPT.replace("def days_of(source):", "def unused(source):").replace(
        "def count_days(this):",
        "def count_days(this):\n    def days_of(source):\n        this.notes[source.object.key] = 1\n",
    )
    script.write_text(text, encoding="utf-8")
    outcome = Harness("glue", queue).run(change_log(range(2)), script)
    failure = outcome.result["failure"]
    assert failure["type"] == "UnexpectedError"
    assert failure["message"].endswith(f"return a value instead: days.py:{OF_RUN + 1}")
