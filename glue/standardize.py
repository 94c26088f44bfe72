"""The standardizing job: each provider's CSV, XML or JSON into one Parquet table of one model.

    read ─► map ─► transform ─► write

What each provider writes, and what of it becomes which field, says its mapping, `mappings/PROVIDER.yaml` in the data
bucket. The model and `transform` are the same for all. AWS Glue runs this file as a script; for Lambda runs,
a function imports it as a module. docs/standardize.md says what a mapping can hold and what happens to bad rows.
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
        "order_id": Field("string", "The order, as its provider names it", required=True),
        "ordered_at": Field("timestamp", "When it was placed", required=True),
        "customer": Field("string", "Who placed it"),
        "country": Field("string", "Where it goes, ISO 3166-1 alpha-2"),
        "product": Field("string", "What was ordered, as its provider names it"),
        "quantity": Field("integer", "How many", required=True),
        "unit_price": Field("decimal(12,2)", "Price of one, without tax", required=True),
        "currency": Field("string", "ISO 4217", required=True),
        "weight_kg": Field("decimal(9,3)", "Weight of the parcel"),
        "gift": Field("boolean", "Whether it is wrapped as a gift"),
        "delivery_date": Field("date", "When it is to arrive, where it arrives"),
    },
)

# What a mapping cannot say: a function `transform(record)`, or None. It gets each row as a dict of the model's fields
# (str, int, float, Decimal, bool, date, datetime or None) and of what the mapping lists under `extra`, as text. It
# returns the row with its changes, or None to leave it out. Without it, rows are converted thousands at a time.
transform: Transform | None = None


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Run in Lambda."""
    return run.in_lambda(event, context, lambda this: standard.convert(this, MODEL, transform))


def main(argv: Sequence[str]) -> None:
    """Run on Glue."""
    run.on_glue(argv, lambda this: standard.convert(this, MODEL, transform))


if __name__ == "__main__":
    main(sys.argv)
