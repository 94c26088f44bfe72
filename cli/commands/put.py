"""`fanout put`: writes a file into a provider's change log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal as size

from contract.uris import split_uri
from fanout.providers import check_name

from ..command import Command, Context, Provider, iam
from ..errors import UsageError
from ..output import Page

app = typer.Typer()


@dataclass(frozen=True)
class PutReport:
    """The object that was written."""

    uri: str
    bytes: int


@app.command(cls=Command, epilog=iam("put"))
def put(
    ctx: Context,
    provider: Provider,
    file: Annotated[Path, typer.Argument(help="Change records as gzip JSON lines.", exists=True, dir_okay=False)],
    name: Annotated[
        str | None,
        typer.Option("--as", metavar="KEY", help="Object key in provider=NAME/. Defaults to the file's name."),
    ] = None,
) -> None:
    """Write a file into a provider's change log, for tests and demonstrations. The next run processes it."""
    key = name or file.name
    if reason := ctx.obj.stack.planning.why_ignored(key):
        raise UsageError(f"runs would ignore {key} ({reason}); choose another key with --as")
    bucket, prefix = split_uri(ctx.obj.stack.output("ChangeLogDir").rstrip("/") + f"/provider={check_name(provider)}/")
    body = file.read_bytes()
    ctx.obj.stack.client("s3").put_object(Bucket=bucket, Key=prefix + key, Body=body)
    ctx.obj.show(PutReport(f"s3://{bucket}/{prefix}{key}", len(body)), _show)


def _show(report: PutReport, page: Page) -> None:
    page.line(f"{report.uri}, {size(report.bytes)}")
