"""The change-log job: one CloudEvents message per changed DynamoDB row, read from one provider's new objects.

    read ─► parse ─► etl ─► send

AWS Glue runs this file as a script; for Lambda runs, a function imports it as a module. Both engines send
byte-identical messages, because they share the code that turns objects into messages (`fanout_job`). They differ only
in how they distribute objects over processes. To change the messages, change `transform`, or set `etl`. docs/etl.md
describes rows, and how bad rows are handled.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from fanout_job import lambda_run, run
from fanout_job.changes import Change, Payload

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def transform(change: Change) -> Payload | list[Payload] | None:
    """Return the `data` of the messages for one changed row. Both engines call this for every row.

    Parameters
    ----------
    change : Change
        The row: `operation` ("insert", "modify" or "remove"; "upsert" for a record of an export with only a new
        image, which may be either of the first two), `keys`, `new` and `old` (plain dicts; None if the record has no
        such image, which depends on the view type), `data` (a dict of table, keys, new and old), `table`, `time`,
        `sequence`, `id`, `expired` (deleted by TTL). Numbers are `int`, or `Decimal` if they have a fraction, an
        exponent or more than 18 digits; binary values are base64 strings; sets are lists.

    Returns
    -------
    payload : dict, list of dict, or None
        None or an empty list sends nothing, a dict sends one message, a list sends one message per element.

    Example
    -------
    Only price changes:

    >>> def transform(change):
    ...     if change.new and change.old and change.new.get("price") != change.old.get("price"):
    ...         return {"keys": change.keys, "price": change.new.get("price"), "was": change.old.get("price")}
    """
    return change.data


# Native PySpark after `transform`: a function `etl(changes: DataFrame) -> DataFrame`, or None. The columns are the
# strings `id`, `operation`, `time`, `subject`, `sequence`, `position` (sort key for the order) and `data` (the return
# value of `transform`, as JSON). `etl` returns rows with the same columns. It needs Spark, so also set the template's
# parameter LambdaMaxBytes to 0, which sends every run to Glue.
etl: Callable[[DataFrame], DataFrame] | None = None


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run in Lambda."""
    return run.in_lambda(event, context, lambda this: lambda_run.send_changes(this, transform, etl))


def main(argv: Sequence[str]) -> None:
    """Run on Glue."""
    from fanout_job import spark

    run.on_glue(argv, lambda this: spark.send_changes(this, transform, etl))


if __name__ == "__main__":
    main(sys.argv)
