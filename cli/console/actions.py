"""The changes that the console can make: run, retry, replay, pause, resume, redrive. It shows their effects first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from botocore.exceptions import ClientError
from rich.filesize import decimal as size

from contract.manifest import Replay
from contract.times import format_iso
from fanout.providers import check_name

from ..bulk import BulkReport, each, lines_of, report_of
from ..command import Operator, utc_now
from ..commands.replay import ReplayPlan, plan_replay
from ..commands.run import BY_HAND, check_listed, execution_input, failing, start_execution
from ..commands.status import UNKNOWN
from ..deployment import Deployment
from ..errors import DENIED, UsageError
from ..output import counted, safe, show
from ..overview import look
from ..registry import AGAIN, call
from ..selection import Selected, Wanted, check_startable, select
from ..starting import Starting
from ..times import moment
from . import dead_letters

ASKED = ("run", "retry", "replay", "redrive")
"""Changes that need a confirmation, because they send messages or move a bookmark."""


FOR_MANY = {"run": "started", "retry": "started", "pause": "paused", "resume": "resumed"}
"""Changes of many providers, and what is done to each."""
PATCHES: dict[str, dict[str, Any]] = {"pause": {"paused": True}, "resume": {"paused": None}}
"""Changes of a provider's entry in the config API."""
PATCHED = {
    "pause": "no tick starts it. A run in progress continues.",
    "resume": "it starts at the next tick at which it is due.",
}


@dataclass(frozen=True)
class Order:
    """A change that the operator requests; `start` and `end` are the range of a replay in ISO 8601.

    `of` is a provider or a queue, or the cause of a retry. A change of the providers that are selected in the overview
    has `names` instead.
    """

    do: str
    of: str = ""
    start: str = ""
    end: str = ""
    names: Sequence[str] | None = None

    @property
    def for_many(self) -> bool:
        """Whether it is a change of any number of providers: the selected ones, or those that fail for one cause."""
        return self.names is not None or self.do == "retry"


@dataclass(frozen=True)
class Done:
    """The effect of a change, and the run that it started."""

    said: str
    run_id: str | None = None


def may_start(stack: Deployment) -> bool:
    """Whether these credentials may start executions. It tries with an input that Step Functions rejects."""
    try:
        stack.client("stepfunctions").start_execution(
            stateMachineArn=stack.output("StateMachineArn"), name="may-i", input="this is not JSON"
        )
    except ClientError as error:
        return error.response["Error"].get("Code") not in DENIED
    return True


def plan(stack: Deployment, provider: str, start: str, end: str) -> ReplayPlan:
    """Find the objects that a replay would send again.

    Raises
    ------
    UsageError
        A time is invalid, or the range ends before it starts.
    """
    now = utc_now()
    since, until = moment(start, now, UTC), moment(end or "now", now, UTC)
    if since > until:
        raise UsageError("the start of the replay must not be later than its end")
    return plan_replay(stack, check_name(provider), Replay(since, until))


def question(stack: Deployment, order: Order) -> str:
    """The effect of an order, for the confirmation.

    Raises
    ------
    UsageError
        The order cannot be carried out.
    """
    if order.for_many:
        names = _selected(stack, order).names
        dry_run = BulkReport(FOR_MANY[order.do], True, len(names), dict.fromkeys(names))
        return f"{next(lines_of(dry_run))}. {_effect(stack, order.do, names)}"
    if order.do == "run":
        pending = stack.pending.of(check_name(order.of))
        waiting = f"{counted(pending.objects, 'object')} ({size(pending.bytes)})" if pending.since else "none"
        return (
            f"A run of {order.of} starts now, whether it is due or not. Pending objects: {waiting}. The run sends "
            f"one message for each changed row to {_target(stack)}, and then moves the bookmark."
        )
    if order.do == "replay":
        found = plan(stack, order.of, order.start, order.end)
        return (
            f"{counted(found.objects, 'object')} ({size(found.bytes)}) of {order.of}, modified from "
            f"{show(found.start)} to {show(found.end)}, are sent again to {_target(stack)}, with the same message "
            "ids. The bookmark does not change."
        )
    queue = dead_letters.find(stack, order.of)
    return (
        f"About {counted(queue.messages, 'message')} move from {queue.name} to {queue.source}, whose consumer receives "
        "them again. If it fails again, they return here."
    )


def _effect(stack: Deployment, do: str, names: Sequence[str]) -> str:
    if do == "pause":
        return "No tick starts them. Runs in progress continue."
    if do == "resume":
        return "Each of them starts at the next tick at which it is due."
    waiting = stack.pending.waiting()
    pending = counted(sum(waiting[name].objects for name in names if name in waiting), "pending object")
    return f"They have {pending}. Each run sends its messages to {_target(stack)}, and then moves the bookmark."


def _selected(stack: Deployment, order: Order) -> Selected:
    """The providers of an order for many: the selected ones, and for a retry only those that are failing."""
    if order.do not in FOR_MANY:
        raise UsageError(f"unknown change {safe(order.do)}")
    if order.names is None:
        selected = _failing_for(stack, order.of)
    elif order.names:
        selected = select(stack, Wanted(tuple(order.names)))
        selected = failing(stack, selected) if order.do == "retry" else selected
    else:
        raise UsageError("no provider is selected; select some in the table, or all that are shown in its first row")
    if order.do not in PATCHES:
        check_startable(stack, selected.names)
    return selected


def _failing_for(stack: Deployment, cause: str) -> Selected:
    """The providers whose last run failed for exactly this cause.

    Raises
    ------
    UsageError
        There are none.
    """
    found = [one for one in look(stack).health if one.has_failed]
    names = tuple(one.provider for one in found if (one.failure or UNKNOWN).kind == cause)
    if not names:
        raise UsageError(f"no provider is failing with {safe(cause)[:200]}")
    return Selected(names)


def _carry_out_all(op: Operator, order: Order) -> str:
    """Make a change of many providers, as the command line does; return its summary."""
    stack, selected, did = op.stack, _selected(op.stack, order), FOR_MANY[order.do]
    if order.do in PATCHES:
        change = PATCHES[order.do]
        outcome = each(op, selected.names, lambda name: call(stack, "PATCH", name, change, tries=AGAIN), did)
    else:
        inputs = {name: execution_input(name) for name in selected.names}
        outcome = Starting(op, inputs, BY_HAND).run(no_wait=True)
    return "\n".join(map(safe, lines_of(report_of(did, selected, outcome))))


def carry_out(op: Operator, order: Order) -> Done:
    """Make the change.

    Raises
    ------
    UsageError
        The order cannot be carried out. Nothing was changed.
    """
    stack = op.stack
    if order.for_many:
        return Done(_carry_out_all(op, order))
    if order.do == "redrive":
        queue = dead_letters.redrive(stack, order.of)
        return Done(f"The messages of {queue.name} are being moved to {queue.source}.")
    provider = check_name(order.of)
    if order.do in PATCHES:
        call(stack, "PATCH", provider, PATCHES[order.do])
        return Done(f"{provider} is {FOR_MANY[order.do]}: {PATCHED[order.do]}")
    if order.do not in ("run", "replay"):
        raise UsageError(f"unknown change {safe(order.do)}")
    check_listed(stack, provider)
    wanted = None
    if order.do == "replay":
        found = plan(stack, provider, order.start, order.end)
        wanted = {"from": format_iso(found.start), "to": format_iso(found.end)}
    machine = stack.output("StateMachineArn")
    arn = start_execution(stack.client("stepfunctions"), machine, provider, utc_now(), wanted)
    run_id = arn.rpartition(":")[2]
    return Done(f"Started {run_id}.", run_id)


def _target(stack: Deployment) -> str:
    return stack.output("ChangesQueueUrl").rpartition("/")[2]
