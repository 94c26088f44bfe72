"""`fanout mapping …`: the mappings from providers' files to the standard model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from fanout.providers import check_name

from ..command import Command, Context, Provider, iam
from ..deployment import Deployment
from ..errors import Exit, UsageError
from ..jobs import BadInput, StandardJob
from ..output import Page, counted

app = typer.Typer()
mapping = typer.Typer(
    help="Check, put, get or list the mappings from providers' files to the standard model.", no_args_is_help=True
)
app.add_typer(mapping, name="mapping")

KINDS = (".yaml", ".json")
"""Suffixes of a mapping's key. If a provider has both, the job reads the first."""

File = Annotated[Path, typer.Argument(help="Mapping in YAML or JSON.", exists=True, dir_okay=False)]
Sample = Annotated[Path, typer.Argument(help="Example of the provider's files.", exists=True, dir_okay=False)]
Samples = Annotated[list[Path], typer.Argument(help="Examples of a provider's files.", exists=True, dir_okay=False)]
Job = Annotated[str, typer.Option("--job", help="Name of the script in glue/ that has the model.")]


@dataclass(frozen=True)
class CheckReport:
    """The rows that a mapping makes of a sample.

    Attributes
    ----------
    rows, bad
        Numbers of valid and of invalid rows.
    shown
        The first valid rows, as the job would write them.
    errors
        The invalid rows. If the sample cannot be read to its end, the last one says why.
    fields
        Columns of the sample's header, or paths of its records.
    empty
        Number of valid rows without a value, by field. A field that is empty in all rows probably has a wrong source.
    """

    rows: int
    bad: int
    shown: tuple[dict[str, Any], ...]
    errors: tuple[BadInput, ...]
    fields: tuple[str, ...]
    empty: dict[str, int]


@dataclass(frozen=True)
class StoredMapping:
    """A mapping in the data bucket."""

    provider: str
    key: str
    version: str | None = None
    last_modified: datetime | None = None
    text: str | None = None


@dataclass(frozen=True)
class MappingsReport:
    """Answer of `fanout mapping list`."""

    mappings: tuple[StoredMapping, ...]


@mapping.command(cls=Command)
def check(
    ctx: Context,
    file: File,
    sample: Sample,
    job: Job = "standardize",
    rows: Annotated[int, typer.Option(min=0, help="Number of rows to show.")] = 5,
) -> Exit:
    """Show the first rows that a mapping makes of a sample, its columns or paths, and every invalid row with the value
    that does not fit. Exit status 1 if any row is invalid.
    """
    standard = StandardJob.load(job)
    good = 0
    shown: list[dict[str, Any]] = []
    errors: list[BadInput] = []
    empty: Counter[str] = Counter()
    for row in standard.rows(standard.mapping(file), sample):
        if isinstance(row, BadInput):
            errors.append(row)
            continue
        good += 1
        empty.update(name for name, value in row.items() if value is None)
        if len(shown) < rows:
            shown.append(row)
    fields = standard.fields(standard.mapping(file), sample)
    ctx.obj.show(CheckReport(good, len(errors), tuple(shown), tuple(errors), fields, dict(empty)), _show_check)
    return Exit.UNHEALTHY if errors else Exit.OK


@mapping.command("suggest", cls=Command)
def suggest_mapping(
    ctx: Context,
    samples: Annotated[
        list[Path], typer.Argument(help="Examples of the provider's files.", exists=True, dir_okay=False)
    ],
    job: Job = "standardize",
) -> None:
    """Print a first mapping for a provider's files: format, fields matched to the model, and comments on doubts."""
    found = StandardJob.load(job).suggestion(samples)
    ctx.obj.show(found, lambda report, page: page.lines(report.mapping.splitlines()))


@mapping.command("put", cls=Command, epilog=iam("mapping put"))
def put_mapping(ctx: Context, provider: Provider, file: File, job: Job = "standardize") -> None:
    """Check a mapping against the model and upload it. The provider's next run uses it."""
    if file.suffix not in KINDS:
        raise UsageError(f"{file} must be a .yaml or .json file")
    StandardJob.load(job).mapping(file)
    key = f"mappings/{check_name(provider)}{file.suffix}"
    stack = ctx.obj.stack
    for stored in _stored(stack, provider):
        if stored.key != key:
            raise UsageError(f"{provider} has {stored.key}; delete it, or upload a {Path(stored.key).suffix} file")
    bucket = stack.output("DataBucketName")
    made = stack.client("s3").put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
    ctx.obj.show(StoredMapping(provider, key, made.get("VersionId")), _show_stored)


@mapping.command("get", cls=Command, epilog=iam("mapping get"))
def get_mapping(
    ctx: Context,
    provider: Provider,
    version: Annotated[str | None, typer.Option(help="Version, as in a run's result. Defaults to the newest.")] = None,
) -> None:
    """Print a provider's mapping."""
    found = read_mapping(ctx.obj.stack, provider, version)
    if found is None:
        wanted = "" if version is None else f" with version {version}"
        raise UsageError(f"{provider}: no mapping{wanted} found; upload one with `fanout mapping put {provider} FILE`")
    ctx.obj.show(found, lambda report, page: page.lines((report.text or "").splitlines()))


def read_mapping(stack: Deployment, provider: str, version: str | None = None) -> StoredMapping | None:
    """A provider's mapping in a version, or else the newest; None if there is none."""
    bucket, which = stack.output("DataBucketName"), {} if version is None else {"VersionId": version}
    for kind in KINDS:
        key = f"mappings/{check_name(provider)}{kind}"
        try:
            found = stack.client("s3").get_object(Bucket=bucket, Key=key, **which)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion", "404"):
                continue
            raise
        text = found["Body"].read().decode(errors="backslashreplace")
        return StoredMapping(provider, key, found.get("VersionId"), found["LastModified"], text)
    return None


@mapping.command("list", cls=Command, epilog=iam("mapping list"))
def list_mappings(ctx: Context) -> None:
    """List the providers that have a mapping."""
    ctx.obj.show(MappingsReport(tuple(_stored(ctx.obj.stack, ""))), _show_list)


def _stored(stack: Deployment, provider: str) -> list[StoredMapping]:
    s3, bucket = stack.client("s3"), stack.output("DataBucketName")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"mappings/{provider}")
    found = [
        StoredMapping(Path(entry["Key"]).stem, entry["Key"], last_modified=entry["LastModified"])
        for page in pages
        for entry in page.get("Contents", ())
        if Path(entry["Key"]).suffix in KINDS
    ]
    return [one for one in found if not provider or one.provider == provider]


def _show_check(report: CheckReport, page: Page) -> None:
    for number, row in enumerate(report.shown):
        if number:
            page.line("")
        page.facts(row.items())
    if report.shown:
        page.line("")
    page.line(f"{counted(report.rows, 'valid row')}, {report.bad:,} invalid")
    for name, count in report.empty.items():
        page.line(f"{name}: empty in {'all' if count == report.rows else f'{count:,}'} valid rows")
    if report.fields:
        page.line(f"the sample has: {', '.join(report.fields)}")
    for bad in report.errors:
        page.line(bad.text, style="red")


def _show_stored(report: StoredMapping, page: Page) -> None:
    page.line(f"uploaded {report.key}, version {report.version}; the next run of {report.provider} uses it")


def _show_list(report: MappingsReport, page: Page) -> None:
    page.table(("PROVIDER", "LAST MODIFIED", "KEY"), [(m.provider, m.last_modified, m.key) for m in report.mappings])
