"""Compare the yearly cost of the article's design with that of glue-fanout.

This is a model. Frequencies come from the state machine and the code, durations from measurements on a 2-core machine
(`SECONDS`). Queue consumers, data transfer, storage of the change log and free tiers are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from cli.article import START_SECONDS, UPDATE_MEMORY_MB, UPDATE_SECONDS, article_run
from cli.spending import TRANSITIONS
from fanout.costs import PRICES, glue_dollars, lambda_dollars, queue_dollars

DAYS = 365
TICK_MINUTES = 15
ROW_BYTES = 50
"""Compressed bytes per row; `LambdaMaxBytes` is in compressed bytes."""
LAMBDA_MAX_BYTES = 20_000_000
PAGE = 10_000
"""Providers per page of the built-in config API."""

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
    "init": 1.0,
}
"""Duration in seconds. `glue_row` was measured on two cores with 15 ms latency to the queue. `lambda_row` is the lambda
engine's rate, rounded down to one Lambda vCPU (1,769 MB). The others are estimates, rounded up. Each call pays for a
new environment ("init"), which is the worst case: since August 1, 2025, Lambda bills the INIT phase of functions in ZIP
packages. Source: "AWS Lambda standardizes billing for INIT Phase", AWS Compute Blog.
"""

DISPATCH_SECONDS = 900
"""Timeout of the dispatcher, which runs that long while providers wait for slots; a test compares."""
MEMORY_MB = {
    "dispatch": 1769,
    "claim": 1024,
    "update_status": UPDATE_MEMORY_MB,
    "lambda": 1769,
    "config_api": 512,
    "object_events": 512,
}
"""Memory sizes of template.yaml; a test compares."""
EMF_METRICS = 40
"""Metrics that dispatch and update_status emit, counted per set of dimensions; a test compares."""
ALARM_METRICS = 22
SWEEPS_A_YEAR = 365
"""`SweepMinutes` is a day; a test compares."""
POLLS_A_YEAR = 5 * 3 * 60 * 24 * DAYS
"""Lambda polls an idle queue with five pollers and 20-second waits. Source: "Using Lambda with Amazon
SQS", Lambda guide."""
LOG_BYTES = {"tick": 4_000, "run": 8_000, "article_tick": 1_000}

Profile = Literal["dev", "prod"]
Engine = Literal["none", "lambda", "glue"]
Bill = defaultdict[str, float]


@dataclass(frozen=True)
class Load:
    """A workload.

    Attributes
    ----------
    providers
        Number of providers.
    frequency
        Minutes between two runs of each provider; at least `tick`.
    rows
        Changed rows per provider and day, evenly spread.
    profile
        dev has no KMS key, no alarms and no custom metrics.
    tick
        Minutes between two ticks, `TickMinutes`.
    """

    providers: int = 1
    frequency: float = 15
    rows: int = 0
    profile: Profile = "prod"
    tick: float = TICK_MINUTES

    @property
    def ticks(self) -> float:
        """Ticks in a year."""
        return DAYS * 24 * 60 / self.tick

    @property
    def runs(self) -> float:
        """Runs of one provider in a year."""
        return DAYS * 24 * 60 / max(self.frequency, self.tick)

    @property
    def rows_of_a_run(self) -> float:
        """Average rows per run. If it is below one, most runs find nothing."""
        return self.rows * DAYS / self.runs


def our_engine(rows: float) -> Engine:
    """Engine that *Claim Partition* chooses with the template's defaults."""
    if not rows:
        return "none"
    return "lambda" if rows * ROW_BYTES <= LAMBDA_MAX_BYTES else "glue"


def our_run(rows: float, engine: Engine | None = None) -> Bill:
    """Cost of one glue-fanout run with its claim, its end and two reports to the built-in config API."""
    engine = engine or our_engine(rows)
    bill: Bill = defaultdict(float)
    bill["Step Functions"] = (1 + TRANSITIONS[engine]) * PRICES["step_functions_transition"]
    bill["Lambda"] = _call("claim") + _call("update_status") + 2 * _call("config_api")
    bill["API Gateway"] = 2 * PRICES["api_gateway_request"]
    # A ledger item has 1 to 2 KB and a copy in the index. Claim, plan, end and report write both. The entry is written
    # twice.
    bill["DynamoDB"] = 20 * PRICES["dynamodb_write"] + 6 * PRICES["dynamodb_read"]
    bill["Secrets Manager"] = PRICES["secret_request"]
    bill["S3"] = 2 * PRICES["s3_list_or_put"] + 2 * PRICES["s3_get"]
    bill["CloudWatch"] = LOG_BYTES["run"] / 1e9 * PRICES["log_gb"] + PRICES["xray_trace"]
    if engine != "none":
        bill["S3"] += 2 * PRICES["s3_list_or_put"] + 4 * PRICES["s3_get"]
        bill["SQS"] = queue_dollars(round(rows))
    if engine == "lambda":
        bill["Lambda"] += _call("lambda", SECONDS["lambda_start"] + rows * SECONDS["lambda_row"])
    if engine == "glue":
        bill["Glue"] = glue_dollars(SECONDS["glue_start"] + rows * SECONDS["glue_row"], 2)
    return bill


def article_year(load: Load) -> Bill:
    """Yearly cost of the article's design, without its config API."""
    bill = _times(article_run(load.rows_of_a_run), load.runs * load.providers)
    bill["Lambda"] += load.ticks * lambda_dollars(SECONDS["dispatch"], 128)
    bill["CloudWatch"] += load.ticks * LOG_BYTES["article_tick"] / 1e9 * PRICES["log_gb"]
    bill["Secrets Manager"] += 12 * PRICES["secret_month"]
    return bill


def object_event() -> Bill:
    """Cost of one new object: its event, the batch, and updating, reading and clearing the pending count."""
    bill: Bill = defaultdict(float)
    bill["SQS"] = 3 * PRICES["sqs_request"]
    bill["Lambda"] = _call("object_events")
    bill["DynamoDB"] = 4 * PRICES["dynamodb_write"] + PRICES["dynamodb_read"]
    return bill


def our_year(load: Load) -> Bill:
    """Yearly cost of glue-fanout with the built-in config API and `Discovery=events`."""
    rows, runs = load.rows_of_a_run, load.runs * load.providers
    busy = runs * min(1.0, rows)
    idle = max(0.0, min(SWEEPS_A_YEAR * load.providers, runs) - busy)
    bill = _sum(
        _times(_sum(our_run(max(rows, 1.0)), object_event()), busy),
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
    of_a_page = SECONDS["config_api"] + load.providers / pages * SECONDS["dispatch_provider"]
    bill["Lambda"] = _call("dispatch", seconds) + pages * _call("config_api", of_a_page)
    bill["API Gateway"] = pages * PRICES["api_gateway_request"]
    bill["DynamoDB"] = (1 + due + load.providers * 300 / 8192) * PRICES["dynamodb_read"]
    bill["Secrets Manager"] = PRICES["secret_request"]
    bill["CloudWatch"] = LOG_BYTES["tick"] / 1e9 * PRICES["log_gb"] + PRICES["xray_trace"]
    return bill


def _call(function: str, seconds: float | None = None) -> float:
    """The price of one call of a function in a new environment."""
    duration = SECONDS[function] if seconds is None else seconds
    return lambda_dollars(SECONDS["init"] + duration, MEMORY_MB[function])


def _times(bill: Bill, factor: float) -> Bill:
    return defaultdict(float, {service: dollars * factor for service, dollars in bill.items()})


def _sum(*bills: Bill) -> Bill:
    added: Bill = defaultdict(float)
    for bill in bills:
        for service, dollars in bill.items():
            added[service] += dollars
    return added


def total(bill: Bill) -> float:
    """Sum over all services, in US dollars."""
    return sum(bill.values())


def further_provider(year: Callable[[Load], Bill], rows: int = 0) -> float:
    """Yearly cost of one additional provider that runs every 15 minutes and has `rows` rows a day."""
    return (total(year(Load(100_000, rows=rows))) - total(year(Load(90_000, rows=rows)))) / 10_000


def overload() -> float:
    """Yearly cost of a dispatcher that runs all the time because providers wait for slots at every tick."""
    return DAYS * 24 * 60 / TICK_MINUTES * lambda_dollars(DISPATCH_SECONDS, MEMORY_MB["dispatch"])


def glue_floor(frequency: float = 15) -> float:
    """Yearly Glue cost of the article's design for one provider without new data."""
    return article_year(Load(frequency=frequency))["Glue"]
