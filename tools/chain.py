"""Cost and freshness of the whole chain: from a DynamoDB table through its stream to messages.

Adds the producer to the model of `tools.cost`, with the requests and events that its small objects cause. Lambda reads
a DynamoDB stream free of charge. The table itself is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from fanout.costs import PRICES, lambda_dollars
from tools.cost import DAYS, MEMORY_MB, SECONDS, Bill, Load, our_year, total

WINDOW_SECONDS = 60
"""MaximumBatchingWindowInSeconds of the producer's mapping; a test compares."""
BATCH_RECORDS = 10_000
OBJECT_EVENTS_WINDOW_SECONDS = 20
PRODUCER_MEMORY_MB = 1024
SHARDS = 4
"""Partitions of a new on-demand table, each with one shard. Source: "DynamoDB on-demand capacity mode"."""
EMF_METRICS = 2
ALARM_METRICS = 3
"""Metrics that the producer adds to those of `tools.cost`; a test compares."""
PRODUCER_SECONDS = {"batch": 0.3, "object": 0.003, "record": 0.0001}
"""Estimates, rounded up. The producer writes 32 objects in parallel and encodes each record as JSON."""
RUN_SECONDS = 15
"""From StartExecution to the last message of a Lambda run with a cold start."""
LOADS = (Load(100, 15, 2_000), Load(10_000, 15, 2_000))
WINDOWS = (5, 60, 300)


@dataclass(frozen=True)
class Chain:
    """A workload whose change log is written by the producer.

    Attributes
    ----------
    load
        Providers, frequency and changes.
    window
        Batching window of the producer, in seconds.
    """

    load: Load
    window: float = WINDOW_SECONDS

    @property
    def batches(self) -> float:
        """Batches per year. A shard without records has none."""
        records = self.load.providers * self.load.rows / 86_400 * self.window / SHARDS
        full = max(1.0, records / BATCH_RECORDS)
        return DAYS * 86_400 / self.window * SHARDS * full * _any(records / full)

    @property
    def objects(self) -> float:
        """Objects per year: one for each provider with records in a batch."""
        records = self.load.providers * self.load.rows / 86_400 * self.window / SHARDS
        full = max(1.0, records / BATCH_RECORDS)
        each = self.load.rows / 86_400 * self.window / SHARDS / full
        return DAYS * 86_400 / self.window * SHARDS * full * self.load.providers * _any(each)

    def producer(self) -> Bill:
        """Yearly cost of the producer, its objects and their object events."""
        records = self.load.providers * self.load.rows * DAYS
        bill: Bill = defaultdict(float)
        seconds = PRODUCER_SECONDS["batch"] + (
            self.objects * PRODUCER_SECONDS["object"] + records * PRODUCER_SECONDS["record"]
        ) / max(self.batches, 1.0)
        event_batches = min(self.objects, DAYS * 86_400 / OBJECT_EVENTS_WINDOW_SECONDS)
        bill["Lambda"] = self.batches * lambda_dollars(seconds, PRODUCER_MEMORY_MB)
        bill["Lambda"] += event_batches * lambda_dollars(SECONDS["object_events"], MEMORY_MB["object_events"])
        bill["S3"] = self.objects * (PRICES["s3_list_or_put"] + PRICES["s3_get"])
        bill["SQS"] = self.objects * 1.3 * PRICES["sqs_request"]  # sent one at a time, received and deleted in tens
        bill["DynamoDB"] = self.objects * 2 * PRICES["dynamodb_write"]  # pending count, in table and index
        if self.load.profile == "prod":
            bill["CloudWatch"] = 12 * (
                EMF_METRICS * PRICES["metric_month"] + ALARM_METRICS * PRICES["alarm_metric_month"]
            )
        return bill

    def year(self) -> float:
        """Yearly cost from the table to the queue, in US dollars."""
        return total(our_year(self.load)) + total(self.producer())

    @property
    def freshness(self) -> tuple[float, float]:
        """Mean and maximum age of a change when its message is sent, in minutes, while no run waits for a slot."""
        waits = (self.window, OBJECT_EVENTS_WINDOW_SECONDS, max(self.load.frequency, self.load.tick) * 60)
        return (sum(waits) / 2 + RUN_SECONDS) / 60, (sum(waits) + 2 * RUN_SECONDS) / 60


def _any(expected: float) -> float:
    """Probability of at least one event, given the expected number of independent events."""
    return 1 - math.exp(-expected)


def table(loads: Iterable[Load] = LOADS, windows: Iterable[float] = WINDOWS) -> str:
    """Objects, cost and freshness per workload and batching window, as a Markdown table."""
    lines = [
        "| providers | window | objects a day | producer, a year | whole chain, a year | mean age | max age |",
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


def fresher(ticks: Iterable[float] = (15, 5, 1)) -> str:
    """Cost and freshness by `TickMinutes`, with providers whose frequency is one tick, as a Markdown table."""
    lines = [
        "| `TickMinutes` | 1 provider, 1,000 rows a day | 50 providers, 2,000 rows a day each | mean age | max age |",
        "|---:|---:|---:|---:|---:|",
    ]
    for tick in ticks:
        loads = [Load(providers, tick, rows, "dev", tick) for providers, rows in ((1, 1_000), (50, 2_000))]
        prices = " | ".join(f"${total(our_year(load)):,.0f}" for load in loads)
        mean, most = Chain(loads[0], 0).freshness
        lines.append(f"| {tick:g} | {prices} | {mean:.1f} min | {most:.1f} min |")
    return "\n".join(lines)
