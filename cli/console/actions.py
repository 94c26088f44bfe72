"""What the console can change: start a run, replay, pause, resume, redrive. Each says first what will happen."""

from __future__ import annotations

from dataclasses import dataclass

from botocore.exceptions import ClientError
from rich.filesize import decimal as size

from cli.command import moment, utc_now
from cli.commands.providers import call
from cli.commands.run import ReplayPlan, check_registered, plan_replay, start_execution
from cli.console import dead_letters
from cli.deployment import Deployment
from cli.errors import DENIED, UsageError
from cli.output import counted, safe, show
from fanout.manifests import Replay
from fanout.providers import check_name
from fanout.times import format_iso

ASKED = ("run", "replay", "redrive")
"""What sends messages or moves a bookmark, and so is confirmed first."""


@dataclass(frozen=True)
class Order:
    """A change that the operator wants; `start` and `end` are a replay's range in ISO 8601."""

    do: str
    of: str
    start: str = ""
    end: str = ""


@dataclass(frozen=True)
class Done:
    """What a change did, and the run that it started."""

    said: str
    run_id: str | None = None


def may_start(stack: Deployment) -> bool:
    """Whether these credentials may start executions: asks for one whose input Step Functions has to refuse."""
    try:
        stack.client("stepfunctions").start_execution(
            stateMachineArn=stack.output("StateMachineArn"), name="may-i", input="this is not JSON"
        )
    except ClientError as error:
        return error.response["Error"].get("Code") not in DENIED
    return True


def plan(stack: Deployment, provider: str, start: str, end: str) -> ReplayPlan:
    """What a replay would send again.

    Raises
    ------
    UsageError
        A time cannot be read, or the range ends before it begins.
    """
    now = utc_now()
    since, until = moment(start, now), moment(end or "now", now)
    if since > until:
        raise UsageError("the replay's beginning lies after its end")
    return plan_replay(stack, check_name(provider), Replay.model_validate({"from": since, "to": until}))


def question(stack: Deployment, order: Order) -> str:
    """What will happen if the order is carried out."""
    if order.do == "run":
        pending = stack.pending.of(check_name(order.of))
        waits = f"{counted(pending.objects, 'object')} ({size(pending.bytes)})" if pending.since else "nothing"
        return (
            f"A run of {order.of} starts now, whether it is due or not. As far as is known, {waits} waits. The run "
            f"sends one message for each changed row to {_target(stack)}, and moves the bookmark behind what it sent."
        )
    if order.do == "replay":
        found = plan(stack, order.of, order.start, order.end)
        return (
            f"{counted(found.objects, 'object')} ({size(found.bytes)}) of {order.of}, modified from "
            f"{show(found.start)} to {show(found.end)}, are sent again to {_target(stack)}, under the same message "
            "ids. The bookmark stays where it is."
        )
    queue = dead_letters.find(stack, order.of)
    return (
        f"About {counted(queue.messages, 'message')} of {queue.name} go back to {queue.source}, whose consumer "
        "receives them again. They come back here if it fails again."
    )


def carry_out(stack: Deployment, order: Order) -> Done:
    """Do it.

    Raises
    ------
    UsageError
        There is no such change, or not for this provider.
    """
    if order.do == "redrive":
        queue = dead_letters.redrive(stack, order.of)
        return Done(f"the messages of {queue.name} are on their way back to {queue.source}")
    provider = check_name(order.of)
    if order.do == "pause":
        call(stack, "PATCH", provider, {"paused": True})
        return Done(f"{provider} is paused: no tick starts it, and a run that is under way goes on")
    if order.do == "resume":
        call(stack, "PATCH", provider, {"paused": None})
        return Done(f"{provider} is resumed: the next tick at which it is due starts it")
    if order.do not in ("run", "replay"):
        raise UsageError(f"there is no change {safe(order.do)}")
    check_registered(stack, provider)
    wanted = None
    if order.do == "replay":
        found = plan(stack, provider, order.start, order.end)
        wanted = {"from": format_iso(found.start), "to": format_iso(found.end)}
    machine = stack.output("StateMachineArn")
    arn = start_execution(stack.client("stepfunctions"), machine, provider, utc_now(), wanted)
    run_id = arn.rpartition(":")[2]
    return Done(f"started {run_id}", run_id)


def _target(stack: Deployment) -> str:
    return stack.output("ChangesQueueUrl").rpartition("/")[2]
