"""How a repair reaches the laptop cloud that is running: moto's classes are the process's, a cloud comes and goes."""

from __future__ import annotations

from typing import Any, Protocol

from moto.awslambda.models import LambdaFunction
from moto.glue.models import FakeJob, FakeJobRun
from moto.stepfunctions.parser.backend.execution import Execution


class Hooks(Protocol):
    """What the repairs ask of the running laptop cloud."""

    def invoke_function(
        self, function: LambdaFunction, payload: bytes, invocation_type: str, headers: dict[str, str]
    ) -> bytes:
        """Run a Lambda function; sets x-amz-function-error in `headers` when its handler failed."""

    def job_run_started(self, job: FakeJob, run: FakeJobRun) -> None:
        """A job run was accepted: run its script."""

    def stop_job_run(self, job_name: str, run_id: str) -> bool:
        """Stop a job run; False when it is not running."""

    def execution_changed(self, execution: Execution) -> None:
        """An execution reached a new status."""

    def principal(self, role_arn: str) -> str:
        """The access key id under which a role's calls are made."""


class _NoHooks:
    """Before a laptop cloud is connected there is nothing to run functions or jobs."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no laptop cloud is connected, so nothing can do {name}")


class _Connected:
    """Of the process, as moto's classes are."""

    hooks: Hooks = _NoHooks()


def connect(hooks: Hooks | None) -> None:
    """Send what the repairs catch to `hooks` from now on; None disconnects."""
    _Connected.hooks = hooks if hooks is not None else _NoHooks()


def hooks() -> Hooks:
    """The laptop cloud that is running."""
    return _Connected.hooks
