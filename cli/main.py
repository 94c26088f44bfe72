"""The console script `fanout`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.commands import bookmark, cost, doctor, providers, put, runs, status

app = typer.Typer(
    name="fanout",
    help="Operate glue-fanout. Works on a stack on AWS (--stack), or on the laptop cloud of `make up` (--local).",
    epilog="Exit status: 0 all is well; 1 it worked, but something is not well; 2 the command line is wrong; "
    "3 no access; 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("glue-fanout"))
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Operate glue-fanout. Works on a stack on AWS (--stack), or on the laptop cloud of `make up` (--local)."""


status.register(app)
providers.register(app)
runs.register(app)
put.register(app)
bookmark.register(app)
cost.register(app)
doctor.register(app)


def main() -> None:
    """Run the command line; exits with one of `cli.errors.Exit`."""
    sys.exit(app())
