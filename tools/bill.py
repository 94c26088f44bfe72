"""The bills of `tools.cost` and `tools.chain` for people: printed side by side, and as the tables of docs/cost.md.

python -m tools.bill --providers 50 --frequency 15 --rows 2000
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from cli.article import article_run
from fanout.costs import PRICES_AS_OF
from tools import chain
from tools.cost import (
    TICK_MINUTES,
    Bill,
    Load,
    article_year,
    further_provider,
    glue_floor,
    our_engine,
    our_run,
    our_year,
    overload,
    total,
)
from tools.sections import renewed


def side_by_side(load: Load) -> str:
    """Both bills as a plain-text table."""
    article, ours = article_year(load), our_year(load)
    lines = [
        f"{load.providers} provider(s), every {load.frequency:g} minutes, {load.rows:,} changed rows a day each",
        f"Dollars a year, us-east-1, profile {load.profile}, prices of {PRICES_AS_OF}, no free tiers, see docs/cost.md",
        "",
        f"{'':18}{'the article':>14}{'glue-fanout':>14}",
    ]
    services = sorted({*article, *ours}, key=lambda service: -max(article[service], ours[service]))
    lines += [f"{service:18}{article[service]:>14,.2f}{ours[service]:>14,.2f}" for service in services]
    lines += [
        f"{'total':18}{total(article):>14,.2f}{total(ours):>14,.2f}",
        "",
        "Each additional provider, every 15 minutes",
    ]
    for rows, name in ((0, "no new objects"), (1_000, "1,000 rows a day")):
        lines.append(
            f"{name:18}{further_provider(article_year, rows):>14,.2f}{further_provider(our_year, rows):>14,.2f}"
        )
    lines[-1] += "  (in 96 runs)"
    return "\n".join(lines)


def run_prices(rows: Iterable[int] = (1_000, 10_000, 100_000, 1_000_000)) -> str:
    """Price of one run per engine, as a Markdown table."""
    lines = ["| rows | article | Lambda | Glue | chosen engine |", "|---:|---:|---:|---:|---|"]
    for count in rows:
        prices = [total(article_run(count)), total(our_run(count, "lambda")), total(our_run(count, "glue"))]
        lines.append(f"| {count:,} | {' | '.join(f'${p:.5f}' for p in prices)} | {our_engine(count)} |")
    return "\n".join(lines)


def year_prices(loads: Iterable[Load]) -> str:
    """Yearly totals as a Markdown table."""
    lines = [
        "| providers | frequency | rows a day each | article | glue-fanout, prod | glue-fanout, dev |",
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
    """Return docs/cost.md with its computed tables and amounts renewed."""
    return renewed(
        text,
        {
            "chain": chain.table(),
            "fresh": chain.fresher(),
            "year": year_prices(LOADS),
            "run": run_prices(),
            "floor": f"${glue_floor():,.0f}",
            "overload": f"${overload():,.0f}",
            "idle": f"${further_provider(our_year):.2f}",
        },
    )


def plot(path: Path) -> None:
    """Plot the yearly cost over the number of providers, with one curve per frequency, as a PNG."""
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
    """Print both bills; the exit status is 2 for an invalid workload."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--providers", type=int, default=1)
    parser.add_argument("--frequency", type=float, default=15, help="minutes between two runs of a provider")
    parser.add_argument("--tick", type=float, default=TICK_MINUTES, help="minutes between two ticks (TickMinutes)")
    parser.add_argument("--rows", type=int, default=0, help="changed rows per provider and day")
    parser.add_argument("--profile", choices=("dev", "prod"), default="prod")
    parser.add_argument("--plot", type=Path, help="draw docs/cost.png into this file")
    options = parser.parse_args()
    if options.providers < 1 or options.frequency < 1 or options.tick < 1 or options.rows < 0:
        parser.error("providers, frequency and tick must be at least 1, and rows must not be negative")
    print(side_by_side(Load(options.providers, options.frequency, options.rows, options.profile, options.tick)))
    if options.plot:
        plot(options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
