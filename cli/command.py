"""What every command has in common: where the stack is, --json, times as operators write them, and how it ends."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.deployment import Deployment, Where
from cli.errors import EXPECTED, Exit, UsageError, as_operator_error
from cli.output import View, as_json, page, safe
from fanout.times import parse_iso

CLOUD_FILE = Path(".local/cloud.json")
CLOUD_FILE_VARIABLE = "FANOUT_CLOUD_FILE"

_AGO = re.compile(r"(\d+)(m|h|d)")
_UNIT = {"m": "minutes", "h": "hours", "d": "days"}

Provider = Annotated[str, typer.Argument(metavar="PROVIDER")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Local = Annotated[
    bool,
    typer.Option("--local", help="Work with the laptop cloud of `make up`.", envvar="FANOUT_LOCAL"),
]
Stack = Annotated[
    str | None,
    typer.Option("--stack", help="CloudFormation stack on AWS; the only one without it.", envvar="FANOUT_STACK"),
]
Region = Annotated[str | None, typer.Option("--region", help="AWS region; your own without it.")]
Profile = Annotated[str | None, typer.Option("--profile", help="AWS profile; your own without it.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")]


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
            view(report, page())

    def note(self, text: str) -> None:
        """Say something beside the answer; never in the way of --json."""
        page(error=True).line(text, style="dim")

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
        if not typer.confirm(safe(question), err=True):
            raise UsageError("nothing was changed")


def _shared(
    *,
    local: Local = False,
    stack: Stack = None,
    region: Region = None,
    profile: Profile = None,
    json: AsJson = False,
) -> Operator:
    cloud_file = Path(os.environ.get(CLOUD_FILE_VARIABLE) or CLOUD_FILE)
    chosen = local or any((stack, region, profile))
    found = not chosen and cloud_file.exists()
    operator = Operator(Where(stack, region, profile, cloud_file if local or found else None), json)
    if found:
        operator.note("this is the laptop cloud of `make up`; --stack names a stack on AWS, --local is silent")
    return operator


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
    except EXPECTED as error:
        shown = as_operator_error(error, local=operator.where.cloud_file is not None)
        page(error=True).line(f"error: {shown}", style="red")
        return shown.status
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def utc_now() -> datetime:
    """The current time."""
    return datetime.now(UTC)


def moment(text: str, now: datetime) -> datetime:
    """Read ``now``, ``30m``, ``6h`` or ``2d`` (ago), a day, or an ISO 8601 time with its zone.

    Raises
    ------
    UsageError
    """
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNIT[ago[2]]: int(ago[1])})
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        text += "T00:00:00Z"
    try:
        return parse_iso(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is not a time ({error}); write 2026-11-22T07:30:00Z, 2026-11-22, now, or 30m, "
            "6h, 2d for so long ago"
        ) from None
