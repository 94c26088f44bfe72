"""The yearly bill of the article's design and of this one, side by side, from the one table of unit prices.

    python -m tools.cost --providers 50 --frequency 15 --rows 2000

It is a model: how often each thing happens follows from the state machine and the code, how long it takes from
measurements on a 2-core machine (`SECONDS`). Consumers of the queue, data transfer and storage of the change log
cost the same either way and are left out, and so are free tiers.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cli.article import START_SECONDS, UPDATE_MEMORY_MB, UPDATE_SECONDS, article_run
from cli.commands.cost import TRANSITIONS
from fanout.costs import PRICES, PRICES_AS_OF, glue_dollars, lambda_dollars, queue_dollars

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


def side_by_side(load: Load) -> str:
    """Both bills as a table for people."""
    article, ours = article_year(load), our_year(load)
    lines = [
        f"{load.providers} provider(s), each every {load.frequency:g} minutes with {load.rows:,} changed rows a day",
        f"Dollars a year, us-east-1, profile {load.profile}, prices of {PRICES_AS_OF}, no free tiers; see docs/cost.md",
        "",
        f"{'':18}{'the article':>14}{'glue-fanout':>14}",
    ]
    services = sorted({*article, *ours}, key=lambda service: -max(article[service], ours[service]))
    lines += [f"{service:18}{article[service]:>14,.2f}{ours[service]:>14,.2f}" for service in services]
    lines += [
        f"{'total':18}{total(article):>14,.2f}{total(ours):>14,.2f}",
        "",
        "Each further provider, every 15 minutes",
    ]
    for rows, name in ((0, "nothing new"), (1_000, "1,000 rows a day")):
        lines.append(
            f"{name:18}{further_provider(article_year, rows):>14,.2f}{further_provider(our_year, rows):>14,.2f}"
        )
    lines[-1] += "  (in 96 portions)"
    return "\n".join(lines)


def further_provider(year: Callable[[Load], Bill], rows: int = 0) -> float:
    """What a design costs a year for one provider more, which runs every 15 minutes and has so many rows a day."""
    return (total(year(Load(100_000, rows=rows))) - total(year(Load(90_000, rows=rows)))) / 10_000


def overload() -> float:
    """What the dispatcher costs a year more when heavy providers wait at every tick until its time is up."""
    return DAYS * 24 * 60 / TICK_MINUTES * lambda_dollars(DISPATCH_SECONDS, MEMORY_MB["dispatch"])


def glue_floor(frequency: float = 15) -> float:
    """What Glue alone costs a year for one provider that never has anything to do, the article's way."""
    return article_year(Load(frequency=frequency))["Glue"]


def run_prices(rows: Iterable[int] = (1_000, 10_000, 100_000, 1_000_000)) -> str:
    """Both engines' price of one run as a Markdown table."""
    lines = ["| rows | article | in Lambda | on Glue | chosen |", "|---:|---:|---:|---:|---|"]
    for count in rows:
        prices = [total(article_run(count)), total(our_run(count, "lambda")), total(our_run(count, "glue"))]
        lines.append(f"| {count:,} | {' | '.join(f'${p:.5f}' for p in prices)} | {our_engine(count)} |")
    return "\n".join(lines)


def year_prices(loads: Iterable[Load]) -> str:
    """Yearly totals as a Markdown table."""
    lines = [
        "| providers | every | rows a day each | article | glue-fanout, prod | dev |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for load in loads:
        ours = [total(our_year(replace(load, profile=p))) for p in ("prod", "dev")]
        prices = " | ".join(f"${p:,.0f}" for p in [total(article_year(load)), *ours])
        lines.append(f"| {load.providers:,} | {load.frequency:g} min | {load.rows:,} | {prices} |")
    return "\n".join(lines)


LOADS = [
    Load(1, 15, 0),
    Load(1, 15, 1_000),
    Load(100_000, 15, 0),
    Load(1, 60, 2_000),
    Load(10, 15, 2_000),
    Load(50, 15, 2_000),
    Load(50, 60, 20_000),
    Load(500, 120, 20_000),
    Load(2_000, 1440, 100_000),
]


def page(text: str) -> str:
    """docs/cost.md with what is computed put between its markers again."""
    from tools import chain  # which builds upon this module

    tables = {
        "chain": chain.table(),
        "year": year_prices(LOADS),
        "run": run_prices(),
        "floor": f"${glue_floor():,.0f}",
        "overload": f"${overload():,.0f}",
        "idle": f"${further_provider(our_year):.2f}",
    }
    for name, table in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        gap = "" if table.startswith("$") else "\n"
        text = f"{before}{start}{gap}{table}{gap}{end}{rest.partition(end)[2]}"
    return text


def plot(path: Path) -> None:
    """Draw the yearly bill over the number of providers, a curve for each cadence, into a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    counts = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000]
    figure, axes = plt.subplots(figsize=(8, 4.8), dpi=110)
    curves: list[tuple[str, Callable[[Load], Bill], str]] = [
        ("the article's design", article_year, "--"),
        ("glue-fanout, prod", our_year, "-"),
    ]
    for colour, (frequency, name) in zip(
        ("#b2182b", "#d6851b", "#2166ac"), [(15, "15 minutes"), (60, "1 hour"), (1440, "1 day")], strict=True
    ):
        for design, bill, line in curves:
            dollars = [total(bill(Load(count, frequency, 2_000))) for count in counts]
            axes.plot(counts, dollars, line, color=colour, label=f"{design}, every {name}")
    axes.set(xscale="log", yscale="log", xlabel="providers", ylabel="dollars a year")
    axes.set_title("2,000 changed rows a day and provider")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main() -> int:
    """Print both bills; the exit status is 2 for a load that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--providers", type=int, default=1)
    parser.add_argument("--frequency", type=float, default=15, help="minutes between two runs of a provider")
    parser.add_argument("--rows", type=int, default=0, help="changed rows of a provider in a day")
    parser.add_argument("--profile", choices=("dev", "prod"), default="prod")
    parser.add_argument("--docs", type=Path, help="write the tables into docs/cost.md in this folder and draw its plot")
    options = parser.parse_args()
    if options.providers < 1 or options.frequency < 1 or options.rows < 0:
        parser.error("at least one provider, one minute and no negative rows")
    print(side_by_side(Load(options.providers, options.frequency, options.rows, options.profile)))
    if options.docs:
        markdown = options.docs / "cost.md"
        markdown.write_text(page(markdown.read_text(encoding="utf-8")), encoding="utf-8")
        plot(options.docs / "cost.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
