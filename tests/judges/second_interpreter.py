"""Plays the state machine's acts in an independent interpreter, with the real claim and end of runs in memory.

The interpreter is the npm package aws-local-stepfunctions, in a Node.js process (interpreter.mjs). It calls back for
each task, and this module answers as the act's scene says.
"""

from __future__ import annotations

import copy
import json
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fanout.claims import Claim, ClaimRequest
from fanout.endings import Ending as EndOfRun
from fanout.failures import as_error
from tests.harness.waiting import HANG_SECONDS
from tests.harness.world import World
from tests.integration.statemachine.acts import (
    BUSY,
    CLAIM,
    ENGINE,
    FAILURE,
    GLUE,
    REFUSED,
    SMALL,
    SUCCESS,
    WORKERS,
    Act,
)
from tests.integration.statemachine.stage import Answers, Ends, Fails, Hangs, Refused, hastened

PROGRAM = Path(__file__).with_name("interpreter.mjs")
PACKAGES = Path(__file__).parents[2] / ".judges"
"""Folder with the npm packages, which `make judges` installs."""
STATE_SECONDS = 5
"""Timeout of a state in the scenes in which a call hangs."""
PARTS = {CLAIM: "claim", SMALL: "lambda", GLUE: "glue", SUCCESS: "update", FAILURE: "update"}
LAMBDA_MAX_BYTES = 100
Definition = Mapping[str, Any]


class TaskFailedError(Exception):
    """A task ends with an error name and a cause, as Step Functions sees them."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause


@dataclass
class Played:
    """The result of one execution.

    Attributes
    ----------
    path
        Names of the states that were entered, in order.
    error, cause
        Of a failed execution; "" for a success.
    """

    path: tuple[str, ...]
    error: str
    cause: str


@dataclass
class Performance:
    """One act, with a deployment in memory of its own."""

    name: str
    act: Act
    calls: Counter[str] = field(default_factory=Counter)
    job_runs: list[tuple[str, str, int]] = field(default_factory=list)
    """Job, type and number of workers of each job run that was requested."""
    played: Played | None = None

    def __post_init__(self) -> None:
        self.world = World(settings={"lambda_max_bytes": LAMBDA_MAX_BYTES, "max_workers": 10})
        self.world.provider(self.name)
        scene = self.act.scene
        self._left = {who: list(endings) for who, endings in scene.parts.items()}
        if scene.change_log:
            self.world.change(self.name, "0", "row" * (LAMBDA_MAX_BYTES if scene.change_log == "large" else 1))
        if scene.held_by:
            self.world.claim(self.name, scene.held_by)

    @property
    def hangs(self) -> bool:
        """Whether one of its calls gets no answer."""
        return any(isinstance(ending, Hangs) for endings in self.act.scene.parts.values() for ending in endings)

    def execution(self, definition: Definition) -> dict[str, Any]:
        """Return what the interpreter needs to run this act with a definition."""
        copied = hastened(copy.deepcopy(dict(definition)), STATE_SECONDS if self.hangs else HANG_SECONDS)
        given = self.act.scene.given or json.dumps({"provider": self.name})
        return {"run_id": f"run-of-{self.name}", "definition": copied, "input": json.loads(given)}

    def answer(self, state: str, task: dict[str, Any]) -> dict[str, Any] | None:
        """Return the answer to a task, or None if it hangs."""
        who = PARTS[state]
        self.calls[who] += 1
        ending = self._left[who].pop(0) if self._left.get(who) else None
        try:
            return {"output": self._end(state, task, ending)}
        except TaskFailedError as failed:
            return {"error": failed.error, "cause": failed.cause}
        except TimeoutError:
            return None

    def _end(self, state: str, task: dict[str, Any], ending: Any) -> Any:
        if isinstance(ending, Hangs):
            raise TimeoutError
        if isinstance(ending, Refused):
            raise TaskFailedError(f"{'Glue' if state == GLUE else 'Lambda'}.{ending.code}", "injected")
        if isinstance(ending, Fails) and not ending.after:
            raise _failed(ending.error, ending.message)
        if state == GLUE:
            return self._job_run(task, ending or Ends("SUCCEEDED"))
        payload = task["Payload"]
        try:
            made = self._call(state, payload)
        except Exception as error:  # Lambda reports any error of a handler in this form
            raise _failed(type(error).__name__, str(error)) from error
        if isinstance(ending, Fails):
            raise _failed(ending.error, ending.message)
        return {"Payload": {**made, **(ending.changed if isinstance(ending, Answers) else {})}}

    def _call(self, state: str, payload: dict[str, Any]) -> dict[str, Any]:
        if state == CLAIM:
            return asdict(self.world.claims.claim(ClaimRequest.from_event(payload)))
        if state == SMALL:
            result = self.world.job(Claim("lambda", "", workers=1, **payload))
            return {"rows": result.rows, "messages": result.messages}
        ending = EndOfRun.from_event(payload)
        if ending.outcome == "failed":
            return as_error(*self.world.endings.fail(ending))
        self.world.endings.succeed(ending)
        return {"status": "succeeded"}

    def _job_run(self, task: dict[str, Any], ending: Any) -> dict[str, Any]:
        """End a job run as `glue:startJobRun.sync` does: the job run, or an error with it as its cause."""
        self.job_runs.append((task["JobName"], task["WorkerType"], task["NumberOfWorkers"]))
        arguments = {name.removeprefix("--"): value for name, value in task["Arguments"].items()}
        state = ending.state
        if ending.works:
            try:
                self.world.job(Claim("glue", "", workers=task["NumberOfWorkers"], **arguments))
            except Exception:  # noqa: BLE001 - a run with invalid arguments fails, with whatever error
                state = "FAILED"
        job_run = {"Id": "jr_1", "JobName": task["JobName"], "JobRunState": state}
        if state not in ("SUCCEEDED", "STOPPED"):
            raise TaskFailedError("States.TaskFailed", json.dumps(job_run))
        return job_run

    def differences(self) -> list[str]:
        """Compare the act's expected result with this one."""
        assert self.played is not None
        act, end, state = self.act, self.played, self.world.state(self.name)
        calls = dict(act.calls) or {"claim": 1}
        if act.scene.held_by:
            calls["claim"] -= 1  # the call that gave the lease to the other run
        run_id = f"run-of-{self.name}"
        recorded = act.recorded and act.path[-1] != BUSY
        wanted = {
            "path": (end.path, act.path),
            "calls": (dict(self.calls), calls),
            "failed": (bool(end.error), bool(act.says)),
            "cause": (act.says in end.cause, True),
            "messages": (len(self.world.sent), act.messages),
            "record": (bool(state.last_run and state.last_run.run_id == run_id), recorded),
            "generation": (state.bookmark.generation, int(recorded and not act.says)),
        }
        wanted["job runs"] = (set(self.job_runs) - {("etl-dev-change_log", "G.1X", WORKERS)}, set())
        if recorded:
            wanted["lease"] = (state.lease, None)
            wanted["error"] = (end.error, "RunFailed" if act.says else "")
        elif act.path[-1] == REFUSED:
            wanted["error"] = (end.error in ("InvalidRequestError", "InvalidProviderError"), True)
        elif ENGINE in act.path and act.path[-1] != BUSY:  # the next tick finds the execution that has the lease
            wanted["lease"] = (state.lease and state.lease.execution_arn, f"arn:{run_id}")
        return [f"{what}: {found}, not {expected}" for what, (found, expected) in wanted.items() if found != expected]


def _failed(error: str, message: str) -> TaskFailedError:
    """Return the error of a function, with the cause that Lambda reports."""
    return TaskFailedError(error, json.dumps({"errorType": error, "errorMessage": message}))


def play(performances: Mapping[str, tuple[Performance, Definition]], validate: bool = True) -> None:
    """Run each performance with its definition, many at once, and set `played`.

    Parameters
    ----------
    performances
        Any name -> the performance and the definition that it is played with.
    validate
        Whether the interpreter checks the definitions first.
    """
    for hangs in (False, True):  # those with short timeouts of states do not wait for all the others
        _play({name: one for name, one in performances.items() if one[0].hangs is hangs}, validate)


def _play(performances: Mapping[str, tuple[Performance, Definition]], validate: bool) -> None:
    executions = [
        {"name": name, "validate": validate, **performance.execution(definition)}
        for name, (performance, definition) in performances.items()
    ]
    with subprocess.Popen(
        ["node", str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PACKAGES
    ) as node:
        watchdog = threading.Timer(HANG_SECONDS, node.kill)
        watchdog.start()
        assert node.stdin is not None
        assert node.stdout is not None
        print(json.dumps({"executions": executions}), file=node.stdin, flush=True)
        for line in node.stdout:
            said = json.loads(line)
            if "ended" in said:
                performance, _ = performances[said["ended"]]
                performance.played = Played(tuple(said["path"]), said.get("error", ""), said.get("cause") or "")
                continue
            performance, _ = performances[said["execution"]]
            answer = performance.answer(said["state"], said["input"])
            if answer is not None:
                print(json.dumps({"id": said["id"], **answer}), file=node.stdin, flush=True)
        watchdog.cancel()
    assert node.returncode == 0, f"the interpreter ended with status {node.returncode}"
