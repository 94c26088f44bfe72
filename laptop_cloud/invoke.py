"""Invokes one function with one event, in its own process, against a running laptop cloud.

The code is the package that `sam build` built, if it was built for this Python and system; otherwise the function's
source folder, with the packages of this environment.
"""

from __future__ import annotations

import importlib.machinery
import sys
import uuid
from pathlib import Path
from typing import Any

from laptop_cloud.aws.sandbox import Answer, Function, Sandbox
from laptop_cloud.errors import ResourceError
from laptop_cloud.state import running_state

BUILT = Path(".aws-sam/build")


def invoke(logical_id: str, event: Any, template: Path, workdir: Path) -> Answer:
    """Invoke a function of the laptop cloud that is running in `workdir`; its output goes to stderr.

    Raises
    ------
    NotRunningError
        No laptop cloud is running in `workdir`.
    ResourceError
        The template has no such function.
    """
    state = running_state(workdir)
    functions = state["functions"]
    if logical_id not in functions:
        raise ResourceError(f"The template has no function {logical_id}. It has {', '.join(sorted(functions))}.")
    built = template.parent / BUILT / logical_id
    code = built.resolve() if built.is_dir() and runs_here(built) else Path(functions[logical_id]["code"])
    environment = tuple((name, value) for name, value in functions[logical_id]["environment"])
    function = Function(**{**functions[logical_id], "code": code, "environment": environment})
    log = workdir / "logs" / f"invoke-{logical_id}.log"
    sandbox = Sandbox(function, state["endpoint"], log)
    try:
        return sandbox.call(event, str(uuid.uuid4()))
    finally:
        sandbox.kill()
        sys.stderr.write(log.read_text(encoding="utf-8"))
        log.unlink()


def runs_here(built: Path) -> bool:
    """Return whether this Python can load all compiled modules of a built package."""
    suffixes = tuple(suffix for suffix in importlib.machinery.EXTENSION_SUFFIXES if suffix != ".so")
    compiled = [path.name for path in built.rglob("*.so") if ".cpython-" in path.name]
    return all(name.endswith(suffixes) for name in compiled)
