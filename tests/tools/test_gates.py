"""Make targets and `.ci/run` fail when they should, on a small copy of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest

from tests.template.reading import ROOT

VENV = Path(sys.prefix)
STAMPS = (".run", ".dev", "spark-classes.jsa")
"""Files of the environment that make must take as they are."""
CHECKED = ("contract", "functions", "glue", "demo", "laptop_cloud", "tools", "cli")
STEPS = [["setup"], ["lint", "validate", "security", "judges", "judge-deploy"], ["test"]]
"""The targets of `.ci/run`, in order; those of one step run side by side."""
GOOD = '"""A module."""\n\n\ndef double(number: int) -> int:\n    """Twice the number."""\n    return 2 * number\n'
GOOD_TEST = "from tools.tools_small import double\n\n\ndef test_double() -> None:\n    assert double(2) == 4\n"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The Makefile and the settings of the tools, with one small module in each folder and one test."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    for folder in CHECKED:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}_small.py").write_text(GOOD)
    (tmp_path / "tools/__init__.py").write_text('"""A package."""\n')
    for folder in ("unit", "template", "tools"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
    (tmp_path / "tests/unit/test_small.py").write_text(GOOD_TEST)
    return tmp_path


def make(copy: Path, target: str) -> subprocess.CompletedProcess[str]:
    """Run a target in the copy with this environment, and install nothing."""
    command = [shutil.which("make") or "make", "-C", str(copy), f"VENV={VENV}", "TEST_WORKERS=1", "PYTHON=/bin/false"]
    command += [f"--assume-old={VENV / stamp}" for stamp in STAMPS]
    return subprocess.run([*command, target], capture_output=True, text=True, check=False)


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.slow
def test_lint_finds_a_type_error_in_each_folder_of_the_product(copy: Path) -> None:
    for folder in CHECKED:
        replaced(copy / folder / f"{folder}_small.py", "return 2 * number", "return str(number)")

    done = make(copy, "lint")

    assert done.returncode != 0
    for folder in CHECKED:
        place = f"{folder}/{folder}_small.py:6"
        assert f"{place}: error: Incompatible return value type" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        ("cli/cli_small.py", "def double", "import os\n\n\ndef double", "F401"),
        ("cli/cli_small.py", "number: int)", "number: int,)", "1 file would be reformatted"),
        ("cli/cli_small.py", '"""A module."""\n\n\n', "", "D100"),
        ("tests/unit/test_small.py", "== 4", "== 4; import os", "E702"),
    ],
    ids=["unused import", "format", "no docstring", "tests"],
)
def test_lint_fails_with_one_error(path: str, old: str, new: str, said: str, copy: Path) -> None:
    replaced(copy / path, old, new)

    done = make(copy, "lint")

    assert done.returncode != 0
    assert said in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("target", ["check", "test"])
def test_a_failing_test_fails_check_and_test(target: str, copy: Path) -> None:
    good = make(copy, target)
    replaced(copy / "tests/unit/test_small.py", "== 4", "== 5")

    bad = make(copy, target)

    assert (good.returncode, bad.returncode != 0) == (0, True), good.stdout + good.stderr
    assert "1 passed" in good.stdout
    assert "1 failed" in bad.stdout


@pytest.mark.slow
def test_check_fails_on_a_lint_error_before_it_runs_tests(copy: Path) -> None:
    replaced(copy / "cli/cli_small.py", "def double", "import os\n\n\ndef double")

    done = make(copy, "check")

    assert done.returncode != 0
    assert "passed" not in done.stdout


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("failing", [None, *chain.from_iterable(STEPS)])
def test_ci_runs_each_step_in_order_and_ends_with_the_first_that_fails(failing: str | None, tmp_path: Path) -> None:
    program(tmp_path / ".ci/run", (ROOT / ".ci/run").read_text().partition("\n")[2])
    program(tmp_path / "bin/make", f'echo "$*" >>"{tmp_path}/steps"\n[[ " $* " != *" {failing} "* ]]')
    for name in ("bin/chromium", ".venv/bin/python", "tools/find-python"):
        program(tmp_path / name, "echo found")
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    done = subprocess.run([tmp_path / ".ci/run"], env=environment, capture_output=True, text=True, check=False)

    lines = (tmp_path / "steps").read_text().splitlines()
    ran = [[word for word in line.split() if not word.startswith("--")] for line in lines]
    last = next((number for number, step in enumerate(STEPS) if failing in step), len(STEPS) - 1)
    assert ran == STEPS[: last + 1]
    assert (done.returncode == 0) is (failing is None), done.stdout + done.stderr
