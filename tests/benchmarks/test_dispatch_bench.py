"""The dispatcher's benchmark runs, and its files say what it measured; the figures are those of a few providers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).with_name("dispatch_bench.py")


def test_the_benchmark_runs_and_writes_what_it_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH), "--due", "3", "20", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "dispatch.json").read_text(encoding="utf-8"))
    assert [(start["due"], start["serial_measured"]) for start in found["starts"]] == [(3, 3), (20, 20)]
    assert found["evaluation"]["entries"] == 100_000
    assert (tmp_path / "dispatch.png").stat().st_size > 1000
