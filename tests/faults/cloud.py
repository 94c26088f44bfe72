"""The state machine, executed a port call at a time over the in-memory world, with everything that can befall it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fanout.claims import Claim
from fanout.errors import FanoutError, TransientError
from fanout.outcomes import Ending
from tests.harness.faults import Crash, Fault, Quit
from tests.harness.processes import Process
from tests.harness.world import World

RETRIES = 3
"""Fewer than the definition's five, so that histories get past them."""
EXECUTION_LIMIT = timedelta(minutes=100)
"""As in the definition; shorter than the lease."""

CLAIM, JOB, SUCCESS, FAILED = "Claim Partition", "job", "Update Status Success", "Update Status Failed"


@dataclass
class Execution:
    """One run of the state machine."""

    name: str
    provider: str
    given: dict[str, Any]
    started_at: datetime
    at: str = CLAIM
    tries: int = 0
    claim: Claim | None = None
    result: dict[str, Any] | None = None
    process: Process | None = None


@dataclass
class Cloud:
    """Step Functions, Lambda and Glue as far as the world's handlers can tell them apart."""

    world: World
    running: list[Execution] = field(default_factory=list)
    loose: list[Process] = field(default_factory=list)
    """Ticks, clean-ups, and handlers whose state has been given up while they go on."""
    events: list[Execution] = field(default_factory=list)
    """Executions that ended without a word, and EventBridge has not said so yet."""
    doubled: bool = False
    """Whether a job ran twice for one run, and the second may have written over the first one's result."""

    def __post_init__(self) -> None:
        self.world.executions.on_start = self._started

    def start(self, name: str, **given: Any) -> None:
        """Start an execution by hand."""
        self.world.executions.start(name, json.dumps(given))

    def spawn(self, work: Callable[[], Any]) -> None:
        """Run a handler that belongs to no execution."""
        self.loose.append(Process(work))

    def standing(self) -> list[Process]:
        """Every handler that waits for its next call at a port."""
        return [e.process for e in self.running if e.process] + self.loose

    def go_on(self, process: Process, calls: int, fault: Fault | None = None) -> None:
        """Let a handler make some calls, the last of them with a fault.

        Only a job can end as if all were well, so that fault waits for the next message that is sent.
        """
        while not process.ended and calls > 0:
            quits = fault is Fault.QUIT
            last = process.at == "queue.send" if quits else calls == 1
            process.resume(fault if last else None)
            calls = 0 if last else calls - (not quits)
        self.settle()

    def finish_all(self, until: str = "") -> None:
        """Run everything to its end, or to where executions enter a state."""
        self.begin()
        while processes := [e.process for e in self.running if e.process and e.at != until] + self.loose:
            for process in processes:
                process.finish()
            self.settle()
            self.begin()

    def settle(self) -> None:
        """What Step Functions does when a handler has ended."""
        for process in [p for p in self.loose if p.ended]:
            self.loose.remove(process)
            if not isinstance(process.error, (type(None), FanoutError, Crash, Quit)):
                raise process.error
        for execution in list(self.running):
            while execution.process is not None and execution.process.ended:
                self._next(execution, execution.process)

    def give_up(self, execution: Execution, retry: bool) -> None:
        """The state times out while its handler goes on."""
        if execution.process is not None:
            self.loose.append(execution.process)
        self.doubled = self.doubled or (retry and execution.at == JOB)
        self._retry_or_catch(execution, retry, {"Error": "States.Timeout", "Cause": ""})
        self.settle()

    def end_without_a_word(self, execution: Execution, status: str) -> None:
        """Aborted or timed out: no Catch runs, an event follows, and its handler goes on."""
        if execution.process is not None:
            self.loose.append(execution.process)
        self._end(execution, status)
        self.events.append(execution)

    def deliver(self, execution: Execution) -> None:
        """EventBridge tells *update status* of an execution that ended without a word."""
        end = self.world.outcomes.end
        self.spawn(lambda: end(execution.provider, execution.name, "its execution is gone"))

    def time_out(self) -> None:
        """End every execution that is over its limit."""
        for execution in list(self.running):
            if self.world.clock.now - execution.started_at >= EXECUTION_LIMIT:
                self.end_without_a_word(execution, "TIMED_OUT")

    def _started(self, name: str, execution_input: str) -> None:
        given = json.loads(execution_input)
        execution = Execution(name, given.pop("provider"), given, self.world.clock.now)
        self.running.append(execution)

    def begin(self) -> None:
        """Call the handler of each state that was entered."""
        for execution in list(self.running):
            if execution.process is None:
                execution.process = Process(self._handler(execution))
        self.settle()

    def _handler(self, execution: Execution) -> Callable[[], Any]:
        world, claim = self.world, execution.claim
        if execution.at == CLAIM:
            return lambda: world.claim(execution.provider, execution.name, **execution.given)
        if execution.at == FAILED:
            return lambda: world.outcomes.fail(self._ending(execution, "failed"))
        if claim is None:
            raise AssertionError("only a claim leads here")
        if execution.at == JOB:
            return lambda: world.job(claim)
        return lambda: world.outcomes.succeed(self._ending(execution, "succeeded"))

    def _ending(self, execution: Execution, outcome: str) -> Ending:
        state: dict[str, Any] = {"provider": execution.provider}
        if execution.claim is not None:
            state["claim"] = vars(execution.claim)
        if execution.result is not None:
            state["result"] = execution.result
        return Ending.from_event({"outcome": outcome, "run_id": execution.name, "state": state})

    def _next(self, execution: Execution, process: Process) -> None:
        error = process.error
        if error is None or isinstance(error, Quit):
            self._enter(execution, process.value)
        elif isinstance(error, (FanoutError, Crash)):
            retry = execution.at != JOB and isinstance(error, (TransientError, Crash))
            self._retry_or_catch(execution, retry, {"Error": type(error).__name__, "Cause": str(error)})
        else:
            raise error

    def _enter(self, execution: Execution, value: Any) -> None:
        if execution.at == CLAIM:
            execution.claim = value
            if value.decision == "busy":
                self._end(execution, "SUCCEEDED")
                return
            execution.at = SUCCESS if value.decision == "nothing" else JOB
        elif execution.at == JOB:
            execution.at = SUCCESS
        else:
            self._end(execution, "SUCCEEDED" if execution.at == SUCCESS else "FAILED")
            return
        execution.tries = 0
        execution.process = Process(self._handler(execution))

    def _retry_or_catch(self, execution: Execution, retry: bool, result: dict[str, Any]) -> None:
        execution.tries += 1
        if not retry or execution.tries > RETRIES:
            if execution.at == FAILED:
                self._end(execution, "FAILED")
                return
            execution.at, execution.tries, execution.result = FAILED, 0, result
        execution.process = Process(self._handler(execution))

    def _end(self, execution: Execution, status: str) -> None:
        self.running.remove(execution)
        execution.process = None
        self.world.executions.statuses[execution.name] = status
