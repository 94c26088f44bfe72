"""The benchmarks run with a few rows and providers, and write their figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def measured(name: str, *arguments: str, out: Path) -> dict[str, Any]:
    """Run a benchmark and return its figures. Its status is 1 if it misses its targets, as on a busy machine."""
    command = [sys.executable, str(HERE / f"{name}_bench.py"), *arguments, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_the_dispatchers_benchmark_writes_its_figures(tmp_path: Path) -> None:
    found = measured("dispatch", "--due", "3", "20", out=tmp_path)

    assert [(start["due"], start["serial_measured"]) for start in found["starts"]] == [(3, 3), (20, 20)]
    assert found["evaluation"]["entries"] == 100_000
    assert (tmp_path / "dispatch.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.spark
def test_the_jobs_benchmark_writes_its_figures(tmp_path: Path) -> None:
    found = measured("job", "--rows", "6000", out=tmp_path)

    rows = {name: variant["rows"] for name, variant in found["variants"].items()}
    assert rows == {
        "article": 60,
        "batch": 600,
        "batch + 16 threads": 1800,
        "glue-fanout on Spark": 6000,
        "glue-fanout in Lambda": 6000,
    }
    assert [point["rows"] for point in found["engines"]["points"]] == [1000]
    assert "| glue-fanout on Spark | 6,000 |" in (tmp_path / "job.md").read_text(encoding="utf-8")
    assert (tmp_path / "job.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.spark
def test_the_standardize_benchmark_writes_its_figures(tmp_path: Path) -> None:
    found = measured("standardize", "--rows", "2000", out=tmp_path)

    assert found["rows"] == 2000
    assert all(variant["rows_per_second"] > 0 for variant in found["variants"].values())
    assert {kind: list(one["readers"]) for kind, one in found["formats"].items()} == {
        "csv": ["pyarrow, to texts", "glue-fanout"],
        "json": ["json.loads", "glue-fanout"],
        "json lines": ["json.loads of each line", "glue-fanout"],
        "xml": ["expat with empty handlers", "expat without handlers", "glue-fanout"],
    }
    ours = [one["readers"]["glue-fanout"] for one in found["formats"].values()]
    assert [(one["good_rows"], one["bad_rows"]) for one in ours] == [(2000, 2000)] * 4
    assert {"CPU for json, ratio to json.loads", "CPU for xml, ratio to expat with empty handlers"} <= {
        *found["targets"]
    }
    written = (tmp_path / "standardize.md").read_text(encoding="utf-8")
    assert "| glue-fanout on Spark |" in written
    assert "| xml | 2,000 |" in written


def test_the_scale_benchmark_runs_its_heavy_scenario() -> None:
    command = [sys.executable, str(HERE / "scale_bench.py"), "heavy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    row, slots = json.loads(done.stdout.splitlines()[-1])
    assert row["deferred"] > 0
    assert 0.9 < slots["slots_used"] <= 1


@pytest.mark.slow
def test_the_benchmark_of_light_runs_writes_its_figures(tmp_path: Path) -> None:
    found = measured("light", "--providers", "12", "--functions", "5", out=tmp_path)

    # Which of so few runs are throttled depends on the machine, so the figures are not compared.
    ours, all_at_once = found["as functions become free"], found["all at once"]
    assert min(ours["throttled_tries_per_run"], all_at_once["throttled_tries_per_run"]) >= 0
    assert 0 < ours["functions_used_while_providers_waited"] <= 1
    assert "| as functions become free |" in (tmp_path / "light.md").read_text(encoding="utf-8")


def test_the_scale_benchmark_finds_metered_runs_as_fast_as_runs_started_at_once() -> None:
    command = [sys.executable, str(HERE / "scale_bench.py"), "metered"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)

    assert done.returncode == 0, done.stderr
    found = {one["functions"]: one for one in json.loads(done.stdout.splitlines()[-1])}
    assert found[1000]["minutes"] == found[1000]["minutes_all_at_once"]
    assert all(one["without_a_function"] == 0 for one in found.values())
