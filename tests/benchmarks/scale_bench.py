"""Measures the limits of one tick: the dispatcher's real rules with in-memory ports, without AWS and a network.

    python tests/benchmarks/scale_bench.py

Writes docs/bench/scale.json, scale.md and scale.png. Checks counts and ratios. Dollars are computed by `tools/cost.py`.
Calls of the ports take no time here, so seconds are the dispatcher's own CPU time. A run ends with the changes that its
commit would make in the ledger and the config API.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "functions")]

from fanout.ledger import TRIES  # noqa: E402
from tests.benchmarks.scale_scenarios import Row, a_day, all_at_once, heavy, lost_races, mean, metered, million  # noqa: E402
from tools.cost import MEMORY_MB, PAGE  # noqa: E402

OUT = ROOT / "docs/bench"


def in_a_process_of_its_own(which: str) -> Any:
    """Run a scenario in a new process, so that its memory is measured alone."""
    done = subprocess.run(
        [sys.executable, __file__, which], stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ)
    )
    *lines, last = done.stdout.splitlines()
    print(*lines, sep="\n")
    return json.loads(last)


SCENARIOS: dict[str, Any] = {
    "day": lambda: [asdict(row) for row in a_day(100_000, 0.05)],
    "light": lambda: asdict(all_at_once(10_000)),
    "heavy": lambda: heavy(200, 50, 5),
    "metered": lambda: [metered(2_000, 10), metered(10_000, 100), metered(10_000, 1_000)],
    "million": lambda: asdict(million()),
}


def table(rows: list[Row]) -> str:
    """Return all scenarios as a Markdown table."""
    heads = (
        "| scenario | ticks | CPU seconds | MB | entries | reads | writes | started | deferred | idle | $ per year |"
    )
    lines = [heads, "|---|" + "---:|" * 10]
    for row in rows:
        cells = (
            f"{row.cpu_seconds:.1f}",
            f"{row.memory_mb:,}",
            f"{row.entries:,}",
            f"{row.ledger_reads:,}",
            f"{row.ledger_writes:,}",
            f"{row.started:,}",
            f"{row.deferred:,}",
            f"{row.idle:,}",
            f"{row.dollars_a_year:,.0f}",
        )
        lines.append(f"| {row.scenario} | {row.ticks} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(day: list[Row], path: Path) -> None:
    """Plot CPU seconds and starts of the ticks of a day."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), dpi=110)
    hours = [n / 4 for n in range(len(day))]
    above.plot(hours, [row.cpu_seconds for row in day], color="#2166ac")
    above.set(ylabel="CPU seconds of a tick", title=day[0].scenario, ylim=(0, None))
    below.plot(hours, [row.started for row in day], color="#b2182b", label="started")
    below.plot(hours, [row.ledger_reads for row in day], color="#d6851b", linestyle="--", label="ledger items read")
    below.set(xlabel="hour of the day", ylim=(0, None))
    below.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})


def main() -> int:
    """Run all scenarios, or run one in this process and print it as JSON."""
    if len(sys.argv) > 1:
        print(json.dumps(SCENARIOS[sys.argv[1]]()))
        return 0
    day = [Row(**row) for row in in_a_process_of_its_own("day")]
    light = Row(**in_a_process_of_its_own("light"))
    heavy_row, slots = in_a_process_of_its_own("heavy")
    rows = [mean(day), light, Row(**heavy_row), Row(**in_a_process_of_its_own("million"))]
    lights = in_a_process_of_its_own("metered")
    races = [lost_races(100), lost_races(1)]
    worst = max(row.cpu_seconds for row in day)
    if worst > 60 or day[0].memory_mb > 512:
        raise SystemExit(f"a tick over 100,000 providers took {worst:.0f} CPU seconds and {day[0].memory_mb} MB")
    first, second = races
    light_rows = "\n".join(
        f"| {one['runs']:,} | {one['functions']:,} | {one['minutes']:.1f} | {one['minutes_all_at_once']:.1f} | "
        f"{one['functions_used']:.0%} | {one['without_a_function']:,} | {one['without_a_function_all_at_once']:,} |"
        for one in lights
    )
    text = f"""# Scale benchmark

`make bench-scale` ran the dispatcher's rules with in-memory ports on {os.cpu_count()} cores, so the seconds are CPU
time of the dispatcher. Not measured on AWS. Dollars include the dispatcher with its reads and writes, by the prices of
`make cost`, without the runs.

{table(rows)}

- Light lane: {light.started:,} runs started in the tick in which they were due, {light.deferred} were deferred.
- Heavy lane: {heavy_row["scenario"]} all ended {slots["minutes"]:.1f} minutes after the tick. While providers waited,
  {slots["slots_used"]:.0%} of the slots were in use.
- A million providers: the first limits are memory, {rows[3].memory_mb:,} MB of the function's
  {MEMORY_MB["dispatch"]:,}, and reading {1_000_000 // PAGE} pages. Use several stacks, each with its own list.

![CPU seconds and starts of each tick of a day](scale.png)

## Light runs and the account's concurrent functions

An in-memory model: each run takes four seconds and uses one function at a time. "All at once" is a lower bound, because
runs without a function get one as soon as it is free, without any pause between attempts.

| light runs | functions | minutes until all ended | all at once | functions used | throttled attempts | all at once |
|---:|---:|---:|---:|---:|---:|---:|
{light_rows}

## Pending count in the ledger item, or in a separate item

An in-memory model: an update reads the item, writes it {first["milliseconds_between_read_and_write"]:.0f} ms later if
it is unchanged, and is attempted {TRIES} times.

| pending counts written into the item, per second | attempts that conflict | claims and commits that fail |
|---:|---:|---:|
| {first["pending_counts_a_second"]:.0f} | {first["attempts_that_conflict"]:.1%} | {first["updates_that_fail"]:.1%} |
| {second["pending_counts_a_second"]:.0f} | {second["attempts_that_conflict"]:.1%} | {second["updates_that_fail"]:.1%} |
| any, into a separate item | 0.0% | 0.0% |
"""
    (OUT / "scale.md").write_text(text, encoding="utf-8")
    found = {
        "rows": [asdict(row) for row in rows],
        "heavy": slots,
        "light": lights,
        "lost_races": races,
        "started_in_the_day": [row.started for row in day],
    }
    (OUT / "scale.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    plot(day, OUT / "scale.png")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
