"""`fanout mapping`: how each provider of the standard model writes its data."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from cli.command import Operator, Provider
from cli.deployment import Deployment
from cli.errors import Exit, UsageError
from cli.jobs import StandardJob
from cli.output import Page, counted
from fanout.providers import check_name

KINDS = (".yaml", ".json")
"""Of a mapping's key; where a provider has both, the job reads the first."""

File = Annotated[Path, typer.Argument(help="The mapping, YAML or JSON.", exists=True, dir_okay=False)]
Sample = Annotated[Path, typer.Argument(help="An object as the provider writes it.", exists=True, dir_okay=False)]
Job = Annotated[str, typer.Option("--job", help="The script in glue/ whose model it is.")]


@dataclass(frozen=True)
class CheckReport:
    """What becomes of a sample.

    Attributes
    ----------
    rows, bad
        How many rows would be written, and how many would not.
    shown
        The first rows, as they would be written.
    errors
        What is wrong with each of the others.
    """

    rows: int
    bad: int
    shown: tuple[dict[str, Any], ...]
    errors: tuple[str, ...]


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


def check(
    op: Operator,
    file: File,
    sample: Sample,
    job: Job = "standardize",
    rows: Annotated[int, typer.Option(min=0, help="How many rows to show.")] = 5,
) -> Exit:
    """Show the first rows of a sample as they would come out, and every row that would fail. Status 1 if any would."""
    standard = StandardJob.load(job)
    good = 0
    shown: list[dict[str, Any]] = []
    errors: list[str] = []
    for _, row in standard.rows(standard.mapping(file), sample):
        if isinstance(row, str):
            errors.append(row)
            continue
        good += 1
        if len(shown) < rows:
            shown.append(row)
    op.show(CheckReport(good, len(errors), tuple(shown), tuple(errors)), _show_check)
    return Exit.UNHEALTHY if errors else Exit.OK


def put_mapping(op: Operator, provider: Provider, file: File, job: Job = "standardize") -> None:
    """Check a mapping against the model and put it where the provider's next run reads it."""
    if file.suffix not in KINDS:
        raise UsageError(f"{file} is neither .yaml nor .json")
    StandardJob.load(job).mapping(file)
    key = f"mappings/{check_name(provider)}{file.suffix}"
    for stored in _stored(op, provider):
        if stored.key != key:
            raise UsageError(f"the provider has {stored.key}; delete it, or put a {Path(stored.key).suffix} file")
    bucket = op.stack.output("DataBucketName")
    made = op.stack.client("s3").put_object(Bucket=bucket, Key=key, Body=file.read_bytes())
    op.show(StoredMapping(provider, key, made.get("VersionId")), _show_stored)


def get_mapping(
    op: Operator,
    provider: Provider,
    version: Annotated[str | None, typer.Option(help="As a run's result names it; the newest without it.")] = None,
) -> None:
    """Print a provider's mapping."""
    found = read_mapping(op.stack, provider, version)
    if found is None:
        wanted = "" if version is None else f" of version {version}"
        raise UsageError(f"{provider} has no mapping{wanted}; `fanout mapping put {provider} FILE` gives it one")
    op.show(found, _show_text)


def read_mapping(stack: Deployment, provider: str, version: str | None = None) -> StoredMapping | None:
    """A provider's mapping, the newest without a version; None when there is none."""
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


def list_mappings(op: Operator) -> None:
    """List the providers that have a mapping."""
    op.show(MappingsReport(tuple(_stored(op, ""))), _show_list)


def _stored(op: Operator, provider: str) -> list[StoredMapping]:
    s3, bucket = op.stack.client("s3"), op.stack.output("DataBucketName")
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
    page.line(f"{counted(report.rows, 'row')} would be written, {report.bad:,} would not")
    for error in report.errors:
        page.line(error, style="red")


def _show_stored(report: StoredMapping, page: Page) -> None:
    page.line(f"{report.key}, version {report.version}: the next run of {report.provider} reads it")


def _show_text(report: StoredMapping, page: Page) -> None:
    for line in (report.text or "").splitlines():
        page.line(line)


def _show_list(report: MappingsReport, page: Page) -> None:
    page.table(("PROVIDER", "LAST MODIFIED", "KEY"), [(m.provider, m.last_modified, m.key) for m in report.mappings])
