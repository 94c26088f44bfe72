"""How a repair reaches the laptop cloud that is running: moto's classes are the process's, a cloud comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hooks:
    """What the repairs ask of the running laptop cloud.

    Attributes
    ----------
    invoke_function
        Moto's function, payload, invocation type, the answer's headers -> the answer's payload. Runs the handler, and
        sets x-amz-function-error when it failed.
    job_run_started
        Moto's job and job run, which was accepted -> None. Runs the job's script.
    stop_job_run
        Id of a job run -> whether it was running, and is stopped now.
    execution_changed
        Moto's execution, which reached a new status -> None.
    principal
        Role ARN -> the access key id under which the role's calls are made.
    """

    invoke_function: Callable[[Any, bytes, str, dict[str, str]], bytes]
    job_run_started: Callable[[Any, Any], None]
    stop_job_run: Callable[[str], bool]
    execution_changed: Callable[[Any], None]
    principal: Callable[[str], str]


_connected: list[Hooks] = []


def connect(hooks: Hooks | None) -> None:
    """Send what the repairs catch to `hooks` from now on; None disconnects."""
    _connected[:] = [hooks] if hooks else []


def hooks() -> Hooks:
    """Those of the laptop cloud that is running."""
    if not _connected:
        raise RuntimeError("no laptop cloud is connected")
    return _connected[0]
