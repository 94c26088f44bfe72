"""The change-log job: one CloudEvents message per changed DynamoDB row, read from one provider's new objects.

    read ─► parse ─► etl ─► send

AWS Glue runs this file as a script; for Lambda runs, a function imports it as a module. Both send byte-identical
messages, because everything between an object and its messages is the same code, in `fanout_job`; the engines, Glue
and Lambda, differ only in how they spread objects over processes. To change what is sent, change `transform`, or set
`etl`. docs/etl.md says what a row can hold and what happens to bad ones.
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
    """Turn one changed row into what its messages carry as `data`. Both engines call this for every row.

    Parameters
    ----------
    change : Change
        The row: `operation` ("insert", "modify" or "remove"), `keys`, `new` and `old` (plain dicts; None where
        there is no such image, or the stream's view type leaves it out), `data` (a dict of table, keys, new and
        old), `table`, `time`, `sequence`, `id`, `expired` (deleted by TTL). Numbers are `int` or, where they have
        a fraction, an exponent or more than 18 digits, `Decimal`; binary values are base64 strings; sets are lists.

    Returns
    -------
    payload : dict, list of dict, or None
        None or an empty list sends nothing, a dict sends one message, a list one message an element.

    Example
    -------
    Only price changes:

    >>> def transform(change):
    ...     if change.new and change.old and change.new.get("price") != change.old.get("price"):
    ...         return {"keys": change.keys, "price": change.new.get("price"), "was": change.old.get("price")}
    """
    return change.data


# Native PySpark after `transform`: a function `etl(changes: DataFrame) -> DataFrame`, or None. Its rows hold the
# strings `id`, `operation`, `time`, `subject`, `sequence`, `position` (place in the manifest) and `data` (what
# `transform` returned, as JSON); it returns rows of the same columns. Spark alone can run it: set the template's
# parameter LambdaMaxBytes to 0 as well, so that every run goes to Glue.
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
