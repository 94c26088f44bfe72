"""The standardize job: converts each provider's CSV, XML or JSON into one Parquet table with one model.

    read ─► map ─► transform ─► write

A mapping per provider, `mappings/PROVIDER.yaml` in the data bucket, describes the provider's format and the source of
each field. All providers share the model and `transform`. AWS Glue runs this file as a script; for Lambda runs, a
function imports it as a module. docs/standardize.md describes mappings, and how bad rows are handled.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from fanout_job import run, standard
from fanout_job.model import Field, Model
from fanout_job.standardizer import Transform

MODEL = Model(
    "orders",
    {
        "order_id": Field("string", "Order number of the provider", required=True),
        "ordered_at": Field("timestamp", "Time of the order", required=True),
        "customer": Field("string", "Name of the customer"),
        "country": Field("string", "Country of delivery, ISO 3166-1 alpha-2"),
        "product": Field("string", "Product name of the provider"),
        "quantity": Field("integer", "Number of items", required=True),
        "unit_price": Field("decimal(12,2)", "Price per item, without tax", required=True),
        "currency": Field("string", "Currency, ISO 4217", required=True),
        "weight_kg": Field("decimal(9,3)", "Weight of the parcel in kilograms"),
        "gift": Field("boolean", "Whether the order is a gift"),
        "delivery_date": Field("date", "Planned day of delivery, in local time"),
    },
)

# Code for anything that a mapping cannot express: a function `transform(record)`, or None. It gets each row as a dict
# with the model's fields (str, int, float, Decimal, bool, date, datetime or None), the mapping's `extra` fields, as
# text, and `_provider`, the provider's name. It returns the changed row, or None to drop it. None for `transform` is
# faster: it converts rows in blocks.
transform: Transform | None = None


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run in Lambda."""
    return run.in_lambda(event, context, lambda this: standard.convert(this, MODEL, transform))


def main(argv: Sequence[str]) -> None:
    """Run on Glue."""
    run.on_glue(argv, lambda this: standard.convert(this, MODEL, transform))


if __name__ == "__main__":
    main(sys.argv)
