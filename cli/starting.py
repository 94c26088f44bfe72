"""Starts runs of many providers by hand and follows them to their end, with few calls whatever their number.

Light runs start at once, within the rate of StartExecution. Heavy runs start as Glue slots become free, because the
execution of a run that finds no slot fails after some retries.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fanout.errors import TransientError
from fanout.ledger import ProviderState
from fanout.schedule import LIGHT_LISTED_AFTER, LISTED_AFTER, execution_name, is_heavy
from fanout.starts import Starter, TokenBucket

from .bulk import PARALLEL, Outcome
from .command import Operator, utc_now
from .errors import as_operator_error

HOURS = 24 * 3600.0
"""Time limit for the starts of one command, far longer than they take."""
GIVE_UP = 10
"""So many reads of the runs' states that fail in a row end the waiting; the runs continue."""
READS = 3
"""How often the ledger is read for the record of a run that has ended: these reads are eventually consistent."""


@dataclass
class _Live:
    """A run in progress."""

    run_id: str
    since: datetime
    heavy: bool
    listed: bool = False
    reads: int = 0


class Starting:
    """The runs that one command starts.

    Parameters
    ----------
    inputs
        Provider -> input of its execution, in JSON.
    suffix
        Added to the executions' names.
    """

    def __init__(self, op: Operator, inputs: Mapping[str, str], suffix: str) -> None:
        self._op, self._inputs, self._suffix = op, inputs, suffix
        self._live: dict[str, _Live] = {}
        self._bucket = TokenBucket()
        settings = op.stack.dispatching
        states = op.stack.ledger.get_many(inputs)
        pending = op.stack.pending.waiting()
        self._slots = settings.max_concurrent_runs
        self._heavy = {
            name
            for name in inputs
            if is_heavy(
                states.get(name) or ProviderState(provider=name),
                settings.job,
                settings.lambda_max_bytes,
                pending.get(name),
            )
        }
        self.outcome = Outcome()

    def run(self, *, no_wait: bool) -> Outcome:
        """Start all runs and wait for their ends; with `no_wait`, start those for which there are slots."""
        waiting = list(self._inputs)
        try:
            waiting = self._start(waiting)
            unread = 0
            while not no_wait and (waiting or self._live) and unread < GIVE_UP:
                time.sleep(self._op.stack.poll_seconds)
                try:
                    self._look()
                except TransientError as error:
                    unread += 1
                    self._op.note(f"the states of the runs could not be read: {error}")
                    continue
                unread = 0
                waiting = self._start(waiting)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        self.outcome.done |= {name: live.run_id for name, live in self._live.items()}
        self.outcome.not_tried = tuple(waiting)
        return self.outcome

    def _start(self, waiting: list[str]) -> list[str]:
        """Start the light runs, and as many heavy ones as there are free slots; return those that still wait."""
        free = max(0, self._slots - sum(live.heavy for live in self._live.values()))
        heavy = [name for name in waiting if name in self._heavy]
        chosen = [name for name in waiting if name not in self._heavy or name in heavy[:free]]
        now, executions = utc_now(), self._op.stack.executions
        names = {name: execution_name(name, now) + self._suffix for name in chosen}
        starter = Starter(
            lambda name: executions.start(names[name], self._inputs[name]),
            self._bucket,
            lambda: HOURS,
            pool=lambda wanted: ThreadPoolExecutor(min(wanted, PARALLEL)),
        )
        started = starter.run(chosen)
        new = set(started.new)  # in any order, as threads have started them
        for name in filter(new.__contains__, chosen):
            self._live[name] = _Live(names[name], now, name in self._heavy)
        for name, error in {**started.refused, **started.given_up}.items():
            self._fail(name, str(as_operator_error(error, local=self._op.stack.is_local)))
        for name in started.before:
            self._fail(name, f"a run had started before; follow it with `fanout trace {names[name]}`")
        if started.new:
            self._op.note(f"{len(started.new):,} of {len(self._inputs):,} started")
        if starter.stopped:  # every start is refused
            return [name for name in waiting if name not in self._live and name not in self.outcome.failed]
        return [name for name in waiting if name not in names]

    def _look(self) -> None:
        """Find out which runs have ended, and how."""
        running, now = self._op.stack.executions.running(), utc_now()
        ended = []
        for name, live in self._live.items():
            live.listed = live.listed or live.run_id in running
            if live.run_id not in running:
                ended.append(name)
        states = self._op.stack.ledger.get_many(ended)
        before = len(self._live)
        for name in ended:
            live, state = self._live[name], states.get(name)
            if state is not None and state.last_run is not None and state.last_run.run_id == live.run_id:
                self._end(name, state.last_run)
                continue
            listed_by = live.since + (LISTED_AFTER if live.heavy else LIGHT_LISTED_AFTER)
            live.reads += live.listed or now > listed_by
            if live.reads >= READS:
                self._end(name, None)
        if len(self._live) < before:
            finished = len(self.outcome.done) + len(self.outcome.failed)
            self._op.note(f"{finished:,} of {len(self._inputs):,} ended")

    def _end(self, name: str, record: Any) -> None:
        run_id = self._live.pop(name).run_id
        if record is not None and record.status == "succeeded":
            self.outcome.done[name] = record
        elif record is not None and record.failure is not None:
            self._fail(name, f"{record.failure.in_one_line(record.failure_count)}; `fanout trace {run_id}`")
        elif any(one.run_id == run_id for one in self._op.stack.failed_executions()):
            self._fail(name, f"the execution failed; `fanout trace {run_id}` shows details")
        else:
            self._fail(name, f"another run of the provider did the work; `fanout trace {run_id}` shows details")

    def _fail(self, name: str, why: str) -> None:
        self.outcome.failed[name] = why
