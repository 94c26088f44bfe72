"""`fanout diff`: what a CloudFormation change set would change, with what would be lost first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from ..command import Command, Context, iam
from ..deployment import Deployment
from ..errors import Exit, OperatorError, UsageError
from ..output import Page, counted

app = typer.Typer()
MAKE = "make one with `make deploy CONFIG_ENV=prod ARGS=--no-execute-changeset`"
NOT_EXECUTED = ("AVAILABLE", "UNAVAILABLE")
"""Execution statuses; UNAVAILABLE: it is being created, or its creation failed."""
CREATING = ("CREATE_PENDING", "CREATE_IN_PROGRESS")
EMPTY = ("The submitted information didn't contain changes", "No updates are to be performed")
"""How CloudFormation begins the reason why a change set without changes failed; the second one is for SAM templates."""
REPLACEMENT = {"True": "yes", "Conditional": "conditional", "False": "no"}
Parameters = Mapping[str, tuple[str | None, str]]
"""Parameter -> its value before and after."""
STOP = "Set ScheduleState=DISABLED first"
EFFECTS = {
    "RunLedger": "A new table has no bookmarks, so every provider starts again from its first object. "
    f"{STOP}, and copy the items of the old table.",
    "Providers": "A new table has no providers, so no run starts. Save them first with `fanout providers export FILE`, "
    "and then add them with `fanout providers import FILE`.",
    "AWS::DynamoDB::Table": "A new table is empty. Copy the items of the old one.",
    "AWS::S3::Bucket": f"A new bucket is empty. {STOP}, and copy what is still needed; copies have a new "
    "LastModified, so runs process copied objects again.",
    "AWS::SQS::Queue": f"Messages in the old queue are not moved, and a new queue has another URL. {STOP}, wait until "
    "the old queue is empty, and then give its consumers the new URL.",
    "AWS::KMS::Key": "Data that was encrypted with the old key can be read only with the old key. Do not delete it.",
    "AWS::SecretsManager::Secret": "The secret gets a new value. Give it to the callers of the config API.",
    "AWS::StepFunctions::StateMachine": "Executions in progress are terminated. "
    f"{STOP}, and wait until `fanout status` shows no running provider.",
}
"""Logical id or type of a resource with data or executions -> what its replacement or removal means."""


@dataclass(frozen=True)
class Change:
    """The change of one resource.

    Attributes
    ----------
    replacement
        yes, conditional or no; None unless the resource is modified.
    causes
        The changed properties, with the sources of their values; for a replacement only those that require it.
    effect
        What would be lost, and what to do; None if nothing.
    """

    action: str
    resource: str
    type: str
    replacement: str | None
    causes: tuple[str, ...]
    effect: str | None


@dataclass(frozen=True)
class Difference:
    """The changes that a change set would make, those with an effect first; and parameters before and after."""

    stack: str
    change_set: str
    created_at: datetime
    parameters: Parameters
    changes: tuple[Change, ...]

    @property
    def lost(self) -> int:
        """How many resources with data or executions may be replaced or removed."""
        return sum(change.effect is not None for change in self.changes)


@app.command(cls=Command, epilog=iam("diff"))
def diff(
    ctx: Context,
    change_set: Annotated[
        str | None, typer.Argument(metavar="CHANGE_SET", help="Name or ARN. Defaults to the newest one of the stack.")
    ] = None,
) -> Exit:
    """Show what a change set would change. Exit status 1 if a resource with data may be replaced or removed.

    Create the change set with `make deploy CONFIG_ENV=prod ARGS=--no-execute-changeset`. The state machine counts as a
    resource with data, because its executions are terminated. Exit status 0 if nothing would change.
    """
    found = read(ctx.obj.stack, change_set)
    ctx.obj.show(found, _show)
    return Exit.UNHEALTHY if found.lost else Exit.OK


def read(stack: Deployment, change_set: str | None) -> Difference:
    """Read a change set; by default the newest one of the stack."""
    client, name = stack.client("cloudformation"), stack.description["StackName"]
    wanted = change_set or _newest(client, name)
    try:
        paginator = client.get_paginator("describe_change_set")
        pages = list(paginator.paginate(ChangeSetName=wanted, StackName=name))
    except ClientError as error:
        if error.response["Error"]["Code"] != "ChangeSetNotFound":
            raise
        raise UsageError(f"the stack {name} has no change set {wanted}; {MAKE}") from None
    found = pages[0]
    _check(found)
    changes = [_change(one["ResourceChange"]) for page in pages for one in page.get("Changes", ())]
    return Difference(
        stack=name,
        change_set=found["ChangeSetName"],
        created_at=found["CreationTime"],
        parameters=_changed(stack.description.get("Parameters", ()), found.get("Parameters", ())),
        changes=tuple(sorted(changes, key=_worst_first)),
    )


def _newest(client: Any, stack: str) -> str:
    """The newest change set, also if its creation failed: an older one would not show what was asked for last."""
    pages = client.get_paginator("list_change_sets").paginate(StackName=stack)
    found = [one for page in pages for one in page["Summaries"] if one["ExecutionStatus"] in NOT_EXECUTED]
    if not found:
        raise UsageError(f"the stack {stack} has no change set that can be executed; {MAKE}")
    return str(max(found, key=lambda one: one["CreationTime"])["ChangeSetId"])


def _check(found: Mapping[str, Any]) -> None:
    name, status, reason = found["ChangeSetName"], found["Status"], found.get("StatusReason") or "no reason is given"
    if status in CREATING:
        raise UsageError(f"the change set {name} is still being created; try again in a minute")
    if status == "FAILED" and not reason.startswith(EMPTY):
        raise OperatorError(f"CloudFormation could not create the change set {name}: {reason}")
    if status != "FAILED" and found["ExecutionStatus"] != "AVAILABLE":
        why = found["ExecutionStatus"].lower().replace("_", " ")
        raise UsageError(f"the change set {name} can no longer be executed ({why}); {MAKE}")


def _changed(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> Parameters:
    old, new = (
        {one["ParameterKey"]: one.get("ResolvedValue", one.get("ParameterValue")) for one in some}
        for some in (before, (one for one in after if not one.get("UsePreviousValue")))
    )
    return {name: (old.get(name), value) for name, value in sorted(new.items()) if old.get(name) != value}


def _change(found: Mapping[str, Any]) -> Change:
    action, name, kind = found["Action"].lower(), found["LogicalResourceId"], found["ResourceType"]
    replacement = REPLACEMENT.get(found.get("Replacement", "")) if action == "modify" else None
    fate = {"yes": "would be replaced", "conditional": "may be replaced"}.get(replacement or "")
    fate = "would be removed" if action == "remove" else fate
    effect = EFFECTS.get(name, EFFECTS.get(kind)) if fate else None
    if effect is not None:
        kept = found.get("PolicyAction", "").endswith("Retain")
        effect = f"{name} {fate}. {effect} The old one {'stays, outside of the stack' if kept else 'is deleted'}."
    return Change(action, name, kind, replacement, _causes(found.get("Details", ()), replacement), effect)


def _causes(details: Sequence[Mapping[str, Any]], replacement: str | None) -> tuple[str, ...]:
    """The changed properties, each once: CloudFormation has an entry for each source of a property's value."""
    sources: dict[str, dict[str, None]] = defaultdict(dict)
    for detail in details:
        target = detail["Target"]
        if replacement == "no" or target.get("RequiresRecreation", "Never") != "Never":
            found = sources[target.get("Name") or target["Attribute"]]
            if source := detail.get("CausingEntity"):
                found[source] = None
    return tuple(f"{name} ({', '.join(found)})" if found else name for name, found in sources.items())


def _worst_first(change: Change) -> tuple[bool, int, str]:
    order = ("yes", "conditional", "remove", "no", "add")
    kind = change.replacement or change.action
    return change.effect is None, order.index(kind) if kind in order else len(order), change.resource


def _show(report: Difference, page: Page) -> None:
    page.facts([("stack", report.stack), ("change set", report.change_set), ("created", report.created_at)])
    if report.parameters:
        page.table(("PARAMETER", "BEFORE", "AFTER"), [(name, *values) for name, values in report.parameters.items()])
    if not report.changes:
        page.line("Nothing would change.")
        return
    heads = ("ACTION", "RESOURCE", "TYPE", "REPLACEMENT", "CAUSE")
    rows = [(one.action, one.resource, one.type, one.replacement, ", ".join(one.causes)) for one in report.changes]
    page.table(heads, rows)
    for change in report.changes:
        if change.effect:
            page.line(change.effect, style="red")
    lost = counted(report.lost, "resource") if report.lost else "No resource"
    page.line(f"{lost} with data or executions may be replaced or removed. Nothing has changed yet.")
