"""Connects the repairs, which are global, to the laptop cloud that is running."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hooks:
    """Callbacks of the running laptop cloud, whose arguments are moto's objects."""

    invoke_function: Callable[[Any, bytes, str, dict[str, str]], bytes]
    """See `laptop_cloud.aws.functions.FunctionRunner.invoke`."""
    job_run_started: Callable[[Any, Any], None]
    """A run of a job was accepted."""
    stop_job_run: Callable[[str], bool]
    """Stops a run by its id; returns whether it was running."""
    execution_changed: Callable[[Any], None]
    """The status of an execution has changed."""
    access_key_id: Callable[[str], str]
    """Role ARN -> the access key id of the role's calls."""
    concurrency: Callable[[], int]
    """Returns the maximum of concurrent invocations in the account."""


_connected: list[Hooks] = []


def connect(hooks: Hooks | None) -> None:
    """Use `hooks` from now on; None disconnects."""
    _connected[:] = [hooks] if hooks else []


def hooks() -> Hooks:
    """Return the hooks of the laptop cloud that is running."""
    if not _connected:
        raise RuntimeError("no laptop cloud is connected")
    return _connected[0]
