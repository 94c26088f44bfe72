"""BookmarkMode=glue: Glue's job bookmark finds the new objects; everything else is as in the other mode."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.integration.job.harness import DATA, Harness
from tests.integration.job.test_engines import ETL, changed_script
from tests.unit.job.records import export, kinesis, line, stream

pytestmark = pytest.mark.spark

GLUE = {
    "bookmark_mode": "glue",
    "change_log_dir": f"s3://{DATA}/change_log",
    "JOB_NAME": "etl-test-change_log",
    "JOB_RUN_ID": "jr_1",
    "job-bookmark-option": "job-bookmark-enable",
}


@pytest.fixture
def job(spark: Any, queue: str) -> Harness:
    """The job on Glue, which stores one bookmark per job name."""
    job_definition = {"Name": "glueetl", "ScriptLocation": f"s3://{DATA}/scripts/change_log"}
    boto3.client("glue").create_job(Name=GLUE["JOB_NAME"], Role="job", Command=job_definition)
    return Harness("glue", queue)


def rows(prefix: str) -> bytes:
    image = {"n": {"N": "12345678901234567890123456789012345678"}, "none": {"NULL": True}, "l": {"L": [{"S": "x"}]}}
    records = [
        {**stream("INSERT", NewImage=image), "eventID": f"{prefix}-0"},
        {**kinesis(), "eventID": f"{prefix}-1"},
        {**stream("REMOVE", NewImage=None), "eventID": f"{prefix}-2"},
    ]
    return gzip.compress(b"\n".join(map(line, records)))


def test_messages_equal_those_of_the_other_mode_and_the_bookmark_moves(job: Harness) -> None:
    stored = job.put("2026/a.json.gz", rows("a"))
    first = job.run_manifest("none", **GLUE)
    assert first.error is None, first.error
    assert first.result["messages"] == 3
    by_manifest = job.run_manifest(job.plan([stored]), **GLUE)
    assert first.events == by_manifest.events
    assert "12345678901234567890123456789012345678" in "".join(first.bodies)
    job.put("b.json.gz", rows("b"))
    second = job.run_manifest("none", **GLUE)
    assert second.error is None
    assert second.ids == ["b-0", "b-1", "b-2"]


def test_an_invalid_record_fails_the_run_and_the_bookmark_stays(job: Harness) -> None:
    job.put("a.json.gz", rows("a"))
    job.put("bad.json.gz", gzip.compress(b'{"eventName": "INSERT", "order": 7}'))
    outcome = job.run_manifest("none", **GLUE)
    assert outcome.result["failure"]["type"] == "RecordError"
    again = job.run_manifest("none", **GLUE)
    assert {"a-0", "a-1", "a-2"} <= set(again.ids), "nothing was committed, so everything is sent again"


def test_a_line_glue_cannot_read_fails_the_run(job: Harness) -> None:
    job.put("bad.json.gz", gzip.compress(b"hello\n"))
    outcome = job.run_manifest("none", **GLUE)
    assert outcome.result["failure"]["type"] == "RecordError"
    assert outcome.messages == []


def test_the_id_of_a_record_without_an_event_id_is_made_from_its_content(job: Harness) -> None:
    job.put("a.json.gz", gzip.compress(line(export())))
    first = job.run_manifest("none", **GLUE | {"job-bookmark-option": "job-bookmark-disable"})
    second = job.run_manifest("none", **GLUE | {"job-bookmark-option": "job-bookmark-disable"})
    assert first.ids == second.ids
    assert len(first.ids) == 1


def test_without_this_mode_a_run_without_a_manifest_sends_nothing(job: Harness) -> None:
    job.put("a.json.gz", rows("a"))
    outcome = job.run_manifest("none", **GLUE | {"bookmark_mode": "manifest"})
    assert (outcome.result["status"], outcome.messages) == ("failed", [])


def test_a_native_etl_is_rejected(job: Harness, tmp_path: Path) -> None:
    job.put("a.json.gz", rows("a"))
    outcome = job.run_manifest("none", changed_script(tmp_path, etl=ETL), **GLUE)
    assert outcome.result["failure"]["type"] == "FrameEtlError"
    assert outcome.messages == []
