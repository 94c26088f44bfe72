"""What the design of the article that the README names would cost: a Glue run each time that a provider is due."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

from fanout.costs import PRICES, glue_dollars, lambda_dollars, queue_dollars

TICK = timedelta(minutes=15)
"""No provider is started more often."""
ROW_SECONDS = 1 / 41
"""Measured on two cores with a queue 15 ms away: it sends row by row."""
START_SECONDS = 30.0
"""Of a Glue run before it does anything; a guess, rounded up."""
UPDATE_SECONDS, UPDATE_MEMORY_MB = 0.4, 512
STATES = 2
LOG_BYTES = 20_000


def article_run(rows: float) -> defaultdict[str, float]:
    """One run the article's way, service -> dollars: Glue whatever there is, `collect()`, one request a row."""
    bill: defaultdict[str, float] = defaultdict(float)
    bill["Glue"] = glue_dollars(START_SECONDS + rows * ROW_SECONDS, 2)
    bill["Step Functions"] = (1 + STATES) * PRICES["step_functions_transition"]
    bill["Lambda"] = lambda_dollars(UPDATE_SECONDS, UPDATE_MEMORY_MB)
    bill["SQS"] = queue_dollars(round(rows), batch=1)
    bill["S3"] = 2 * PRICES["s3_list_or_put"] + PRICES["s3_get"]
    bill["CloudWatch"] = LOG_BYTES / 1e9 * PRICES["log_gb"]
    return bill


def article_dollars(periods: Mapping[str, timedelta], rows: Mapping[str, int], covered: timedelta) -> float:
    """What the providers would have cost the article's way, for the same rows in the same time.

    Parameters
    ----------
    periods
        Provider -> how often it is due.
    rows
        Provider -> rows that it had; none when left out.
    """
    total = 0.0
    for provider, period in periods.items():
        runs = max(1.0, covered / max(period, TICK))
        total += runs * sum(article_run(rows.get(provider, 0) / runs).values())
    return total if covered else 0.0
