"""`fanout put`: a file becomes an object of a provider's change log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.filesize import decimal as size

from cli.command import Operator, Provider
from cli.errors import UsageError
from cli.output import Page
from fanout.manifests import is_data, split_uri
from fanout.providers import check_name


@dataclass(frozen=True)
class PutReport:
    """What was written."""

    uri: str
    bytes: int


def put(
    op: Operator,
    provider: Provider,
    file: Annotated[Path, typer.Argument(help="gzip JSON lines of change records.", exists=True, dir_okay=False)],
    name: Annotated[
        str | None, typer.Option("--as", metavar="KEY", help="Key below provider=NAME/; the file's name without it.")
    ] = None,
) -> None:
    """Write a file into a provider's change log; the provider's next run takes it. Mostly for trying things out."""
    key = name or file.name
    if not is_data(key):
        raise UsageError(f"{key} would be hidden from runs: no part of a key may begin with '_' or '.'")
    bucket, prefix = split_uri(op.stack.output("ChangeLogDir").rstrip("/") + f"/provider={check_name(provider)}/")
    body = file.read_bytes()
    op.stack.client("s3").put_object(Bucket=bucket, Key=prefix + key, Body=body)
    op.show(PutReport(f"s3://{bucket}/{prefix}{key}", len(body)), _show)


def _show(report: PutReport, page: Page) -> None:
    page.line(f"{report.uri}, {size(report.bytes)}")
