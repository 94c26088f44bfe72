"""`fanout snapshot`: adds the items of a table that existed before its stream to the change log."""

from __future__ import annotations

from typing import Annotated

import typer

from fanout.stream_records import ProviderAttribute

from ..command import Command, Context, iam, utc_now
from ..output import Page
from ..snapshot import Written, read_export, write_snapshot

app = typer.Typer()


@app.command(cls=Command, epilog=iam("snapshot"))
def snapshot(
    ctx: Context,
    folder: Annotated[
        str, typer.Argument(metavar="EXPORT", help="Folder of a full export: s3://bucket/prefix/AWSDynamoDB/ID/.")
    ],
    provider_attribute: Annotated[
        str, typer.Option("--provider-attribute", help="Value of the template's parameter ProviderAttribute.")
    ],
) -> None:
    """Write the items of a DynamoDB export into the change log as inserts. Run it before you connect the stream."""
    stack = ctx.obj.stack
    attribute, export = ProviderAttribute.parse(provider_attribute), read_export(stack.objects, folder)
    table = stack.client("dynamodb").describe_table(TableName=export.table_arn)["Table"]
    keys = [key["AttributeName"] for key in table["KeySchema"]]
    unassigned = f"s3://{stack.output('DataBucketName')}/unassigned"
    change_log = stack.output("ChangeLogDir")
    written = write_snapshot(stack.objects, export, keys, attribute, change_log, unassigned, utc_now())
    ctx.obj.show(written, _show)


def _show(written: Written, page: Page) -> None:
    page.line(f"{written.items} items of {written.providers} providers; {written.unassigned} without a provider")
    page.line(f"{written.written} objects written; {written.there} existed already")
