"""The console script `fanout`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .commands import (
    bookmark,
    change,
    console,
    cost,
    diff,
    doctor,
    job,
    maintenance,
    mapping,
    providers,
    put,
    replay,
    run,
    runs,
    snapshot,
    status,
    ticks,
    trace,
)

TERMINAL = sys.stdout.isatty() and sys.stderr.isatty()
"""On a terminal, help and errors have boxes and colors; files and other programs get plain text."""
ABOUT = "Operate glue-fanout: on the laptop cloud while `make up` runs in this folder, or else on the stack on AWS."

app = typer.Typer(
    name="fanout",
    help=ABOUT,
    epilog="Exit status: 0 success; 1 the command failed, or found a problem; 2 invalid command line; 3 no access; "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if TERMINAL else None,
    context_settings={} if TERMINAL else {"terminal_width": 160},  # no command's summary is longer
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("glue-fanout"))
        raise typer.Exit


@app.callback(help=ABOUT)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Accept the options of `fanout` itself."""


for module in (
    status,
    ticks,
    providers,
    change,
    run,
    replay,
    runs,
    trace,
    put,
    snapshot,
    cost,
    diff,
    doctor,
    maintenance,
    console,
    bookmark,
    mapping,
    job,
):
    app.add_typer(module.app)


def main() -> None:
    """Run the command line; exits with one of `cli.errors.Exit`."""
    sys.exit(app())
