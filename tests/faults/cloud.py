"""The state machine, executed one port call at a time over the in-memory world, with every possible fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from fanout.claims import Claim, ClaimRequest
from fanout.endings import Ending
from fanout.errors import FanoutError
from fanout.failures import as_error, orphaned
from tests.harness.faults import Crash, Fault, Quit
from tests.harness.machine import Machine
from tests.harness.processes import Process
from tests.harness.world import World

RETRIES = 3
"""Fewer than the definition's five, so that histories reach the end of the retries."""
EXECUTION_LIMIT = timedelta(minutes=100)
"""As in the definition; shorter than the lease."""

SUCCESS = "Update Status Success"
MACHINE = Machine()


@dataclass
class Execution:
    """One run of the state machine."""

    name: str
    provider: str
    data: dict[str, Any]
    started_at: datetime
    at: str = MACHINE.start
    tries: int = 0
    process: Process | None = None

    @property
    def works(self) -> bool:
        """Whether it is in a state in which messages are sent."""
        return "UpdateStatus" not in self._resource and "Claim" not in self._resource

    @property
    def _resource(self) -> str:
        state = MACHINE.states[self.at]
        return str(state["Parameters"].get("FunctionName", state["Resource"]))


@dataclass
class Cloud:
    """Step Functions with the real definition, and the behavior of Lambda and Glue that handlers can observe."""

    world: World
    running: list[Execution] = field(default_factory=list)
    loose: list[Process] = field(default_factory=list)
    """Ticks, clean-ups, and handlers that still run although their state timed out."""
    events: list[Execution] = field(default_factory=list)
    """Executions that timed out or were aborted, and whose event has not been delivered yet."""
    doubled: bool = False
    """Whether a job ran twice for one run, so that the second may have overwritten the result of the first."""

    def __post_init__(self) -> None:
        self.world.executions.on_start = self._started

    def start(self, name: str, **given: Any) -> None:
        """Start an execution by hand."""
        self.world.executions.start(name, json.dumps(given))

    def spawn(self, work: Callable[[], Any]) -> None:
        """Run a handler that belongs to no execution."""
        self.loose.append(Process(work))

    def standing(self) -> list[Process]:
        """All handlers that wait for their next call at a port."""
        return [e.process for e in self.running if e.process] + self.loose

    def go_on(self, process: Process, calls: int, fault: Fault | None = None) -> None:
        """Let a handler make some calls, the last of them with a fault.

        Only a job can quit early with a success, so that fault waits for the next message that is sent.
        """
        while not process.ended and calls > 0:
            quits = fault is Fault.QUIT
            last = process.at == "queue.send" if quits else calls == 1
            process.resume(fault if last else None)
            calls = 0 if last else calls - (not quits)
        self.settle()

    def finish_all(self, until: str = "") -> None:
        """Run everything to its end, or until executions enter a state."""
        self.begin()
        while processes := [e.process for e in self.running if e.process and e.at != until] + self.loose:
            for process in processes:
                process.finish()
            self.settle()
            self.begin()

    def settle(self) -> None:
        """Continue an execution, as Step Functions does when a handler has ended."""
        for process in [p for p in self.loose if p.ended]:
            self.loose.remove(process)
            if not isinstance(process.error, (type(None), FanoutError, Crash, Quit)):
                raise process.error
        for execution in list(self.running):
            while execution.process is not None and execution.process.ended:
                self._next(execution, execution.process)

    def give_up(self, execution: Execution, retry: bool) -> None:
        """Time out a state while its handler continues."""
        if execution.process is not None:
            self.loose.append(execution.process)
        self.doubled = self.doubled or (retry and execution.works)
        if retry:
            execution.process = Process(self._handler(execution))
        else:
            self._go(execution, *MACHINE.fail(execution.at, execution.data, "States.Timeout", ""))
        self.settle()

    def end_without_catch(self, execution: Execution, status: str) -> None:
        """Abort or time out an execution: no Catch runs, an event follows, and its handler continues."""
        if execution.process is not None:
            self.loose.append(execution.process)
        self._end(execution, status)
        self.events.append(execution)

    def deliver(self, execution: Execution) -> None:
        """Deliver the end event of an execution that timed out or was aborted to *update status*."""
        end = self.world.endings.end
        self.spawn(lambda: end(execution.provider, execution.name, orphaned("its execution is gone")))

    def time_out(self) -> None:
        """Time out every execution that is over its limit."""
        for execution in list(self.running):
            if self.world.clock.now - execution.started_at >= EXECUTION_LIMIT:
                self.end_without_catch(execution, "TIMED_OUT")

    def _started(self, name: str, execution_input: str) -> None:
        given = json.loads(execution_input)
        self.running.append(Execution(name, given["provider"], given, self.world.clock.now))

    def begin(self) -> None:
        """Call the handler of each state that was entered."""
        for execution in list(self.running):
            if execution.process is None:
                execution.process = Process(self._handler(execution))
        self.settle()

    def _handler(self, execution: Execution) -> Callable[[], Any]:
        """Call the state's resource and return its answer."""
        world, given = self.world, MACHINE.parameters(execution.at, execution.data, execution.name)
        payload = given.get("Payload", {})
        if execution.works:
            glue = "Arguments" in given
            named = {name.lstrip("-"): value for name, value in given["Arguments"].items()} if glue else payload
            job = Claim("glue" if glue else "lambda", "", workers=given.get("NumberOfWorkers", 1), **named)
            job_run = {"Id": "jr_1", "JobRunState": "SUCCEEDED"}
            return lambda: job_run if world.job(job) and glue else {"Payload": {"rows": 0, "messages": 0}}
        if payload.keys() == {"run_id", "execution_arn", "input"}:
            return lambda: {"Payload": asdict(world.claims.claim(ClaimRequest.from_event(payload)))}
        ending = Ending.from_event(payload)
        if ending.outcome == "failed":
            return lambda: {"Payload": as_error(*world.endings.fail(ending))}
        return lambda: {"Payload": {"status": "succeeded", "record": world.endings.succeed(ending)}}

    def _next(self, execution: Execution, process: Process) -> None:
        error = process.error
        if error is None or isinstance(error, Quit):  # only a job can quit, and its answer is not used
            quits = {"Payload": {"rows": 0, "messages": 0}, "Id": "jr_1", "JobRunState": "SUCCEEDED"}
            self._go(execution, *MACHINE.succeed(execution.at, execution.data, process.value or quits))
            return
        if not isinstance(error, (FanoutError, Crash)):
            raise error
        glue = execution.works and "Arguments" in MACHINE.states[execution.at]["Parameters"]
        name = (
            "States.TaskFailed" if glue else "Runtime.ExitError" if isinstance(error, Crash) else type(error).__name__
        )
        execution.tries += 1
        if execution.tries <= min(RETRIES, MACHINE.retries(execution.at, name)):
            execution.process = Process(self._handler(execution))
        else:
            cause = str(error) if glue else json.dumps({"errorType": name, "errorMessage": str(error)})
            self._go(execution, *MACHINE.fail(execution.at, execution.data, name, cause))

    def _go(self, execution: Execution, state: str | None, data: dict[str, Any]) -> None:
        status = MACHINE.status(state)
        if state is None or status is not None:
            self._end(execution, status or "SUCCEEDED")
            return
        execution.at, execution.data, execution.tries = state, data, 0
        execution.process = Process(self._handler(execution))

    def _end(self, execution: Execution, status: str) -> None:
        self.running.remove(execution)
        execution.process = None
        self.world.executions.statuses[execution.name] = status
