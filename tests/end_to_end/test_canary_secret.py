"""The config API's key and the content of rows appear only where they are allowed."""

from __future__ import annotations

import pytest

from tests.end_to_end.recording import CANARY, Recording, recording

__all__ = ["recording"]
pytestmark = [pytest.mark.spark, pytest.mark.slow]
READ = {
    *("executions", "histories", "job_runs", "tables", "run_files", "environments", "undelivered", "ticks"),
    *("api_calls.jsonl", "logs/glue-fanout-dev-dispatch.log", "logs/glue-fanout-dev-claim.log"),
    *("logs/glue-fanout-dev-update_status.log", "logs/glue-fanout-dev-lambda_run.log"),
}


def test_everything_that_could_leak_was_read(recording: Recording) -> None:
    texts = dict(recording.texts())

    assert set(texts) >= READ
    assert sum(name.startswith("logs/jr_") for name in texts) >= 2, "no logs of Glue job runs"
    assert all(texts[name] for name in READ)
    assert any('"CloudWatchMetrics"' in text for text in texts.values()), "no metrics among the logs"


def test_the_search_would_find_a_leak(recording: Recording) -> None:
    """The same search finds texts that the run has written, so an empty result proves something."""
    assert places(recording, "broken-") >= {"executions", "histories", "logs/glue-fanout-dev-update_status.log"}
    assert "tables" in places(recording, "RecordError") | places(recording, "broken")


@pytest.mark.fault(26)
def test_the_key_is_in_no_log_history_argument_metric_or_error(recording: Recording) -> None:
    assert len(recording.key) == 40
    assert places(recording, recording.key) == set()


@pytest.mark.fault(26)
def test_row_content_is_in_no_log_history_argument_metric_or_error(recording: Recording) -> None:
    assert places(recording, CANARY) == set()


def test_the_error_of_a_bad_row_names_object_and_line(recording: Recording) -> None:
    errors = [e for e in recording.state["executions"] if e["name"].startswith("broken-")]

    assert errors
    assert all("change_log/provider=broken/part-0.json.gz" in e["cause"] and "line 1" in e["cause"] for e in errors)


def places(recording: Recording, text: str) -> set[str]:
    return {name for name, content in recording.texts() if text in content}
