"""How a repair reaches the laptop cloud that is running: moto's classes are the process's, a cloud comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hooks:
    """What the repairs ask of the running laptop cloud, about moto's objects."""

    invoke_function: Callable[[Any, bytes, str, dict[str, str]], bytes]
    """See `laptop_cloud.aws.functions.FunctionRunner.invoke`."""
    job_run_started: Callable[[Any, Any], None]
    """A run of a job was accepted."""
    stop_job_run: Callable[[str], bool]
    """Stops a run by its id; whether it was running."""
    execution_changed: Callable[[Any], None]
    """An execution has reached another status."""
    principal: Callable[[str], str]
    """Role ARN -> the access key id under which the role's calls are made."""
    concurrency: Callable[[], int]
    """How many functions may run at once in the account."""


_connected: list[Hooks] = []


def connect(hooks: Hooks | None) -> None:
    """Send what the repairs catch to `hooks` from now on; None disconnects."""
    _connected[:] = [hooks] if hooks else []


def hooks() -> Hooks:
    """Those of the laptop cloud that is running."""
    if not _connected:
        raise RuntimeError("no laptop cloud is connected")
    return _connected[0]
