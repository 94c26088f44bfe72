"""The changes that the console can make: run, retry, replay, pause, resume, redrive. It shows their effects first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC

from botocore.exceptions import ClientError
from rich.filesize import decimal as size

from contract.manifest import Replay
from contract.times import format_iso
from fanout.health import Condition
from fanout.providers import check_name

from ..bulk import Outcome
from ..command import Operator, utc_now
from ..commands.replay import ReplayPlan, plan_replay
from ..commands.run import BY_HAND, check_listed, execution_input, start_execution
from ..commands.status import UNKNOWN
from ..deployment import Deployment, Where
from ..errors import DENIED, UsageError
from ..output import counted, safe, show
from ..overview import look
from ..registry import call
from ..selection import SHOWN, check_startable, shown
from ..starting import Starting
from ..times import moment
from . import dead_letters

ASKED = ("run", "retry", "replay", "redrive")
"""Changes that need a confirmation, because they send messages or move a bookmark."""


@dataclass(frozen=True)
class Order:
    """A change that the operator requests, of a provider, queue or cause.

    `start` and `end` are the range of a replay in ISO 8601.
    """

    do: str
    of: str
    start: str = ""
    end: str = ""


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
    """The effect of an order, for the confirmation."""
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
    if order.do == "pause":
        call(stack, "PATCH", provider, {"paused": True})
        return Done(f"{provider} is paused: no tick starts it. A run in progress continues.")
    if order.do == "resume":
        call(stack, "PATCH", provider, {"paused": None})
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
    return _told(Starting(op, {name: execution_input(name) for name in names}, BY_HAND).run(no_wait=True))


def _told(outcome: Outcome) -> str:
    said = [f"{counted(len(outcome.done), 'run')} started."]
    if outcome.not_tried:
        said.append(f"Not started, because no slot is free or starts are refused: {shown(outcome.not_tried)}.")
    said += [f"Failed: {safe(name)}: {safe(why)}." for name, why in list(outcome.failed.items())[:SHOWN]]
    return " ".join(said)


def _target(stack: Deployment) -> str:
    return stack.output("ChangesQueueUrl").rpartition("/")[2]
