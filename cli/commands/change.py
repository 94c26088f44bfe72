"""`fanout set`, `pause`, `resume` and `remove`: change the entries of one or many providers in the config API."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from ..bulk import order
from ..command import Context, iam
from ..errors import Exit, UsageError
from ..purge import purge as purge_providers
from ..registry import AGAIN, call
from ..selection import OrderCommand, requested, select, these
from .providers import Fields, Frequency, given

app = typer.Typer()


@app.command("set", cls=OrderCommand, epilog=iam("set"))
def change(
    ctx: Context,
    frequency: Frequency = None,
    new_group: Annotated[
        str | None, typer.Option("--new-group", help="Group to put the providers into; they share MaxRunsPerGroup.")
    ] = None,
    field: Fields = None,
) -> Exit:
    """Change fields of providers' entries. --field NAME=null removes a field."""
    changes = given(frequency, new_group, field)
    if not changes:
        raise UsageError("nothing to change; use --frequency, --new-group or --field")
    return _patch(ctx, "changed", changes)


@app.command(cls=OrderCommand, epilog=iam("pause"))
def pause(ctx: Context) -> Exit:
    """Pause providers: no tick starts them. Runs in progress continue."""
    return _patch(ctx, "paused", {"paused": True})


@app.command(cls=OrderCommand, epilog=iam("resume"))
def resume(ctx: Context) -> Exit:
    """Resume paused providers. Their next runs process everything that arrived in the meantime."""
    return _patch(ctx, "resumed", {"paused": None})


@app.command(cls=OrderCommand, epilog=iam("remove"))
def remove(
    ctx: Context,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also delete ledger items, pending counts, runs, quarantine, claim checks, mappings and model files.",
        ),
    ] = False,
) -> Exit:
    """Remove providers from the list. Change log, bookmark and records stay: a provider that is added again resumes."""
    stack, asked = ctx.obj.stack, requested(ctx)
    if purge:
        return purge_providers(ctx.obj, asked)
    selected = select(stack, asked.wanted)
    question = f"Remove {these(selected.names)} from the list?"

    def work(name: str) -> dict[str, Any]:
        return call(stack, "DELETE", name, tries=AGAIN)

    return order(ctx.obj, selected, "removed", work, asked, question=question, ask_for_one=True)


def _patch(ctx: Context, did: str, changes: dict[str, Any]) -> Exit:
    stack, asked = ctx.obj.stack, requested(ctx)
    selected = select(stack, asked.wanted)
    question = f"Change {these(selected.names)}: {json.dumps(changes)}?"

    def work(name: str) -> dict[str, Any]:
        return call(stack, "PATCH", name, changes, tries=AGAIN)

    return order(ctx.obj, selected, did, work, asked, question=question)
