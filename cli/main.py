"""The console script `fanout`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.command import command
from cli.commands.bookmark import audit, reset, set_to, show
from cli.commands.console import console
from cli.commands.cost import cost
from cli.commands.doctor import doctor
from cli.commands.mapping import check, get_mapping, list_mappings, put_mapping
from cli.commands.providers import (
    add,
    change,
    discover,
    export_providers,
    import_providers,
    list_providers,
    pause,
    remove,
    resume,
)
from cli.commands.put import put
from cli.commands.run import replay, run
from cli.commands.runs import runs
from cli.commands.snapshot import snapshot
from cli.commands.status import failed, status
from cli.commands.trace import trace

TERMINAL = sys.stdout.isatty() and sys.stderr.isatty()
"""Help and errors have boxes and colours there; whatever else reads them gets plain text."""

app = typer.Typer(
    name="fanout",
    help="Operate glue-fanout. Works on the laptop cloud while `make up` runs here, else on the stack on AWS.",
    epilog="Exit status: 0 all is well; 1 it worked, but something is not well; 2 the command line is wrong; "
    "3 no access; 130 interrupted.",
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


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
) -> None:
    """Operate glue-fanout. Works on the laptop cloud while `make up` runs here, else on the stack on AWS."""


providers = typer.Typer(help="Who there is: list, add, change, remove, discover, import, export.", no_args_is_help=True)
command(providers, "list")(list_providers)
command(providers, "add")(add)
command(providers, "set")(change)
command(providers, "pause")(pause)
command(providers, "resume")(resume)
command(providers, "remove")(remove)
command(providers, "discover")(discover)
command(providers, "import")(import_providers)
command(providers, "export")(export_providers)

bookmark = typer.Typer(help="How far a provider has come: show, set, reset.", no_args_is_help=True)
command(bookmark, "show")(show)
command(bookmark, "set")(set_to)
command(bookmark, "reset")(reset)

mapping = typer.Typer(
    help="How each provider of the standard model writes its data: check, put, get, list.", no_args_is_help=True
)
command(mapping, "check")(check)
command(mapping, "put")(put_mapping)
command(mapping, "get")(get_mapping)
command(mapping, "list")(list_mappings)

command(app)(status)
command(app)(failed)
app.add_typer(providers, name="providers")
for function in (run, runs, trace, replay, put, snapshot, audit, cost, doctor, console):
    command(app)(function)
app.add_typer(bookmark, name="bookmark")
app.add_typer(mapping, name="mapping")


def main() -> None:
    """Run the command line; exits with one of `cli.errors.Exit`."""
    sys.exit(app())
