"""laptop_cloud/README.md: its commands work as written, and its lists are those of the code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from laptop_cloud.stack.makers import LEFT_OUT, MAKERS
from tests.harness.children import Child, run
from tests.harness.waiting import eventually

ROOT = Path(__file__).parents[2]
README = (ROOT / "laptop_cloud" / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that contains only laptop_cloud/, as in another project."""
    (tmp_path / "laptop_cloud").symlink_to(ROOT / "laptop_cloud")
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a reader who has the virtual environment on the path."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONPATH"))}
    return {**own, **more, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"}


@pytest.mark.slow
def test_invoke_prints_the_result_of_the_function(folder: Path) -> None:
    done = run(["bash", "-ec", blocks("sh")[0]], cwd=folder, env=environment())

    assert (done.returncode, done.stdout.split()) == (0, ["{", '"price":', "80,", '"limit":', "60", "}"]), done.stderr
    assert "starting one for this call" in done.stderr


@pytest.mark.slow
def test_a_script_works_with_the_environment_that_up_prints(folder: Path) -> None:
    with (folder / "up.txt").open("wb") as output:
        up = Child(["bash", "-ec", f"exec {blocks('sh')[1]}"], cwd=folder, env=environment(), stdout=output)
    try:
        eventually(lambda: "Press Ctrl-C" in (folder / "up.txt").read_text() or up.poll() is not None, "up")
        printed = (folder / "up.txt").read_text()
        (export,) = re.findall(r"^  (export .*)$", printed, re.MULTILINE)
        assert "TraderArn" in printed
        (folder / "script.py").write_text(blocks("python")[0])
        done = run(["bash", "-ec", f"{export}\npython script.py"], cwd=folder, env=environment())
    finally:
        up.send_signal(signal.SIGINT)
        up.wait()

    assert done.returncode == 0, done.stderr
    assert "{'S': 'sell'}" in done.stdout
    assert "{'N': '80'}" in done.stdout
    assert up.returncode == 0


@pytest.mark.slow
def test_the_tests_of_the_example_pass(folder: Path) -> None:
    done = run(["bash", "-ec", blocks("sh")[2]], cwd=folder, env=environment(), stderr=subprocess.STDOUT)

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_test_on_the_page_is_part_of_the_example() -> None:
    example = (ROOT / "laptop_cloud/examples/stock_trader/test_stock_trader.py").read_text(encoding="utf-8")
    body = [line.strip() for line in blocks("python")[1].splitlines()[2:]]
    assert body
    assert [line for line in body if line not in example] == []


def test_the_page_lists_every_resource_type() -> None:
    made = re.search(r"expansion of SAM types\):\n\n(.*?)\n\n", README, re.DOTALL)
    left_out = re.search(r"which are left out:\n\n(.*?)\n\n", README, re.DOTALL)
    assert made is not None
    assert left_out is not None
    custom = {"AWS::CloudFormation::CustomResource", "Custom::*"}
    assert set(re.findall(r"`([^`]+)`", made[1])) == {*MAKERS, *custom}
    assert dict(re.findall(r"^\| `([^`]+)` \| (.*) \|$", left_out[1], re.MULTILINE)) == LEFT_OUT


def test_the_requirements_on_the_page_are_those_that_are_tested() -> None:
    locked = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8").lower()
    (listed,) = blocks("text")
    for requirement in [*listed.split(), *re.findall(r"`([a-z0-9]+==[0-9.]+)`", README)]:
        assert re.search(rf"^{re.escape(requirement.lower())}\b", locked, re.MULTILINE), requirement
