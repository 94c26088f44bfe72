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


def test_an_unexpected_error_is_reported_with_its_place_and_no_content(job: Harness, script: Path) -> None:
    script.write_text(SCRIPT.replace("change.time[:10]", "change.nothing"), encoding="utf-8")
    outcome = job.run(change_log(range(3)), script)
    assert outcome.result["failure"]["type"] == "UnexpectedError"
    assert "AttributeError at days.py:" in outcome.result["failure"]["message"]
