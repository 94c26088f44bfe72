"""`make invoke`: one function with one event, in a process of its own, against the laptop cloud.

The handler is the one that `sam build` built, if it was built for this Python and system; else the function's source
folder, with the packages of this environment.
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from laptop_cloud.aws.sandbox import Answer, Function, Sandbox
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import NotRunningError, ResourceError

BUILT = Path(".aws-sam/build")


def invoke(logical_id: str, event: Any, template: Path, workdir: Path) -> Answer:
    """Invoke a function of the laptop cloud that works in `workdir`, else of one that is up for this call only.

    Raises
    ------
    ResourceError
        The template makes no such function.
    """
    with _running_cloud(template, workdir) as state:
        functions = state["functions"]
        if logical_id not in functions:
            known = ", ".join(sorted(functions))
            raise ResourceError(f"The template makes no function {logical_id}; it makes {known}.")
        built = template.parent / BUILT / logical_id
        code = built.resolve() if built.is_dir() and runs_here(built) else Path(functions[logical_id]["code"])
        environment = tuple((name, value) for name, value in functions[logical_id]["environment"])
        function = Function(**{**functions[logical_id], "code": code, "environment": environment})
        log = workdir / "logs" / f"invoke-{logical_id}.log"
        sandbox = Sandbox(function, state["endpoint"], log)
        try:
            answer = sandbox.call(event, str(uuid.uuid4()))
        finally:
            sandbox.kill()
        sys.stderr.write(log.read_text(encoding="utf-8"))
        log.unlink()
        return answer


def runs_here(built: Path) -> bool:
    """Whether this Python loads all compiled modules of a built package. It may be another one, or another system."""
    suffixes = tuple(suffix for suffix in importlib.machinery.EXTENSION_SUFFIXES if suffix != ".so")
    compiled = [path.name for path in built.rglob("*.so") if ".cpython-" in path.name]
    return all(name.endswith(suffixes) for name in compiled)


@contextmanager
def _running_cloud(template: Path, workdir: Path) -> Iterator[dict[str, Any]]:
    """The state of the cloud that is up, else of one that is up for this call only."""
    try:
        state = running_state(workdir)
    except NotRunningError:
        print("no laptop cloud is up: starting one for this call", file=sys.stderr)
        with LaptopCloud(template, workdir=workdir):
            yield running_state(workdir)
    else:
        yield state


def running_state(workdir: Path) -> dict[str, Any]:
    """What a running laptop cloud wrote to cloud.json.

    Raises
    ------
    NotRunningError
        There is none, or the process that wrote it is gone.
    """
    try:
        state: dict[str, Any] = json.loads((workdir / "cloud.json").read_text(encoding="utf-8"))
        os.kill(state["pid"], 0)
    except (FileNotFoundError, ProcessLookupError):
        raise NotRunningError(f"No laptop cloud is up in {workdir}: start one with `make up`.") from None
    return state
