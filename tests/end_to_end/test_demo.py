"""`make run` as a user sees it: output, report and exit status."""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import children
from tests.unit.job.records import line, stream

from .conftest import ROOT

pytestmark = [pytest.mark.spark, pytest.mark.slow]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any], int]:
    workdir = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "demo", "run", "--workdir", str(workdir), "--rows", "1500"]
    done = children.run(command, cwd=ROOT)
    assert (workdir / "report.json").exists(), done.stdout + done.stderr
    return done.stdout, json.loads((workdir / "report.json").read_text()), done.returncode


def test_every_row_became_exactly_one_message(run: tuple[str, dict[str, Any], int]) -> None:
    _, report, status = run
    assert report["faults"] == []
    assert (report["ok"], status) == (True, 0)
    totals = report["totals"]
    assert totals["rows"] == totals["messages"] == totals["distinct_ids"] > 1400


def test_both_engines_were_used(run: tuple[str, dict[str, Any], int]) -> None:
    _, report, _ = run
    engines = [found["engine"] for found in report["providers"].values()]
    assert engines.count("glue") >= 3
    assert engines.count("lambda") >= 2
    assert report["totals"]["job_runs"] >= 3


def test_one_provider_failed_and_caught_up_after_the_repair(run: tuple[str, dict[str, Any], int]) -> None:
    output, report, _ = run
    outcomes = {name: [one["status"] for one in found["runs"]] for name, found in report["providers"].items()}
    (broken,) = [name for name, ended in outcomes.items() if ended[0] == "FAILED"]
    assert outcomes[broken] == ["FAILED", "SUCCEEDED"]
    assert report["providers"][broken]["messages"] == report["providers"][broken]["rows"]
    assert f"provider={broken}/" in output  # the error names the object
    assert all(set(ended) == {"SUCCEEDED"} for name, ended in outcomes.items() if name != broken)


@pytest.mark.guarantee("G3")
def test_the_second_tick_sends_only_new_objects(run: tuple[str, dict[str, Any], int]) -> None:
    _, report, _ = run
    first, second = report["ticks"]
    assert (first["started"], first["idle"]) == (6, 0)
    assert second["started"] + second["idle"] == 6
    assert second["started"] >= 3  # a provider without pending objects may be swept
    sent = [found["runs"][1]["messages"] for found in report["providers"].values() if len(found["runs"]) > 1]
    assert sum(1 for messages in sent if messages) == 3


def test_the_report_has_every_field(run: tuple[str, dict[str, Any], int]) -> None:
    _, report, _ = run
    assert {"ok", "providers", "totals", "seconds"} <= set(report)
    for found in report["providers"].values():
        assert {"status", "engine", "rows", "messages", "distinct_ids"} <= set(found)


def test_every_provider_is_shown_before_anything_is_started(run: tuple[str, dict[str, Any], int]) -> None:
    output, report, _ = run
    lines = [re.sub(r"^\s*[\d.]+ s  ", "", line) for line in output.splitlines()]
    shown = [line.split()[1] for line in lines[: len(report["providers"])] if line.startswith("start: ")]
    assert sorted(shown) == sorted(report["providers"])
    assert any(line.startswith("the laptop cloud is running") for line in lines[len(shown) :])


def test_a_fault_makes_the_run_fail(tmp_path: Path) -> None:
    """A line of the change log is not a change record: the exit status must not be 0. Odd names are used or named."""
    for name in ("a", "b"):
        (tmp_path / "log" / f"provider={name}").mkdir(parents=True)
    body = gzip.compress(line(stream()))
    for path, content in {
        "a/x.json.gz": gzip.compress(b'{"no": "change"}\n'),
        "a/truncated.gz": body[:-9],
        "b/-a &<b>%2F żółw\x01.gz": body,
        "b/new\nline.gz": body,
    }.items():
        (tmp_path / "log" / f"provider={path}").write_bytes(content)
    command = [sys.executable, "-m", "demo", "run", "--workdir", str(tmp_path / "w")]
    command += ["--change-log", str(tmp_path / "log")]
    done = children.run(command, cwd=ROOT)
    assert done.returncode == 1, done.stdout + done.stderr
    report = json.loads((tmp_path / "w" / "report.json").read_text())
    assert report["ok"] is False
    assert report["providers"]["a"]["messages"] == 0
    assert (report["providers"]["b"]["status"], report["providers"]["b"]["messages"]) == ("succeeded", 1)
    assert r"provider=b/new\nline.gz is left out: the laptop cloud does not store names with line breaks" in done.stdout
    assert "Traceback" not in done.stderr
    assert any("rows without a message" in fault for fault in report["faults"])
