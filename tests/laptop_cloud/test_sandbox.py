"""A handler's process is isolated, although it is forked from a process that has imported common modules."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from laptop_cloud.aws.sandbox import Function, Sandbox

HANDLER = """
import random, sys

IMPORTED_BEFORE = sorted(sys.modules)

def handler(event, context):
    import requests

    return {"requests": requests.__file__, "before": IMPORTED_BEFORE, "random": random.random(), "path": sys.path}
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "app.py").write_text(HANDLER)
    return folder


class Starter:
    """Starts sandboxes, which end with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Sandbox] = []

    def seen(self, code: Path, **variables: str) -> Any:
        """Return the result of a new process of a function."""
        function = Function("f", "arn", "app.handler", code, tuple(variables.items()), 20, 128, "role", "group")
        self.started.append(Sandbox(function, "http://localhost", self._folder / "f.log"))
        answer = self.started[-1].call({}, "id")
        assert answer.error is None, answer.error
        return answer.result


@pytest.fixture
def starter(tmp_path: Path) -> Iterator[Starter]:
    found = Starter(tmp_path)
    yield found
    for sandbox in found.started:
        sandbox.kill()


def test_a_function_imports_its_own_copy_of_a_module(starter: Starter, code: Path) -> None:
    assert not starter.seen(code)["requests"].startswith(str(code))
    (code / "requests.py").write_text("")
    assert starter.seen(code)["requests"] == str(code / "requests.py")


def test_a_function_that_sets_python_s_variables_gets_a_new_interpreter(starter: Starter, code: Path) -> None:
    assert "boto3" in starter.seen(code)["before"]
    assert "boto3" not in starter.seen(code, PYTHONOPTIMIZE="1")["before"]


def test_functions_share_neither_random_numbers_nor_paths(starter: Starter, code: Path) -> None:
    one, two = starter.seen(code), starter.seen(code)
    assert one["random"] != two["random"]
    assert one["path"][0] == str(code)
    assert not [path for path in one["path"] if path.endswith("laptop_cloud/aws")]


def test_a_sandbox_is_alive_until_its_process_has_ended(starter: Starter, code: Path) -> None:
    starter.seen(code)
    (sandbox,) = starter.started
    assert sandbox.alive()
    assert sandbox.kill() == sandbox.kill() == -9
    assert not sandbox.alive()


def test_several_threads_can_end_a_sandbox_at_the_same_time(starter: Starter, code: Path) -> None:
    starter.seen(code)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda sandbox: sandbox.kill(), starter.started * 4)) == [-9] * 4
    starter.seen(code)
