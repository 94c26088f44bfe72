"""The wheel that `pip install` makes of this project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.template.reading import ROOT

pytestmark = pytest.mark.slow

BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
RUN = "from fanout_cli.main import app; app(['--help'], prog_name='fanout')"


def test_the_wheel_has_no_top_level_name_that_others_use_and_its_command_line_runs(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("cli", "contract", "functions"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    built = subprocess.run(
        [sys.executable, "-c", BUILD, "dist"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr

    with zipfile.ZipFile(tmp_path / "dist" / built.stdout.splitlines()[-1]) as wheel:
        wheel.extractall(tmp_path / "installed")
    names = {path.name for path in (tmp_path / "installed").iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"contract", "fanout", "fanout_cli"}
    shown = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=tmp_path / "dist",
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Operate glue-fanout" in shown.stdout, shown.stderr
    assert (tmp_path / "installed/fanout_cli/console/assets/console.js").is_file()
