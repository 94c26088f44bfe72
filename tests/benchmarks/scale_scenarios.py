"""The scenarios of scale_bench.py: many providers whose runs end after some time, and the figures of ticks."""

from __future__ import annotations

import json
import math
import random
import resource
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contract.times import format_http_date
from fanout.costs import PRICES, lambda_dollars
from fanout.dispatcher import REUSE_FUNCTION_SECONDS, REUSE_GLUE_SECONDS, TickReport
from fanout.ledger import TRIES, ProviderState
from fanout.runs import Lease, Plan, RunRecord
from fanout.starts import TokenBucket
from tests.harness.world import World
from tools.cost import MEMORY_MB, PAGE

BEGIN = datetime(2026, 11, 22, tzinfo=UTC)
TICK = timedelta(minutes=15)


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


def million() -> Row:
    """Run one tick with a million providers; 5% of them have pending objects."""
    counting = Counting()
    for name in counting.providers(1_000_000, BEGIN - TICK)[::20]:
        counting.world.tell(name)
    return counting.tick("1,000,000 providers, 5% with pending objects")[1]
