"""The job's log lines have the same JSON fields as those of the functions."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanout_job.delivery import spark_delivery
from fanout_job.logs import log, start_logging
from fanout_job.settings import Settings

ROOT = Path(__file__).parents[3]

RFC_3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
SETTINGS = Settings(
    provider="acme",
    run_id="run-1",
    manifest="s3://data/m.json",
    run_dir="s3://data/runs/provider=acme/x/",
    queue_url="https://queue",
    env="dev",
    data_bucket="data",
)


@pytest.fixture
def kept_handlers() -> Iterator[None]:
    handlers, propagate, level = log.handlers, log.propagate, log.level
    yield
    log.handlers, log.propagate = handlers, propagate
    log.setLevel(level)


def lines_at(level: str) -> list[dict[str, str]]:
    written = io.StringIO()
    start_logging(Settings(**{**vars(SETTINGS), "log_level": level}), written)
    for said in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        log.log(said, "words")
    return [json.loads(line) for line in written.getvalue().splitlines()]


@pytest.mark.usefixtures("kept_handlers")
def test_a_line_names_time_level_provider_and_run() -> None:
    line = lines_at("INFO")[0]

    assert re.fullmatch(RFC_3339, line.pop("timestamp"))
    assert line == {"level": "INFO", "message": "words", "provider": "acme", "run_id": "run-1"}


@pytest.mark.usefixtures("kept_handlers")
@pytest.mark.parametrize(("level", "count"), [("DEBUG", 4), ("INFO", 3), ("WARN", 2), ("ERROR", 1)])
def test_the_level_decides_which_lines_are_written(level: str, count: int) -> None:
    assert level in Settings.CHOICES["log_level"]
    assert len(lines_at(level)) == count


@pytest.mark.usefixtures("kept_handlers")
def test_without_settings_lines_name_no_run_and_go_to_standard_output_only_once(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    start_logging(None)
    log.debug("details")
    log.info("words")

    written = capsys.readouterr()
    line = json.loads(written.out)
    assert (line.keys(), line["message"]) == ({"timestamp", "level", "message"}, "words")
    assert (written.err, caplog.text) == ("", "")


@pytest.mark.parametrize(("on_aws", "count"), [("INFO", 2), ("WARN", 1), ("DEBUG", 3)])
def test_the_functions_log_the_same_time_field_and_use_lambdas_level(on_aws: str, count: int) -> None:
    """In its own process, because the logger reads the level at its creation."""
    program = "from fanout.bootstrap import logger as l; l.debug('d'); l.info('i'); l.warning('w')"
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "functions")]),
        "AWS_LAMBDA_LOG_LEVEL": on_aws,
        "POWERTOOLS_LOG_LEVEL": on_aws,
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    assert len(lines) == count
    assert all(re.fullmatch(RFC_3339, line["timestamp"]) for line in lines)
    assert "data loss" not in done.stderr


@pytest.mark.usefixtures("kept_handlers")
def test_a_task_in_a_process_of_spark_logs_to_standard_error_and_keeps_its_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with spark_delivery(SETTINGS, lambda change: change.data) as task:
        log.warning("words")
        int("words")

    written = capsys.readouterr()
    assert {json.loads(text)["run_id"] for text in written.err.splitlines()} == {"run-1"}
    assert written.out == ""
    assert [failure.type for failure in task.tally.failures] == ["UnexpectedError"]
