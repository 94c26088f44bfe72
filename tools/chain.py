"""What the whole chain costs and how fresh its messages are: from a table, by its stream, to messages.

What `tools.cost` reckons for runs, plus the producer and what its small objects bring with them: requests to write and
to read them, and their events. Reading a DynamoDB stream costs nothing for Lambda; the table itself is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from fanout.costs import PRICES, lambda_dollars
from tools.cost import DAYS, MEMORY_MB, SECONDS, TICK_MINUTES, Bill, Load, our_year, total

WINDOW_SECONDS = 60
"""MaximumBatchingWindowInSeconds of the producer's mapping; a test compares."""
BATCH_RECORDS = 10_000
OBJECT_EVENTS_WINDOW_SECONDS = 20
PRODUCER_MEMORY_MB = 1024
SHARDS = 4
"""A new on-demand table has so many partitions, each with a shard. Source: "DynamoDB on-demand capacity mode"."""
EMF_METRICS = 1
ALARM_METRICS = 2
"""What the producer adds to those of `tools.cost`; a test counts them."""
PRODUCER_SECONDS = {"batch": 0.3, "object": 0.003, "record": 0.0001}
"""Guesses, rounded up: 32 objects are written at once, and a record is parsed, packed and written as JSON."""
RUN_SECONDS = 15
"""From StartExecution to the last message of a Lambda run with a cold start."""
LOADS = (Load(100, 15, 2_000), Load(10_000, 15, 2_000))
WINDOWS = (5, 60, 300)


@dataclass(frozen=True)
class Chain:
    """A load whose change log the producer writes.

    Attributes
    ----------
    load
        Providers, cadence and changes.
    window
        Seconds for which Lambda gathers records.
    """

    load: Load
    window: float = WINDOW_SECONDS

    @property
    def batches(self) -> float:
        """Batches of a year; a shard without a record gives none."""
        records = self.load.providers * self.load.rows / 86_400 * self.window / SHARDS
        full = max(1.0, records / BATCH_RECORDS)
        return DAYS * 86_400 / self.window * SHARDS * full * _any(records / full)

    @property
    def objects(self) -> float:
        """Objects of a year: one for each provider that a batch has a record of."""
        records = self.load.providers * self.load.rows / 86_400 * self.window / SHARDS
        full = max(1.0, records / BATCH_RECORDS)
        each = self.load.rows / 86_400 * self.window / SHARDS / full
        return DAYS * 86_400 / self.window * SHARDS * full * self.load.providers * _any(each)

    def producer(self) -> Bill:
        """A year of what comes before the runs: the producer, its objects, and the object events of all of them."""
        records = self.load.providers * self.load.rows * DAYS
        bill: Bill = defaultdict(float)
        seconds = PRODUCER_SECONDS["batch"] + (
            self.objects * PRODUCER_SECONDS["object"] + records * PRODUCER_SECONDS["record"]
        ) / max(self.batches, 1.0)
        told = min(self.objects, DAYS * 86_400 / OBJECT_EVENTS_WINDOW_SECONDS)
        bill["Lambda"] = self.batches * lambda_dollars(seconds, PRODUCER_MEMORY_MB)
        bill["Lambda"] += told * lambda_dollars(SECONDS["object_events"], MEMORY_MB["object_events"])
        bill["S3"] = self.objects * (PRICES["s3_list_or_put"] + PRICES["s3_get"])
        bill["SQS"] = self.objects * 1.3 * PRICES["sqs_request"]  # sent one by one, received and deleted by tens
        bill["DynamoDB"] = self.objects * 2 * PRICES["dynamodb_write"]  # a mark, in the table and in its index
        if self.load.profile == "prod":
            bill["CloudWatch"] = 12 * (
                EMF_METRICS * PRICES["metric_month"] + ALARM_METRICS * PRICES["alarm_metric_month"]
            )
        return bill

    def year(self) -> float:
        """Dollars of a year, from the table to the queue."""
        return total(our_year(self.load)) + total(self.producer())

    @property
    def freshness(self) -> tuple[float, float]:
        """Minutes from a change to its message: on average, and at most while nothing waits for a place."""
        waits = (self.window, OBJECT_EVENTS_WINDOW_SECONDS, max(self.load.frequency, TICK_MINUTES) * 60)
        return (sum(waits) / 2 + RUN_SECONDS) / 60, (sum(waits) + 2 * RUN_SECONDS) / 60


def _any(expected: float) -> float:
    """How likely it is that there is one, when so many are expected and they come independently."""
    return 1 - math.exp(-expected)


def table(loads: Iterable[Load] = LOADS, windows: Iterable[float] = WINDOWS) -> str:
    """Objects, dollars and minutes by load and batching window, as a Markdown table."""
    lines = [
        "| providers | window | objects a day | producer and events, a year | whole chain, a year | mean age | most |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for load in loads:
        for window in windows:
            chain = Chain(load, window)
            mean, most = chain.freshness
            what = f"| {load.providers:,} | {window:g} s | {chain.objects / DAYS:,.0f}"
            prices = f"${total(chain.producer()):,.0f} | ${chain.year():,.0f}"
            lines.append(f"{what} | {prices} | {mean:.1f} min | {most:.1f} min |")
    return "\n".join(lines)
