"""`fanout snapshot`: the items of a table that existed before its stream become part of the change log."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.command import Operator, utc_now
from cli.output import Page
from cli.snapshot import Written, read_export, write_snapshot
from fanout.stream_records import ProviderAttribute


def snapshot(
    op: Operator,
    folder: Annotated[
        str,
        typer.Argument(metavar="EXPORT", help="s3 URI of a full export's folder: s3://bucket/prefix/AWSDynamoDB/ID/."),
    ],
    provider_attribute: Annotated[
        str, typer.Option("--provider-attribute", help="As the parameter ProviderAttribute of the template.")
    ],
) -> None:
    """Write a table's items, as an export to S3 has them, into the change log as inserts. Before the stream is read."""
    attribute, export = ProviderAttribute.parse(provider_attribute), read_export(op.stack.objects, folder)
    table = op.stack.client("dynamodb").describe_table(TableName=export.table_arn)["Table"]
    keys = [key["AttributeName"] for key in table["KeySchema"]]
    unassigned = f"s3://{op.stack.output('DataBucketName')}/unassigned"
    change_log = op.stack.output("ChangeLogDir")
    written = write_snapshot(op.stack.objects, export, keys, attribute, change_log, unassigned, utc_now())
    op.show(written, _show)


def _show(written: Written, page: Page) -> None:
    page.line(f"{written.items} items of {written.providers} providers, {written.unassigned} of nobody")
    page.line(f"{written.written} objects written, {written.there} were there")
