"""`make run`: options that exclude each other are refused, and values reach the command as they are."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from demo.__main__ import main
from demo.run import Stage
from tests.harness.children import run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--change-log=x --job=standardize", "JOB=standardize cannot be combined with CHANGE_LOG."),
        ("--change-log=x --table", "TABLE=yes cannot be combined with CHANGE_LOG."),
        ("--change-log=x --rows=5 --providers=2", "CHANGE_LOG cannot be combined with PROVIDERS, ROWS."),
        ("--change-log=x --job=change_log --seed=2", "CHANGE_LOG cannot be combined with SEED."),
        ("--files=x --mappings=y", "JOB=change_log cannot be combined with FILES, MAPPINGS."),
        ("--job=standardize --files=x", "FILES and MAPPINGS belong together: set both, or neither."),
        ("--job=standardize --mappings=x", "FILES and MAPPINGS belong together: set both, or neither."),
        (
            "--job=standardize --files=x --mappings=y --rows=100",
            "JOB=standardize with FILES and MAPPINGS cannot be combined with ROWS.",
        ),
        ("--job=standardize --providers=3", "JOB=standardize cannot be combined with PROVIDERS."),
        ("--job=standardize --table", "TABLE=yes cannot be combined with JOB."),
        ("--rows=0", "PROVIDERS=6 ROWS=0: set at least one provider, and ten rows for each."),
        ("--providers=0", "PROVIDERS=0 ROWS=6000: set at least one provider, and ten rows for each."),
        ("--job=standardize --rows=0", "ROWS=0: set at least 50, ten for each of 5 providers."),
        ("--table --providers=0", "PROVIDERS=0 ROWS=5000: set at least one provider and 2 rows."),
        ("--table --rows=1", "PROVIDERS=20 ROWS=1: set at least one provider and 2 rows."),
        ("--change-log=no/such/folder", "no/such/folder is not a folder."),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stage, "play", None)  # nothing may be started
    assert main(["run", *words.split()]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_values_with_any_character_reach_the_command(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text('#!/bin/sh\nfor word in "$@"; do printf "<%s>" "$word"; done\n')
    program.chmod(0o755)
    folder, make = "-my log/a\"b`c'd\ne", shutil.which("make") or "make"

    command = [make, "--no-print-directory", "-C", str(ROOT), "-o", ".venv/.run", "run", f"PY={program}"]

    assert run([*command, f"CHANGE_LOG={folder}"]).stdout == f"<-m><demo><run><--change-log={folder}>"


def test_the_command_needs_no_installed_package_of_this_project() -> None:
    """`make run` installs none, so the project's folders must be found without one."""
    packages = sysconfig.get_path("purelib")
    path = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {packages!r}]"
    code = f"{path}; import demo.__main__, demo.run, demo.plan, cli.output"

    done = run([sys.executable, "-S", "-c", code], cwd="/")

    assert done.returncode == 0, done.stderr
