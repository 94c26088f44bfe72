"""The smoke test of a deployed stack, on AWS or on this machine: a provider of its own goes the whole way.

It looks at each part, adds a provider, writes twenty rows, ticks once, receives the messages, sends them again by a
replay, lets a malformed line fail, and removes everything that it made. docs/first-deploy.md says what it costs others:
one tick more. While the queue is in use, it sends nothing; the provider then runs without objects.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cli.command import utc_now
from cli.commands.run import start_execution, watch
from cli.deployment import Deployment
from cli.errors import EXPECTED, as_operator_error
from cli.failure import failure_of
from cli.output import counted
from contract.times import format_iso
from fanout.runs import RunRecord
from tests.cloud.guest import PROVIDER, Guest
from tests.cloud.parts import FAILURES, PARTS
from tests.cloud.queue import Inbox, in_use
from tests.cloud.report import BrokenError, Check, NotCheckedError, Outcome
from tests.harness.waiting import eventually

ROWS = 20
START_SECONDS = 120.0
"""The longest time from a tick to its executions, and from an object to its event: a cold dispatcher takes seconds."""
RECEIVE_SECONDS = 60.0
"""The longest time for messages that were acknowledged to arrive."""
PART_OF_STATE = {
    "Claim Partition": "run ledger",
    "Run change_log in Lambda": "job",
    "Start change_log Glue Job": "job",
    "Check Job Run": "job",
    "Update Status Success": "run ledger",
}
"""The part to look at first when a run fails in a state."""
PART_OF_ERROR = {"Send": "queue", "Ledger": "run ledger", "ConfigApi": "config API", "Storage": "data bucket"}
"""Beginnings of the names of errors that say which part is concerned, whatever the state."""


class _StopError(Exception):
    """A part failed on which the rest depends."""


@dataclass
class SmokeTest:
    """One smoke test.

    Parameters
    ----------
    stack
        The stack.
    say
        Called with each step.
    send
        Whether to send messages although the queue is in use. They are not received then.
    raise_alarm
        Whether to let a run fail although the stack has alarms.
    checks
        What was found so far.
    """

    stack: Deployment
    say: Callable[[str], None]
    send: bool = False
    raise_alarm: bool = False
    checks: list[Check] = field(default_factory=list)
    _arn: str = field(default="", init=False)
    """The execution that a tick started."""
    _inbox: Inbox | None = field(default=None, init=False)
    """None if the test may not receive messages."""
    _outstanding: set[str] = field(default_factory=set, init=False)
    """Ids of messages that may be in the queue."""

    def run(self) -> None:
        """Check everything, and clean up."""
        sound = [self._check(part, lambda look=look: look(self.stack)) for part, look in PARTS.items()]
        if not all(sound):
            self._add("run", Outcome.NOT_CHECKED, "a part that every run needs is broken")
            return
        guest = Guest(self.stack, secrets.token_hex(4))
        try:
            self._play(guest)
        except _StopError:
            pass
        finally:  # also after Ctrl-C
            self._left(guest.leave(self._take_messages))

    def _play(self, guest: Guest) -> None:
        self._need("provider", guest.enter)
        silent = self._silent()
        rows = {} if silent and not self.send else guest.rows(ROWS)
        if not silent:
            self._inbox = Inbox(self.stack.client("sqs"), self.stack.output("ChangesQueueUrl"))
            self._outstanding = set(rows)
        uri, modified = guest.write("rows", rows.values()) if rows else ("", utc_now())
        if rows and self.stack.dispatching.discovery == "events":
            self._need("object events", lambda: self._announced(uri))
        self._need("tick", lambda: self._tick(guest))
        self._need("run", lambda: self._ran(self._arn, len(rows)))
        self._need("messages", lambda: self._received(silent, set(rows)))
        if self._check("replay", lambda: self._replayed(set(rows), modified)):
            self._outstanding = set()
        self._check("failing line", lambda: self._failing_line(guest))

    def _silent(self) -> str | None:
        """Why the test cannot receive messages; None if it can."""
        target = self.stack.environment("LambdaRunFunctionName")
        if target.get("JOB") != "change_log":
            return f"the stack runs the job {target.get('JOB')}, which decides itself what it sends"
        if target["QUEUE_URL"].startswith("arn:"):
            return f"messages go to {target['QUEUE_URL']}, which has subscribers of its own"
        return in_use(self.stack)

    def _announced(self, uri: str) -> str:
        """The bucket's event of the object reached the run ledger."""

        def counted_once() -> bool:
            last = self.stack.ledger.get(PROVIDER).last_run
            return self.stack.pending.of(PROVIDER).pending_count > 0 or bool(last and last.pending_count)

        try:
            eventually(counted_once, seconds=START_SECONDS, every=self.stack.poll_seconds)
        except TimeoutError:
            raise BrokenError(f"no event of {uri} was counted; `fanout doctor` checks the notifications") from None
        return "the new object is pending"

    def _tick(self, guest: Guest) -> str:
        """A tick starts the provider: this one, or one of the schedule in the meantime."""
        before = guest.executions()
        guest.pause(False)
        payload = json.dumps({"scheduled_at": format_iso(utc_now().replace(microsecond=0))}).encode()
        name = self.stack.output("DispatchFunctionName")
        self.stack.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=payload)

        def started() -> dict[str, str]:
            return {name: arn for name, arn in guest.executions().items() if name not in before}

        try:
            found = eventually(started, seconds=START_SECONDS, every=self.stack.poll_seconds)
        except TimeoutError:
            raise BrokenError(
                f"the tick did not start {PROVIDER} within {START_SECONDS:.0f} s; `fanout ticks` and the log of {name} "
                "say what it did"
            ) from None
        finally:
            guest.pause(True)  # so that no later tick starts a run that the test does not expect
        run_id, self._arn = found.popitem()
        return f"started {run_id}"

    def _ran(self, arn: str, rows: int) -> str:
        record = self._follow(arn)
        if (record.rows, record.messages) != (rows, rows):
            raise BrokenError(f"{record.rows} rows and {record.messages} messages instead of {rows}", "job")
        if not rows:
            return "succeeded, without objects"
        return (
            f"engine {record.engine}: {counted(record.rows, 'row')}, {counted(record.messages, 'message')} acknowledged"
        )

    def _received(self, silent: str | None, ids: set[str]) -> str:
        if self._inbox is None:
            hint = "they are left to the consumers" if ids else "nothing was sent; --send sends nevertheless"
            raise NotCheckedError(f"{silent}; {hint}")
        return self._all(self._inbox, ids)

    def _all(self, inbox: Inbox, ids: set[str]) -> str:
        found = inbox.receive(ids, RECEIVE_SECONDS)
        if missing := sorted(ids - found.keys()):
            raise BrokenError(
                f"{len(missing)} of {len(ids)} messages did not arrive, such as the one with the id {missing[0]}; if a "
                "consumer has received them, stop it for the time of this test",
                "queue",
            )
        twice = found.total() - len(found)
        return f"{len(found)} with the ids of the rows" + (f", and {twice} that SQS delivered twice" if twice else "")

    def _replayed(self, ids: set[str], modified: datetime) -> str:
        if self._inbox is None:
            raise NotCheckedError("no messages were received")
        wanted = {"from": format_iso(modified), "to": format_iso(modified)}
        record = self._follow(self._start(wanted))
        if (record.rows, record.messages) != (len(ids), len(ids)):
            raise BrokenError(f"{record.rows} rows and {record.messages} messages instead of {len(ids)}", "job")
        if self.stack.output("ChangesQueueUrl").endswith(".fifo"):
            return f"{record.messages} acknowledged; the FIFO queue drops repeated ids for five minutes"
        return self._all(self._inbox, ids)

    def _take_messages(self) -> None:
        """Take the messages that were sent and not received, after a failure or an interrupt."""
        if self._inbox is not None and self._outstanding:
            self._inbox.empty(self._outstanding)

    def _failing_line(self, guest: Guest) -> str:
        """A malformed line fails its run, or is quarantined, with its object and line."""
        quarantines = self.stack.environment("LambdaRunFunctionName").get("ON_BAD_RECORD") == "quarantine"
        if not quarantines and "AlarmTopicArn" in self.stack.outputs and not self.raise_alarm:
            raise NotCheckedError("a failed run raises FailedRunsAlarm; check it with --raise-alarm")
        if self.stack.environment("LambdaRunFunctionName").get("JOB") != "change_log":
            raise NotCheckedError("only the job change_log has a known malformed line")
        uri, _ = guest.write("failing-line", [b'{"eventID": "not closed'])
        if quarantines:
            record = self._follow(self._start())
            if record.quarantined != 1:
                raise BrokenError(f"{record.quarantined} records of {uri} were quarantined instead of 1", "job")
            return "quarantined"
        _, execution, record_or_none = self._end(self._start())
        failure = failure_of(record_or_none, execution)
        if execution["status"] != "FAILED" or (failure.object, failure.line) != (uri, 1):
            raise BrokenError(
                f"the run of {uri} {execution['status']} instead of FAILED with its line 1: {failure.in_one_line()}",
                "job",
            )
        return f"its run failed: {failure.type} in {uri.rpartition('/')[2]}, line {failure.line}"

    def _start(self, replay: dict[str, str] | None = None) -> str:
        states = self.stack.client("stepfunctions")
        return start_execution(states, self.stack.output("StateMachineArn"), PROVIDER, utc_now(), replay)

    def _follow(self, arn: str) -> RunRecord:
        """Wait for a run's success; return its record.

        Raises
        ------
        BrokenError
            The run failed; names the part at which it did.
        """
        states, execution, record = self._end(arn)
        if execution["status"] == "SUCCEEDED" and record is not None and record.status == "succeeded":
            return record
        run_id, failure = arn.rpartition(":")[2], failure_of(record, execution)
        state, part = part_of(states, failure.type)
        raise BrokenError(f"{run_id} failed in state {state}: {failure.in_one_line()}. {failure.advice}", part)

    def _end(self, arn: str) -> tuple[list[str], dict[str, Any], RunRecord | None]:
        """Wait for a run's end; return its states, its execution and its record."""
        states: list[str] = []
        execution, _ = watch(self.stack.client("stepfunctions"), arn, states.append, self.stack.poll_seconds)
        try:
            record = self.stack.ledger.get(PROVIDER).last_run
        except EXPECTED:
            record = None  # the run's own error says more
        return states, execution, record if record and record.run_id == arn.rpartition(":")[2] else None

    def _left(self, left: list[str]) -> None:
        if left:
            self._add("clean-up", Outcome.FAILED, f"could not remove {'; '.join(left)}")
        else:
            self._add("clean-up", Outcome.OK, "nothing is left")

    def _need(self, part: str, look: Callable[[], str]) -> None:
        """Check a part on which the rest depends."""
        if not self._check(part, look) and self.checks[-1].outcome is Outcome.FAILED:
            raise _StopError
        if part == "provider" and self.checks[-1].outcome is Outcome.NOT_CHECKED:
            raise _StopError

    def _check(self, part: str, look: Callable[[], str]) -> bool:
        self.say(part)
        try:
            self._add(part, Outcome.OK, look())
        except NotCheckedError as error:
            self._add(part, Outcome.NOT_CHECKED, str(error))
        except BrokenError as error:
            self._add(error.part or part, Outcome.FAILED, str(error))
        except FAILURES as error:
            self._add(part, Outcome.FAILED, str(error))
        except EXPECTED as error:
            self._add(part, Outcome.FAILED, str(as_operator_error(error, local=self.stack.is_local)))
        return self.checks[-1].outcome is Outcome.OK

    def _add(self, part: str, outcome: Outcome, details: str) -> None:
        self.checks.append(Check(part, outcome, details))


def part_of(states: Sequence[str], error: str) -> tuple[str, str | None]:
    """The state in which a run failed, and the part of the stack to look at first.

    Parameters
    ----------
    states
        The states that the execution entered.
    error
        Name of the error.
    """
    state = next((state for state in reversed(states) if state in PART_OF_STATE), "")
    named = (part for start, part in PART_OF_ERROR.items() if error.startswith(start))
    return state, next(named, PART_OF_STATE.get(state))
