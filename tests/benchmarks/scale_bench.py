"""Measures the limits of one tick: the dispatcher's real rules with in-memory ports, without AWS and a network.

    python tests/benchmarks/scale_bench.py

Writes docs/bench/scale.json, scale.md and scale.png. Checks counts and ratios. Dollars are computed by `tools/cost.py`.
Calls of the ports take no time here, so seconds are the dispatcher's own CPU time. A run ends with the changes that its
commit would make in the ledger and the config API.
"""

from __future__ import annotations

import json
import math
import os
import random
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "functions")]

from contract.times import format_http_date  # noqa: E402
from fanout.costs import PRICES, lambda_dollars  # noqa: E402
from fanout.dispatcher import REUSE_FUNCTION_SECONDS, REUSE_GLUE_SECONDS, TickReport  # noqa: E402
from fanout.ledger import TRIES, ProviderState  # noqa: E402
from fanout.runs import Lease, Plan, RunRecord  # noqa: E402
from fanout.starts import TokenBucket  # noqa: E402
from tests.harness.world import World  # noqa: E402
from tools.cost import MEMORY_MB, PAGE  # noqa: E402

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)
TICK = timedelta(minutes=15)
OUT = ROOT / "docs/bench"


@dataclass
class Row:
    """The figures of one tick, or the mean of many ticks."""

    scenario: str
    ticks: int
    seconds: float
    cpu_seconds: float
    memory_mb: int
    entries: int
    ledger_reads: int
    ledger_writes: int
    started: int
    deferred: int
    idle: int
    dollars_a_year: float


class Counting:
    """A world that counts the items that it reads from the ledger."""

    def __init__(self, **settings: Any) -> None:
        self.world = World(settings={"discovery": "events", **settings})
        self.world.clock.now, self.world.seconds = BEGIN, 900
        self.world.configure(bucket=lambda: TokenBucket(clock=self.seconds))
        self.items = 0
        ledger, get_many = self.world.ledger, self.world.ledger.get_many

        def counted(providers: Any) -> dict[str, ProviderState]:
            names = list(providers)
            self.items += len(names)
            return get_many(names)

        ledger.get_many = counted  # type: ignore[method-assign]

    def seconds(self) -> float:
        """Return the world's time, for the token bucket."""
        return self.world.clock.now.timestamp() + self.world.slept

    def providers(self, count: int, last_success: datetime, heavy: bool = False) -> list[str]:
        """Register providers with this last success; return their names."""
        entry = {"frequency": "15", "last_success": format_http_date(last_success), "status": "succeeded"}
        names = [f"provider-{number:07d}" for number in range(count)]
        self.world.config_api.providers = dict.fromkeys(names, entry)
        if heavy:
            run = RunRecord(run_id="r", status="succeeded", started_at=BEGIN, ended_at=BEGIN, engine="glue")
            for name in names:
                self.world.ledger.items[name] = ProviderState(provider=name, version=1, last_run=run)
        return names

    def end(self, name: str, tick: datetime) -> None:
        """Make the changes of a run's commit."""
        self.world.ledger.items[name] = ProviderState(provider=name, version=1, last_success=tick, last_claim=tick)
        self.world.config_api.providers[name] = {"frequency": "15", "last_success": format_http_date(tick)}
        self.world.pending.items.pop(name, None)

    def tick(self, scenario: str) -> tuple[TickReport, Row]:
        """Run one tick; return its report and figures."""
        faults, before = self.world.faults, self.items
        faults.calls.clear()
        begin, cpu = time.perf_counter(), time.process_time()
        report = self.world.tick()
        seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        reads = self.items - before + len(self.world.pending.waiting()) // 4
        writes = faults.count("ledger.put")
        return report, Row(
            scenario,
            1,
            seconds,
            cpu,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            report.providers,
            self.items - before,
            writes,
            report.started,
            report.deferred,
            report.idle,
            365 * 96 * dollars(cpu + self.world.slept, report.providers, reads, writes),
        )


def dollars(seconds: float, entries: int, reads: int, writes: int) -> float:
    """Return the cost of one tick: the dispatcher, also while it waits for slots, pages of entries, and the ledger."""
    pages = math.ceil(entries / PAGE)
    return (
        PRICES["scheduler_invocation"]
        + lambda_dollars(1 + seconds, MEMORY_MB["dispatch"])
        + pages * (PRICES["api_gateway_request"] + lambda_dollars(1, MEMORY_MB["config_api"]))
        + (reads + entries * 300 / 8192) * PRICES["dynamodb_read"]
        + writes * PRICES["dynamodb_write"]
    )


def mean(rows: list[Row]) -> Row:
    """Return the mean of the rows, and their maximum memory."""
    first = asdict(rows[0])
    figures = {
        name: max(getattr(row, name) for row in rows)
        if name == "memory_mb"
        else type(value)(sum(getattr(row, name) for row in rows) / len(rows))
        for name, value in first.items()
        if name not in ("scenario", "ticks")
    }
    return Row(rows[0].scenario, len(rows), **figures)


def a_day(count: int, share: float) -> list[Row]:
    """Run a day with `count` providers at 15 minutes; a share of them has pending objects at each tick."""
    chance = random.Random(0)
    counting = Counting()
    names = counting.providers(count, BEGIN - TICK)
    rows, ran = [], 0
    for _ in range(96):
        announced = chance.sample(names, round(count * share))
        for name in announced:
            counting.world.tell(name, size=1000)
        report, row = counting.tick(f"{count:,} providers at 15 minutes, {share:.0%} with pending objects at each tick")
        running = [json.loads(given)["provider"] for given in counting.world.executions.started.values()]
        if report.deferred or not set(announced) <= set(running):
            raise SystemExit(f"{report.deferred} deferred; not all that have pending objects ran in their tick")
        for name in running:
            counting.end(name, counting.world.clock.now)
        counting.world.executions.started.clear()
        counting.world.executions.statuses.clear()
        ran += len(running)
        rows.append(row)
        counting.world.clock.now += TICK
    swept = ran - 96 * round(count * share)
    print(f"  {ran:,} runs in a day, {swept:,} of them sweeps; {rows[0].idle:,} idle providers in the first tick")
    if any(row.ledger_reads > row.entries - row.idle for row in rows):
        raise SystemExit("a ledger item of an idle provider was read")
    return rows


def all_at_once(count: int) -> Row:
    """Run one tick with `count` light providers, all due and all with pending objects."""
    counting = Counting()
    for name in counting.providers(count, BEGIN - TICK):
        counting.world.tell(name)
    report, row = counting.tick(f"{count:,} light providers due at once")
    if (report.started, report.deferred) != (count, 0):
        raise SystemExit(f"{report.started} started, {report.deferred} deferred")
    return row


class LightRuns:
    """Simulates light runs in an account with limited functions. Runs without a function wait for one."""

    def __init__(self, count: int, functions: int, seconds: int, limit: float) -> None:
        self.counting = Counting(concurrent_functions=lambda: limit)
        self.world = self.counting.world
        for name in self.counting.providers(count, BEGIN - TICK):
            self.world.tell(name)
        self.functions, self.seconds = functions, seconds
        self.waiting: list[str] = []
        self.left: dict[str, int] = {}
        self.busy: list[int] = []
        self.without_a_function = 0
        self.ended = BEGIN
        self.world.executions.on_start = lambda execution, given: self.waiting.append(execution)
        self.world.on_sleep = self.advance

    def advance(self, pause: float) -> None:
        """Advance the time, and start and end runs."""
        for _ in range(round(pause / REUSE_FUNCTION_SECONDS)):
            while self.waiting and len(self.left) < self.functions - 1:  # one is the dispatcher's
                self.left[self.waiting.pop(0)] = round(self.seconds / REUSE_FUNCTION_SECONDS)
            self.without_a_function = max(self.without_a_function, len(self.waiting))
            self.busy.append(len(self.left) + 1)
            self.world.clock.now += timedelta(seconds=REUSE_FUNCTION_SECONDS)
            self.left = {execution: left - 1 for execution, left in self.left.items()}
            for execution in [execution for execution, left in self.left.items() if not left]:
                del self.left[execution]
                self.world.executions.statuses[execution] = "SUCCEEDED"
                self.counting.end(json.loads(self.world.executions.started[execution])["provider"], BEGIN)
                self.ended = self.world.clock.now

    def play(self) -> float:
        """Run ticks until all runs ended; return the minutes."""
        tick, deferred = BEGIN, 1
        while deferred:
            self.world.clock.now = max(self.world.clock.now, tick)
            deferred = self.world.tick(tick).deferred
            tick += TICK
            while self.left or self.waiting:
                self.advance(1)
        return (self.ended - BEGIN).total_seconds() / 60


def metered(count: int, functions: int, seconds: int = 4) -> dict[str, float]:
    """Compare light runs that start as functions become free with light runs that all start at once."""
    ours = LightRuns(count, functions, seconds, limit=functions)
    all_at_once = LightRuns(count, functions, seconds, limit=math.inf)
    minutes, least = ours.play(), all_at_once.play()
    while_waiting = ours.busy[: round(count * seconds / functions / REUSE_FUNCTION_SECONDS)]
    used = sum(while_waiting) / len(while_waiting) / functions
    print(f"  {count:,} light runs, {functions:,} functions: {minutes:.1f} min, all at once {least:.1f} min")
    if minutes > least * 1.1 + 0.5 or used < 0.8 or ours.without_a_function > count:
        raise SystemExit("starting as functions become free is slower than starting all at once")
    return {
        "runs": count,
        "functions": functions,
        "minutes": minutes,
        "minutes_all_at_once": least,
        "functions_used": used,
        "without_a_function": ours.without_a_function,
        "without_a_function_all_at_once": all_at_once.without_a_function,
    }


def heavy(count: int, slots: int, minutes: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Run `count` heavy runs of `minutes` minutes, all due at once, with `slots` slots."""
    counting = Counting(max_concurrent_runs=slots, sweep_minutes=10**6)
    world = counting.world
    for name in counting.providers(count, BEGIN - TICK, heavy=True):
        world.tell(name, size=10**9)
    began: dict[str, datetime] = {}
    used = waited = 0.0
    ended = BEGIN

    def claimed(name: str, given: str) -> None:
        """Make the changes of the claim of a Glue run in the ledger."""
        provider, now = json.loads(given)["provider"], world.clock.now
        began[name] = now
        lease = Lease(
            run_id=name,
            claimed_at=now,
            expires_at=now + timedelta(hours=2),
            run_dir=f"s3://data/{name}/",
            execution_arn=f"arn:{name}",
            plan=Plan(generation=0, engine="glue", reason="many bytes", workers=2),
        )
        before = world.ledger.items[provider]
        world.ledger.items[provider] = before.model_copy(update={"lease": lease})

    world.executions.on_start = claimed

    def advance(seconds: float) -> None:
        nonlocal used, waited, ended
        running = sum(status == "RUNNING" for status in world.executions.statuses.values())
        if len(began) < count:
            used, waited = used + running * seconds, waited + seconds
        if running > slots:
            raise SystemExit(f"{running} heavy runs with {slots} slots")
        world.clock.now += timedelta(seconds=seconds)
        for name, moment in began.items():
            over = world.clock.now - moment >= timedelta(minutes=minutes)
            if over and world.executions.statuses[name] == "RUNNING":
                world.executions.statuses[name] = "SUCCEEDED"
                counting.end(json.loads(world.executions.started[name])["provider"], BEGIN)
                ended = world.clock.now

    world.on_sleep = advance
    first, rows = BEGIN, []
    while len(began) < count or "RUNNING" in world.executions.statuses.values():
        if world.clock.now >= first or len(began) < count:
            rows.append(counting.tick(f"{count} heavy runs of {minutes} minutes with {slots} slots")[1])
            first += TICK
        while world.clock.now < first and "RUNNING" in world.executions.statuses.values():
            advance(REUSE_GLUE_SECONDS)
    done = (ended - BEGIN).total_seconds() / 60
    busy = used / waited / slots
    print(f"  all ended {done:.1f} minutes after the tick, slots {busy:.0%} used while providers waited")
    if done > 25 or busy < 0.9:
        raise SystemExit("too slow, or slots were empty while providers waited")
    row = mean(rows)
    row.started = count
    return asdict(row), {"minutes": done, "slots_used": busy}


def lost_races(writes_a_second: float, milliseconds: float = 10, rounds: int = 20_000) -> dict[str, float]:
    """Simulate how often a claim or commit fails if pending counts are written into its ledger item.

    Pending counts are written at random moments. An update takes `milliseconds` and has `TRIES` attempts.
    """
    chance = random.Random(1)
    collision = 1 - math.exp(-writes_a_second * milliseconds / 1000)
    lost = sum(all(chance.random() < collision for _ in range(TRIES)) for _ in range(rounds))
    return {
        "pending_counts_a_second": writes_a_second,
        "milliseconds_between_read_and_write": milliseconds,
        "attempts_that_conflict": collision,
        "updates_that_fail": lost / rounds,
    }


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


def million() -> Row:
    """Run one tick with a million providers; 5% of them have pending objects."""
    counting = Counting()
    for name in counting.providers(1_000_000, BEGIN - TICK)[::20]:
        counting.world.tell(name)
    return counting.tick("1,000,000 providers, 5% with pending objects")[1]


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
