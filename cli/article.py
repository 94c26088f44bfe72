"""The cost of the design in the original article (see README): a Glue run each time that a provider is due."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta

from fanout.costs import PRICES, glue_dollars, lambda_dollars, queue_dollars

TICK = timedelta(minutes=15)
"""The shortest time between two runs of a provider."""
ROW_SECONDS = 1 / 41
"""It sends row by row. Measured on two cores, with 15 ms for each request to the queue."""
START_SECONDS = 30.0
"""Start-up time of a Glue run; an estimate, rounded up."""
UPDATE_SECONDS, UPDATE_MEMORY_MB = 0.4, 512
STATES = 2
LOG_BYTES = 20_000


def article_run(rows: float) -> defaultdict[str, float]:
    """Service -> US dollars for one run: always Glue, `collect()`, one request per row."""
    bill: defaultdict[str, float] = defaultdict(float)
    bill["Glue"] = glue_dollars(START_SECONDS + rows * ROW_SECONDS, 2)
    bill["Step Functions"] = (1 + STATES) * PRICES["step_functions_transition"]
    bill["Lambda"] = lambda_dollars(UPDATE_SECONDS, UPDATE_MEMORY_MB)
    bill["SQS"] = queue_dollars(round(rows), batch=1)
    bill["S3"] = 2 * PRICES["s3_list_or_put"] + PRICES["s3_get"]
    bill["CloudWatch"] = LOG_BYTES / 1e9 * PRICES["log_gb"]
    return bill


def article_dollars(periods: Mapping[str, timedelta], rows: Mapping[str, int], covered: timedelta) -> float:
    """The cost in US dollars of the article's design, for the same rows in the same period.

    Parameters
    ----------
    periods
        Provider -> its period.
    rows
        Provider -> its rows; 0 if missing.
    """
    total = 0.0
    for provider, period in periods.items():
        runs = max(1.0, covered / max(period, TICK))
        total += runs * sum(article_run(rows.get(provider, 0) / runs).values())
    return total if covered else 0.0
