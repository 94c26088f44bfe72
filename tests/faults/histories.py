"""Random histories, and the invariants that are checked at every write, report and step.

I1 no change is lost. I2 at most one effective run of a provider. I3 the bookmark never passes an unacknowledged row.
I4 no provider is running after its lease expired. I5 one bad provider never blocks another.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from contract.manifest import Manifest, StoredObject
from contract.times import format_iso
from fanout import ledger
from fanout.ledger import Backoff, ProviderState
from fanout.runs import Lease, Report
from tests.faults.cloud import Cloud
from tests.harness.faults import Fault
from tests.harness.processes import Process
from tests.harness.world import World

GOOD, BAD = ("a", "b"), "bad"
"""Two providers whose rows must all be sent, and one whose rows cannot be processed."""
LOOKBACK, LATEST = 60, 50
"""Minutes of the lookback window, in which objects may appear late."""
SWEEP = 240
"""Minutes between full checks of a provider without pending objects."""

index = st.integers(0, 11)
faults = st.sampled_from([None] * 8 + list(Fault))


class Queue(list[str]):
    """The acknowledged messages and their numbers of times."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: Counter[str] = Counter()

    def append(self, row: str) -> None:
        super().append(row)
        self.ids[row] += 1


class Histories(RuleBasedStateMachine):
    """All events and faults of one deployment. A subclass can break a safeguard in `sabotage`."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = Queue()
        self.world = World(
            settings={
                "lookback_minutes": LOOKBACK,
                "backoff": Backoff(base=timedelta(minutes=15), cap=timedelta(minutes=30)),
                "max_objects": 3,
                "lambda_max_bytes": 12,
                "max_concurrent_runs": 1,
                "discovery": "events",
                "sweep_minutes": SWEEP,
                "max_recent": 2,
            },
            sent=self.queue,
            seconds=60,
        )
        self.cloud = Cloud(self.world)
        self.rows: dict[tuple[str, str], set[str]] = {}
        self.committed: Counter[tuple[str, tuple[str, str]]] = Counter()
        self.runs: set[tuple[str, str]] = set()
        self.outcomes: dict[str, str] = {}
        self.released: list[tuple[str, Lease]] = []
        self.again: set[tuple[str, str]] = set()
        self.wanted: dict[str, int] = {}
        self.untold: list[tuple[str, tuple[str, str]]] = []
        self.told: set[tuple[str, tuple[str, str]]] = set()
        self.by_hand = False
        self.calm = True
        self.names = 0
        self.world.ledger.on_put = self.check_write
        self.world.config_api.on_report = self.check_report
        self.world.pending.on_clear = self.check_clear
        for name in (*GOOD, BAD):
            self.world.provider(name)
        self.world.provider("../etc", frequency="abc")
        self.sabotage()

    def sabotage(self) -> None:
        """Break a safeguard."""

    # ------------------------------------------------------------------------------------------- what happens

    @initialize(mute=st.booleans())
    def begin(self, mute: bool) -> None:
        if mute:
            self.world.config_api.refuses.add(GOOD[1])
        for provider in (*GOOD, BAD):
            self.write(provider, "0", 2)
            self.write(provider, "1", 1)
        self.tick(0, 0)

    @rule(
        provider=st.sampled_from((*GOOD, *GOOD, BAD)),
        late=st.sampled_from([0, 0, 1, 20, LATEST]),
        rows=st.integers(1, 3),
        objects=st.integers(1, 4),
    )
    def add(self, provider: str, late: int, rows: int, objects: int) -> None:
        """Add objects in any order of keys, possibly with an earlier LastModified."""
        for _ in range(objects):
            self.names += 1
            self.write(provider, f"{self.names * 7919 % 97:02}-{self.names}", rows, late)

    def write(self, provider: str, key: str, rows: int, late: int = 0) -> None:
        self.names += 1
        names = [f"{provider}-{self.names}-{n}" for n in range(rows)]
        moment = self.world.clock.now.replace(microsecond=0) - timedelta(minutes=late)
        self.world.change(provider, key, *names, last_modified=moment)
        uri = self.world.uri(provider, key)
        identity = self.world.objects.seen(uri).identity
        self.rows[identity] = set(names)
        self.untold.append((provider, identity))

    @precondition(lambda self: self.change_log())
    @rule(which=index, what=st.sampled_from(["overwrite", "touch", "delete"]))
    def change(self, which: int, what: str) -> None:
        """Overwrite, touch or delete an existing object."""
        objects = self.change_log()
        uri = "s3://changes/" + objects[which % len(objects)].key
        provider, key = uri.removeprefix(self.world.uri("", "")[:-1]).split("/", 1)
        self.calm = False
        if what == "overwrite":
            self.write(provider, key, 1)
        elif what == "delete":
            del self.world.objects.stored[uri]
        else:
            body = self.world.objects.stored[uri][0]
            self.again.update(i for i in self.rows if uri.endswith(i[0]))
            self.world.objects.add(uri, body, self.world.clock.now)

    @precondition(lambda self: self.untold)
    @rule(which=index, times=st.sampled_from([0, 1, 1, 1, 2, 3]), fault=faults)
    def event(self, which: int, times: int, fault: Fault | None) -> None:
        """Deliver an object's event in any order, possibly more than once, or lose it."""
        provider, identity = self.untold.pop(which % len(self.untold))
        for _ in range(times):
            self.calm = self.calm and fault is None
            keys = (identity[0].removeprefix(f"log/provider={provider}/"),)
            process = Process(lambda keys=keys: self.world.tell(provider, 1, len(self.rows[identity]) * 6, keys))  # type: ignore[misc]
            while not process.ended:
                process.resume(fault)
            if not process.faulted:
                self.told.add((provider, identity))

    @rule(wait=st.sampled_from([0, 15, 15, 15]), delay=st.sampled_from([0, 0, 0, 15]))
    def tick(self, wait: int, delay: int) -> None:
        """Tick, possibly late, possibly twice for the same time."""
        self.wait(wait)
        self.world.faults.down -= {"config_api"} if wait else set()
        at = (self.world.clock.now - timedelta(minutes=delay)).replace(second=0)
        expired = {(s.provider, s.lease) for s in self.world.ledger.items.values() if s.lease and self.is_over(s.lease)}

        released = len(self.released)

        def tick() -> None:
            self.world.tick(at)
            if not (process and process.faulted):
                # A claim whose execution has timed out may take the lease that the tick has just released.
                kept = expired - set(self.released[released:])
                kept &= {(s.provider, s.lease) for s in self.world.ledger.items.values() if s.lease}
                assert not kept, f"I4: a tick left expired leases: {kept}"

        process: Process | None = None
        process = Process(tick)
        self.cloud.loose.append(process)
        self.cloud.begin()

    @precondition(lambda self: self.cloud.standing())
    @rule(turns=st.lists(st.tuples(index, st.integers(1, 7), faults), min_size=1, max_size=6))
    def go_on(self, turns: list[tuple[int, int, Fault | None]]) -> None:
        """Let handlers make some calls in turn, the last of which may fail."""
        for which, calls, fault in turns:
            if standing := self.cloud.standing():
                self.calm = self.calm and fault is None
                self.cloud.go_on(standing[which % len(standing)], calls, fault)
                self.cloud.begin()

    @precondition(lambda self: self.cloud.standing())
    @rule(calls=st.integers(1, 6))
    def all_go_on(self, calls: int) -> None:
        """Let all handlers make some calls concurrently."""
        for _ in range(calls):
            for process in self.cloud.standing():
                self.cloud.go_on(process, 1)
        self.cloud.begin()

    @precondition(lambda self: self.cloud.standing())
    @rule()
    def finish(self) -> None:
        """Run all handlers to their end without faults."""
        self.cloud.finish_all()

    @precondition(lambda self: self.cloud.running)
    @rule(which=index, how=st.sampled_from(["the state times out", "it is tried again", "abort"]))
    def give_up(self, which: int, how: str) -> None:
        """Time out, retry or abort a state or execution while its handler continues as a zombie."""
        self.calm = False
        execution = self.cloud.running[which % len(self.cloud.running)]
        if how == "abort":
            self.cloud.end_without_catch(execution, "ABORTED")
        else:
            self.cloud.give_up(execution, retry=how == "it is tried again")

    @precondition(lambda self: self.cloud.events)
    @rule(which=index, lost=st.booleans())
    def deliver(self, which: int, lost: bool) -> None:
        """Deliver an end event, possibly late or repeatedly, or lose it."""
        event = self.cloud.events[which % len(self.cloud.events)]
        if lost:
            self.cloud.events.remove(event)
        else:
            self.cloud.deliver(event)

    @rule(minutes=st.sampled_from([1, 5, 40, 125]))
    def wait(self, minutes: int) -> None:
        self.calm = self.calm and (minutes <= 15 or not self.cloud.standing())
        self.world.clock.advance(minutes=minutes)
        self.cloud.time_out()

    @rule(down=st.sampled_from([True, False, False]))
    def config_api(self, down: bool) -> None:
        """Take the config API down, or up again."""
        self.world.faults.down = {"config_api"} if down else set()

    @rule(
        provider=st.sampled_from(GOOD),
        what=st.sampled_from(["start", "replay", "reset the bookmark", "set the bookmark back"]),
        back=st.integers(0, 200),
    )
    def somebody(self, provider: str, what: str, back: int) -> None:
        """Run an action of the operator."""
        now = self.world.clock.now
        if what == "start":
            self.start(provider)
        elif what == "replay":
            self.calm = False
            start, end = now - timedelta(minutes=back), now - timedelta(minutes=back // 3)
            self.start(provider, replay={"from": format_iso(start), "to": format_iso(end)})
        else:
            self.set_bookmark(provider, back if "back" in what else None)

    def start(self, provider: str, **given: Any) -> None:
        self.names += 1
        self.cloud.start(f"by-hand-{self.names}", provider=provider, **given)
        self.cloud.begin()

    def set_bookmark(self, provider: str, back: int | None) -> None:
        """Set the bookmark back only: to set it forward skips objects deliberately."""
        since = self.world.state(provider).bookmark.since
        if back is not None and since is not None:
            since -= timedelta(minutes=back)
        self.calm = False
        self.by_hand = True
        ledger.update(self.world.ledger, provider, lambda s: ledger.set_bookmark(s, None if back is None else since))
        self.by_hand = False
        self.again.update(self.rows)
        for o in self.change_log(provider):
            if back is None or since is None or o.last_modified >= since:
                self.wanted.update({row: self.queue.ids[row] for row in self.rows[o.identity]})

    # ------------------------------------------------------------------------------------------- what must hold

    def is_over(self, lease: Lease) -> bool:
        return lease.expires_at <= self.world.clock.now

    def check_write(self, before: ProviderState, after: ProviderState) -> None:
        """Judges every write to the ledger; does not use the rules that it judges."""
        held, taken = before.lease, after.lease
        if held and held != taken:
            self.released.append((after.provider, held))
        if held and taken and held.run_id != taken.run_id:
            assert self.is_over(held), f"I2: {taken.run_id} took the live lease of {held.run_id}"
        if after.bookmark.generation != before.bookmark.generation and not self.by_hand:
            self.check_commit(before, after)
        if after.last_run and after.last_run != before.last_run and not after.last_run.replay:
            self.outcomes[after.provider] = after.last_run.status

    def check_commit(self, before: ProviderState, after: ProviderState) -> None:
        run, held = after.last_run, before.lease
        generations = before.bookmark.generation, after.bookmark.generation
        assert generations[1] == generations[0] + 1, f"I2: of {after.provider} a write undid another's: {generations}"
        assert run is not None
        assert held is not None, f"I2: {run.run_id} committed without a lease"
        assert run.run_id == held.run_id, f"I2: {run.run_id} committed under the lease of {held.run_id}"
        since, earlier = after.bookmark.since, before.bookmark.since
        assert since is None or earlier is None or earlier <= since, f"I2: {run.run_id} moved the bookmark back"
        self.runs.add((after.provider, run.run_id))
        if held.plan is not None and held.plan.engine == "none":
            # A manifest may exist, by a claim that timed out and listed before objects were deleted.
            there = {run.run_dir for run in after.bookmark.recent}
            assert run.run_dir not in there, f"I3: {run.run_id} had nothing to send, and is in the bookmark"
        elif run.run_dir + "manifest.json" in self.world.objects.stored:
            for key, etag in self.manifest(run.run_dir):
                missing = self.rows[key, etag] - self.queue.ids.keys()
                assert not missing, f"I3: committed {key} before {missing} were acknowledged"
                self.committed[after.provider, (key, etag)] += 1
                again = self.committed[after.provider, (key, etag)] > 1 and (key, etag) not in self.again
                assert not again, f"I2: {key} took effect twice"
        for o in self.change_log(after.provider):
            if since and o.last_modified < since:
                assert self.rows[o.identity] <= self.queue.ids.keys(), f"I3: the bookmark passed {o.key}"

    def check_clear(self, provider: str) -> None:
        """Pending objects are cleared only when every announced object is committed."""
        there = {o.identity for o in self.change_log(provider)}
        for whose, identity in self.told:
            if whose == provider and identity in there and identity not in self.again:
                assert self.committed[provider, identity], (
                    f"I1: the pending objects of {identity[0]} were cleared before their commit"
                )

    def manifest(self, run_dir: str) -> list[tuple[str, str]]:
        body = self.world.objects.stored[run_dir + "manifest.json"][0]
        return [o.identity for o in Manifest.from_json(body).objects]

    def check_report(self, provider: str, report: Report) -> None:
        """No success is reported to the config API that is not in the ledger."""
        if report.status == "succeeded":
            assert (provider, report.run_id) in self.runs, f"I3: {report.run_id} was reported before its commit"

    def change_log(self, provider: str = "") -> list[StoredObject]:
        """The objects of the change log, read without a call at a port."""
        prefix = self.world.uri(provider, "") if provider else "s3://changes/"
        return [self.world.objects.seen(uri) for uri in self.world.objects.stored if uri.startswith(prefix)]

    def teardown(self) -> None:
        """After enough ticks without faults, nothing is lost, and no lease or report is left."""
        try:
            self.recover()
        finally:
            while standing := self.cloud.standing():
                for process in standing:
                    while not process.ended:
                        process.resume(Fault.CRASH_BEFORE)
                self.cloud.loose.clear()
                self.cloud.running.clear()

    def recover(self) -> None:
        self.world.faults.down.clear()
        self.cloud.finish_all()
        for _ in range(80):
            self.world.clock.advance(minutes=15)
            self.cloud.time_out()
            self.world.tick()
            self.cloud.finish_all()
            self.check_told()
            if not self.left():
                break
        assert not (left := self.left()), "; ".join(left)
        if self.calm and "TIMED_OUT" not in self.world.executions.statuses.values():
            assert len(self.queue) == len(self.queue.ids), "G3: a row was sent twice although nothing went wrong"

    def check_told(self) -> None:
        """A tick without faults reports a success that the config API does not show. A failure is retried."""
        for name, outcome in self.outcomes.items():
            status = self.world.config_api.providers[name].get("status")
            free = self.world.state(name).lease is None and name not in self.world.config_api.refuses
            assert not free or outcome == "failed" or status == outcome, f"I4: {name} {outcome} and is called {status}"

    def left(self) -> list[str]:
        """List the work that is left."""
        left = []
        for name in (*GOOD, BAD):
            state = self.world.state(name)
            entry: Any = self.world.config_api.providers[name]
            if state.lease:
                left.append(f"I4: {name} is held by {state.lease.run_id}")
            if state.pending_report:
                left.append(f"I4: the config API has no report of {state.pending_report.run_id}")
            if entry.get("status") == "running" and name not in self.world.config_api.refuses:
                left.append(f"I4: the config API calls {name} running")
        for name in GOOD:
            rows = {row for o in self.change_log(name) for row in self.rows[o.identity]}
            if unsent := rows - self.queue.ids.keys():
                left.append(f"I1, I5: {name} has not got {unsent}")
            if old := [row for row in rows if self.queue.ids[row] <= self.wanted.get(row, -1)]:
                left.append(f"I1: {name} has not got {old} again, as its bookmark was set to")
            if not left and not self.cloud.doubled and (found := self.world.audit(name)).missed + found.waiting:
                left.append(f"I1: the audit misses {found.missed + found.waiting}")
        return left
