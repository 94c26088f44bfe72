"""What every command has in common: where the stack is, --json, and how it ends."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import BotoCoreError, ClientError

from cli.deployment import Deployment, Where
from cli.errors import AccessError, Exit, OperatorError, UsageError
from cli.explain import explain
from cli.output import View, as_json, console
from fanout.errors import ConfigApiAccessError, FanoutError, InvalidProviderError, InvalidRequestError, TransientError

CLOUD_FILE = Path(".local/cloud.json")
CLOUD_FILE_VARIABLE = "FANOUT_CLOUD_FILE"

Local = Annotated[bool, typer.Option("--local", help="Work with the laptop cloud of `make up`.", envvar="FANOUT_LOCAL")]
Stack = Annotated[str, typer.Option("--stack", help="CloudFormation stack on AWS.", envvar="FANOUT_STACK")]
Region = Annotated[str | None, typer.Option("--region", help="AWS region; your own without it.")]
Profile = Annotated[str | None, typer.Option("--profile", help="AWS profile; your own without it.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass
class Operator:
    """Whoever runs a command: where the stack is, and how they want to be answered."""

    where: Where
    json: bool = False

    @cached_property
    def stack(self) -> Deployment:
        """The stack."""
        return Deployment.find(self.where)

    def show(self, report: Any, view: View[Any]) -> None:
        """Answer."""
        if self.json:
            print(as_json(report))  # noqa: T201 - the one place that writes to stdout
        else:
            view(report, console())

    def note(self, text: str) -> None:
        """Say something beside the answer; never in the way of --json."""
        console(error=True).print(text, style="dim", markup=False)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something that cannot be taken back.

        Raises
        ------
        UsageError
            Nobody is there to be asked, or they said no.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{question} Nobody is here to be asked: add --yes.")
        if not typer.confirm(question, err=True):
            raise UsageError("nothing was changed")


def _shared(
    *,
    local: Local = False,
    stack: Stack = "glue-fanout-dev",
    region: Region = None,
    profile: Profile = None,
    json: AsJson = False,
) -> Operator:
    cloud_file = Path(os.environ.get(CLOUD_FILE_VARIABLE) or CLOUD_FILE) if local else None
    return Operator(Where(stack, region, profile, cloud_file), json)


def command(
    app: typer.Typer, name: str | None = None
) -> Callable[[Callable[..., Exit | None]], Callable[..., Exit | None]]:
    """Register a function whose first parameter is the `Operator` as a command with the shared options."""

    def register(function: Callable[..., Exit | None]) -> Callable[..., Exit | None]:
        shared = inspect.signature(_shared, eval_str=True).parameters
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        parameters = [*own, *shared.values()]

        @functools.wraps(function)
        def run(**given: Any) -> None:
            operator = _shared(**{key: given.pop(key) for key in shared})
            raise typer.Exit(_outcome(function, operator, given))

        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        app.command(name)(run)
        return function

    return register


def _outcome(function: Callable[..., Exit | None], operator: Operator, given: dict[str, Any]) -> Exit:
    try:
        return function(operator, **given) or Exit.OK
    except (OperatorError, FanoutError, ClientError, BotoCoreError) as error:
        shown = as_operator_error(error, local=operator.where.cloud_file is not None)
        console(error=True).print(f"error: {shown}", style="red", markup=False)
        return shown.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def as_operator_error(error: Exception, *, local: bool) -> OperatorError:
    """Any expected error as one with an exit status."""
    if isinstance(error, OperatorError):
        return error
    if isinstance(error, ClientError | BotoCoreError):
        return explain(error, local=local)
    cause = error.__cause__
    if isinstance(cause, ClientError | BotoCoreError):
        return explain(cause, local=local)
    if isinstance(error, InvalidProviderError | InvalidRequestError):
        return UsageError(str(error))
    if isinstance(error, ConfigApiAccessError | TransientError):
        return AccessError(str(error))
    return OperatorError(str(error))
