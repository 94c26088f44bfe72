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
from fanout.health import Condition
from fanout.providers import check_name

from ..bulk import BulkReport, Outcome, each, lines_of, report_of
from ..command import Operator, utc_now
from ..commands.replay import ReplayPlan, plan_replay
from ..commands.run import BY_HAND, check_listed, execution_input, failing, start_execution
from ..commands.status import UNKNOWN
from ..deployment import Deployment, Where
from ..errors import DENIED, UsageError
from ..output import counted, safe, show
from ..overview import look
from ..registry import AGAIN, call
from ..selection import SHOWN, Selected, Wanted, check_startable, select, shown
from ..starting import Starting
from ..times import moment
from . import dead_letters

ASKED = ("run", "retry", "replay", "redrive")
"""Changes that need a confirmation, because they send messages or move a bookmark."""


FOR_MANY = {"run": "started", "retry": "started", "pause": "paused", "resume": "resumed"}
"""Changes of the selected providers, and what is done to each."""
PATCHES: dict[str, dict[str, Any]] = {"pause": {"paused": True}, "resume": {"paused": None}}
"""Changes of a provider's entry in the config API."""


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
        raise UsageError("the start of the replay must be before its end")
    return plan_replay(stack, check_name(provider), Replay(since, until))


def question(stack: Deployment, order: Order) -> str:
    """The effect of an order, for the confirmation.

    Raises
    ------
    UsageError
        The order cannot be carried out.
    """
    if order.names is not None:
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
    if order.do == "retry":
        return _question_of_retry(stack, order.of)
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
    """The providers of an order for many: the selected ones, and for a retry those of them that are failing."""
    if order.do not in FOR_MANY:
        raise UsageError(f"unknown change {safe(order.do)}")
    if not order.names:
        raise UsageError("no provider is selected; select some in the table, or all that are shown in its first row")
    selected = select(stack, Wanted(tuple(order.names)))
    if order.do in PATCHES:
        return selected
    selected = failing(stack, selected) if order.do == "retry" else selected
    check_startable(stack, selected.names)
    return selected


def carry_out_all(op: Operator, order: Order) -> Done:
    """Make a change of the selected providers, as the command line does; return its summary.

    Raises
    ------
    UsageError
        The order cannot be carried out. Nothing was changed.
    """
    stack, selected = op.stack, _selected(op.stack, order)
    if order.do in PATCHES:
        change, did = PATCHES[order.do], FOR_MANY[order.do]
        outcome = each(op, selected.names, lambda name: call(stack, "PATCH", name, change, tries=AGAIN), did)
    else:
        outcome = _started(op, selected.names)
    return Done("\n".join(map(safe, lines_of(report_of(FOR_MANY[order.do], selected, outcome)))))


def carry_out(stack: Deployment, order: Order) -> Done:
    """Make the change.

    Raises
    ------
    UsageError
        The order is unknown, or the provider is not in the list.
    """
    if order.do == "redrive":
        queue = dead_letters.redrive(stack, order.of)
        return Done(f"The messages of {queue.name} are being moved to {queue.source}.")
    if order.do == "retry":
        return Done(_retry(stack, order.of))
    provider = check_name(order.of)
    if order.do in PATCHES:
        call(stack, "PATCH", provider, PATCHES[order.do])
    if order.do == "pause":
        return Done(f"{provider} is paused: no tick starts it. A run in progress continues.")
    if order.do == "resume":
        return Done(f"{provider} is resumed: it starts at the next tick at which it is due.")
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


def _failing(stack: Deployment, cause: str) -> list[str]:
    """The providers whose last run failed for exactly this cause.

    Raises
    ------
    UsageError
        There are none.
    """
    failing = [one for one in look(stack).health if one.condition is Condition.FAILING]
    found = [one.provider for one in failing if (one.failure or UNKNOWN).kind == cause]
    if not found:
        raise UsageError(f"no provider is failing with {safe(cause)[:200]}")
    return found


def _question_of_retry(stack: Deployment, cause: str) -> str:
    """The effect of a retry, for the confirmation."""
    names = _failing(stack, cause)
    return (
        f"Runs of {counted(len(names), 'failing provider')} start now, instead of after their backoff: {shown(names)}. "
        f"Each run sends one message for each changed row to {_target(stack)}, and then moves the bookmark."
    )


def _retry(stack: Deployment, cause: str) -> str:
    """Start a run of each provider that fails for this cause, as `fanout retry --no-wait` does; return the outcome."""
    names = _failing(stack, cause)
    check_startable(stack, names)
    op = Operator(Where(None), connect=lambda where: stack)
    return _told(_started(op, names))


def _started(op: Operator, names: Sequence[str]) -> Outcome:
    return Starting(op, {name: execution_input(name) for name in names}, BY_HAND).run(no_wait=True)


def _told(outcome: Outcome) -> str:
    said = [f"{counted(len(outcome.done), 'run')} started."]
    if outcome.not_tried:
        said.append(f"Not started, because no slot is free or starts are refused: {shown(outcome.not_tried)}.")
    said += [f"Failed: {safe(name)}: {safe(why)}." for name, why in list(outcome.failed.items())[:SHOWN]]
    return " ".join(said)


def _target(stack: Deployment) -> str:
    return stack.output("ChangesQueueUrl").rpartition("/")[2]
