"""The yearly bill of the article's design and of this one, side by side, from the one table of unit prices.

It is a model: how often each thing happens follows from the state machine and the code, how long it takes from
measurements on a 2-core machine (`SECONDS`). Consumers of the queue, data transfer and storage of the change log
cost the same either way and are left out, and so are free tiers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cli.article import START_SECONDS, UPDATE_MEMORY_MB, UPDATE_SECONDS, article_run
from cli.commands.cost import TRANSITIONS
from fanout.costs import PRICES, glue_dollars, lambda_dollars, queue_dollars

DAYS = 365
TICK_MINUTES = 15
ROW_BYTES = 50
"""Compressed bytes of a row; `LambdaMaxBytes` is in compressed bytes."""
LAMBDA_MAX_BYTES = 20_000_000
PAGE = 10_000
"""Providers in one answer of the built-in config API."""

SECONDS = {
    "glue_start": START_SECONDS,
    "glue_row": 1 / 43_607,
    "lambda_start": 0.6,
    "lambda_row": 1 / 10_000,
    "dispatch": 1.0,
    "dispatch_provider": 0.0005,
    "claim": 0.4,
    "update_status": UPDATE_SECONDS,
    "config_api": 0.05,
    "object_events": 0.5,
}
"""Seconds of one thing. `glue_row` was measured on two cores with a queue 15 ms away, `lambda_row` is
the small engine's rate rounded down to what one Lambda vCPU (1,769 MB) can do. The others are guesses, rounded up."""

DISPATCH_SECONDS = 900
"""The dispatcher's time limit, which it uses up while heavy providers wait for places; a test compares."""
MEMORY_MB = {
    "dispatch": 1769,
    "claim": 1024,
    "update_status": UPDATE_MEMORY_MB,
    "lambda": 1769,
    "config_api": 512,
    "object_events": 512,
}
"""As template.yaml has them; a test compares."""
EMF_METRICS = 34
"""Metrics that dispatch and update_status emit, each with its dimensions; a test counts them."""
ALARM_METRICS = 16
SWEEPS_A_YEAR = 365
"""`SweepMinutes` is a day; a test compares."""
POLLS_A_YEAR = 5 * 3 * 60 * 24 * DAYS
"""Lambda asks an idle queue with five pollers, each of which waits for 20 seconds. Source: "Using Lambda with Amazon
SQS", Lambda guide."""
LOG_BYTES = {"tick": 4_000, "run": 8_000, "article_tick": 1_000}

Profile = Literal["dev", "prod"]
Engine = Literal["none", "lambda", "glue"]
Bill = defaultdict[str, float]


@dataclass(frozen=True)
class Load:
    """What is to be done.

    Attributes
    ----------
    providers
        How many there are.
    frequency
        Minutes between two runs of each; the tick makes less than 15 impossible.
    rows
        Changed rows that each provider has in a day, evenly spread.
    profile
        dev has neither key nor alarms nor metrics.
    """

    providers: int = 1
    frequency: float = 15
    rows: int = 0
    profile: Profile = "prod"

    @property
    def ticks(self) -> float:
        """Ticks in a year."""
        return DAYS * 24 * 60 / TICK_MINUTES

    @property
    def runs(self) -> float:
        """Runs of one provider in a year."""
        return DAYS * 24 * 60 / max(self.frequency, TICK_MINUTES)

    @property
    def rows_of_a_run(self) -> float:
        """Rows that a run finds on average; below one, most runs find nothing."""
        return self.rows * DAYS / self.runs


def our_engine(rows: float) -> Engine:
    """What *Claim Partition* decides, with the template's defaults."""
    if not rows:
        return "none"
    return "lambda" if rows * ROW_BYTES <= LAMBDA_MAX_BYTES else "glue"


def our_run(rows: float, engine: Engine | None = None) -> Bill:
    """One run of this design with its claim, its end and its two reports to the built-in config API."""
    engine = engine or our_engine(rows)
    bill: Bill = defaultdict(float)
    bill["Step Functions"] = (1 + TRANSITIONS[engine]) * PRICES["step_functions_transition"]
    bill["Lambda"] = (
        lambda_dollars(SECONDS["claim"], MEMORY_MB["claim"])
        + lambda_dollars(SECONDS["update_status"], MEMORY_MB["update_status"])
        + 2 * lambda_dollars(SECONDS["config_api"], MEMORY_MB["config_api"])
    )
    bill["API Gateway"] = 2 * PRICES["api_gateway_request"]
    # A ledger item has 1 to 2 KB and a copy in the index; claim, plan, end and report write both. The entry is written
    # twice.
    bill["DynamoDB"] = 20 * PRICES["dynamodb_write"] + 6 * PRICES["dynamodb_read"]
    bill["Secrets Manager"] = PRICES["secret_request"]
    bill["S3"] = 2 * PRICES["s3_list_or_put"] + 2 * PRICES["s3_get"]
    bill["CloudWatch"] = LOG_BYTES["run"] / 1e9 * PRICES["log_gb"] + PRICES["xray_trace"]
    if engine != "none":
        bill["S3"] += 2 * PRICES["s3_list_or_put"] + 4 * PRICES["s3_get"]
        bill["SQS"] = queue_dollars(round(rows))
    if engine == "lambda":
        bill["Lambda"] += lambda_dollars(SECONDS["lambda_start"] + rows * SECONDS["lambda_row"], MEMORY_MB["lambda"])
    if engine == "glue":
        bill["Glue"] = glue_dollars(SECONDS["glue_start"] + rows * SECONDS["glue_row"], 2)
    return bill


def article_year(load: Load) -> Bill:
    """A year of the article's design; its config API is somebody else's."""
    bill = _times(article_run(load.rows_of_a_run), load.runs * load.providers)
    bill["Lambda"] += load.ticks * lambda_dollars(SECONDS["dispatch"], 128)
    bill["CloudWatch"] += load.ticks * LOG_BYTES["article_tick"] / 1e9 * PRICES["log_gb"]
    bill["Secrets Manager"] += 12 * PRICES["secret_month"]
    return bill


def news_of_a_run() -> Bill:
    """One new object: S3's message, its batch, its mark, what the claim reads of it, and what the commit clears."""
    bill: Bill = defaultdict(float)
    bill["SQS"] = 3 * PRICES["sqs_request"]
    bill["Lambda"] = lambda_dollars(SECONDS["object_events"], MEMORY_MB["object_events"])
    bill["DynamoDB"] = 4 * PRICES["dynamodb_write"] + PRICES["dynamodb_read"]
    return bill


def our_year(load: Load) -> Bill:
    """A year of this design with the built-in config API, and with object events (`Discovery=events`)."""
    rows, runs = load.rows_of_a_run, load.runs * load.providers
    busy = runs * min(1.0, rows)
    idle = max(0.0, min(SWEEPS_A_YEAR * load.providers, runs) - busy)
    bill = _sum(
        _times(_sum(our_run(max(rows, 1.0)), news_of_a_run()), busy),
        _times(our_run(0), idle),
        _times(_our_tick(load), load.ticks),
    )
    bill["SQS"] += POLLS_A_YEAR * PRICES["sqs_request"]
    bill["Secrets Manager"] += 12 * PRICES["secret_month"]
    if load.profile == "prod":
        bill["KMS"] += 12 * PRICES["kms_key_month"] + 10 * (busy + idle) * PRICES["kms_request"]
        bill["CloudWatch"] += 12 * (
            EMF_METRICS * PRICES["metric_month"]
            + ALARM_METRICS * PRICES["alarm_metric_month"]
            + PRICES["dashboard_month"]
        )
    return bill


def _our_tick(load: Load) -> Bill:
    due = load.providers * load.runs * min(1.0, load.rows_of_a_run) / load.ticks
    pages = -(-load.providers // PAGE)
    seconds = SECONDS["dispatch"] + load.providers * SECONDS["dispatch_provider"]
    bill: Bill = defaultdict(float)
    bill["Scheduler"] = PRICES["scheduler_invocation"]
    bill["Lambda"] = lambda_dollars(seconds, MEMORY_MB["dispatch"]) + pages * lambda_dollars(
        SECONDS["config_api"] + load.providers / pages * SECONDS["dispatch_provider"], MEMORY_MB["config_api"]
    )
    bill["API Gateway"] = pages * PRICES["api_gateway_request"]
    bill["DynamoDB"] = (1 + due + load.providers * 300 / 8192) * PRICES["dynamodb_read"]
    bill["Secrets Manager"] = PRICES["secret_request"]
    bill["CloudWatch"] = LOG_BYTES["tick"] / 1e9 * PRICES["log_gb"] + PRICES["xray_trace"]
    return bill


def _times(bill: Bill, factor: float) -> Bill:
    return defaultdict(float, {service: dollars * factor for service, dollars in bill.items()})


def _sum(*bills: Bill) -> Bill:
    added: Bill = defaultdict(float)
    for bill in bills:
        for service, dollars in bill.items():
            added[service] += dollars
    return added


def total(bill: Bill) -> float:
    """Dollars of all services."""
    return sum(bill.values())


def further_provider(year: Callable[[Load], Bill], rows: int = 0) -> float:
    """What a design costs a year for one provider more, which runs every 15 minutes and has so many rows a day."""
    return (total(year(Load(100_000, rows=rows))) - total(year(Load(90_000, rows=rows)))) / 10_000


def overload() -> float:
    """What the dispatcher costs a year more when heavy providers wait at every tick until its time is up."""
    return DAYS * 24 * 60 / TICK_MINUTES * lambda_dollars(DISPATCH_SECONDS, MEMORY_MB["dispatch"])


def glue_floor(frequency: float = 15) -> float:
    """What Glue alone costs a year for one provider that never has anything to do, the article's way."""
    return article_year(Load(frequency=frequency))["Glue"]
