"""Common parts of all commands: the options that name the stack, --json, and exit statuses."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand
from typer.main import get_command

from .deployment import Deployment, Where
from .errors import EXPECTED, Exit, UsageError, as_operator_error
from .output import View, as_json, page, safe

CLOUD_FILE = Path(".local/cloud.json")
CLOUD_FILE_VARIABLE = "FANOUT_CLOUD_FILE"

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="Name of a provider.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")]


@dataclass
class Operator:
    """The stack that a command uses, and the format of its answer.

    Parameters
    ----------
    where
        Which stack.
    json
        Whether answers are JSON documents instead of text.
    connect
        Connects to the stack.
    """

    where: Where
    json: bool = False
    connect: Callable[[Where], Deployment] = field(default=Deployment.find, repr=False)
    _stack: Deployment | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def stack(self) -> Deployment:
        """The stack; connects to it at first use."""
        with self._lock:
            self._stack = self._stack or self.connect(self.where)
            return self._stack

    def disconnect(self) -> None:
        """Connect again at the next use: after a restart, the laptop cloud has another address."""
        with self._lock:
            self._stack = None

    def show(self, report: Any, view: View[Any]) -> None:
        """Print a command's answer."""
        if self.json:
            print(as_json(report))  # noqa: T201 - the one place that writes to stdout
        else:
            view(report, page())

    def note(self, text: str) -> None:
        """Print a remark to stderr, where it does not disturb --json."""
        page(error=True).line(text, style="dim")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before a change that cannot be undone.

        Raises
        ------
        UsageError
            The operator said no, or there is no terminal on which to ask.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{question} Add --yes: without a terminal, the command cannot ask for confirmation.")
        if not typer.confirm(safe(question), err=True):
            raise UsageError("canceled; nothing was changed")


class Context(typer.Context):
    """The first argument of a command; `obj` is the operator."""

    obj: Operator


def connection(
    *,
    local: Annotated[
        bool, typer.Option("--local", help="Use the laptop cloud that `make up` runs.", envvar="FANOUT_LOCAL")
    ] = False,
    stack: Annotated[
        str | None,
        typer.Option(
            "--stack",
            help="Name of the CloudFormation stack. Not needed if the account has only one glue-fanout stack.",
            envvar="FANOUT_STACK",
        ),
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="AWS region. Defaults to your AWS configuration.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="AWS profile. Defaults to your AWS configuration.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> Operator:
    """Create the operator from the options that all commands share."""
    cloud_file = Path(os.environ.get(CLOUD_FILE_VARIABLE) or CLOUD_FILE)
    chosen = local or any((stack, region, profile))
    found = not chosen and cloud_file.exists()
    operator = Operator(Where(stack, region, profile, cloud_file if local or found else None), json)
    if found:
        operator.note("using the laptop cloud of `make up`; name a stack on AWS with --stack; --local hides this note")
    return operator


@cache
def params_of(function: Callable[..., Any]) -> list[Any]:
    """The arguments and options that a function declares, to be shared by several commands."""
    holder = typer.Typer(add_completion=False)
    holder.command()(function)
    return list(get_command(holder).params)


class Command(TyperCommand):
    """A command of `fanout`: has the shared options, and turns expected errors into messages and exit statuses."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.shared = params_of(connection)
        self.params = [*self.params, *self.shared]

    def invoke(self, ctx: Any) -> None:
        """Run the command and exit with its status."""
        ctx.obj = connection(**{option.name: ctx.params.pop(option.name) for option in self.shared})
        raise typer.Exit(_outcome(super().invoke, ctx))


def _outcome(invoke: Callable[[Any], Exit | None], ctx: Any) -> Exit:
    try:
        return invoke(ctx) or Exit.OK
    except EXPECTED as error:
        shown = as_operator_error(error, local=ctx.obj.where.cloud_file is not None)
        page(error=True).line(f"error: {shown}", style="red")
        return shown.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


_PERMISSIONS = json.loads(Path(__file__).with_name("permissions.json").read_text(encoding="utf-8"))
"""Command -> resource -> IAM actions. A test records the calls of every command and compares them."""


def iam(command: str) -> str:
    """The IAM actions that a command needs, for its help text and the reference."""
    needs = _PERMISSIONS.get(command, {}).items()
    return "IAM actions: " + "; ".join(", ".join(a) + (f" on {resource}" if resource else "") for resource, a in needs)


def utc_now() -> datetime:
    """The current time."""
    return datetime.now(UTC)
