"""Deletes what a stack holds of providers: all versions of their objects in the data bucket, and their ledger items.

The provider leaves the list first, so that no tick starts it again. The ledger item goes last, and only if it has not
changed since: without it, a run would process the whole change log again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.filesize import decimal as size

from contract.uris import runs_dir, split_uri
from fanout.adapters import PENDING_SUFFIX
from fanout.ledger import ProviderState
from fanout.providers import check_name

from .bulk import Outcome, announce, each, lines_of_failures, table_of_providers
from .command import Operator, utc_now
from .deployment import Deployment
from .errors import Exit, OperatorError, UsageError
from .output import Page, counted, show
from .overview import is_run_of
from .registry import AGAIN, call
from .selection import Request, Selected, select, shown, these

WAIT = "`fanout pause` the provider, wait until `fanout status --all` shows no run of it, and repeat the command"
WAIT_FOR_LAST = (
    "the provider is not in the list any more, so no tick starts it; wait until `fanout trace RUN` shows that the run "
    "has ended, and repeat the command with the provider's name"
)


@dataclass(frozen=True)
class Part:
    """One kind of data that a provider has in the data bucket; old versions and delete markers count as versions."""

    what: str
    uri: str
    versions: int
    bytes: int


@dataclass(frozen=True)
class Holdings:
    """The data of a provider that a stack holds.

    Attributes
    ----------
    listed
        Whether the config API lists it.
    ledger_item
        Whether the run ledger has an item of it: bookmark, lease and last run.
    pending_objects
        The pending count; None if there is none.
    parts
        Its data in the data bucket.
    """

    provider: str
    listed: bool
    ledger_item: bool
    pending_objects: int | None
    parts: tuple[Part, ...]

    @property
    def versions(self) -> int:
        """The number of all versions of objects."""
        return sum(part.versions for part in self.parts)

    @property
    def bytes(self) -> int:
        """The size of all versions of objects."""
        return sum(part.bytes for part in self.parts)

    @property
    def empty(self) -> bool:
        """Whether the stack holds nothing."""
        return not (self.listed or self.ledger_item or self.parts or self.pending_objects is not None)


@dataclass(frozen=True)
class PurgeReport:
    """The receipt of a purge, or with `dry_run` what it would delete.

    Attributes
    ----------
    deleted
        What was deleted, by provider.
    remaining
        What `fanout` cannot delete, with the location and what happens to it.
    """

    at: datetime
    dry_run: bool
    deleted: tuple[Holdings, ...]
    remaining: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)
    not_tried: tuple[str, ...] = ()


def purge(op: Operator, asked: Request) -> Exit:
    """Remove providers from the list, and delete what the stack holds of them; print the receipt."""
    stack, now = op.stack, utc_now()
    listed = stack.config_api.entries()
    names = tuple(map(check_name, asked.wanted.names))  # providers that were removed before may be purged
    selected = Selected(names) if names else select(stack, asked.wanted)
    models = _models(stack)
    found = each(op, selected.names, lambda name: holdings(stack, name, listed, models), "listed")
    held = {name: one for name, one in found.done.items() if not one.empty}
    report = PurgeReport(now, True, tuple(held.values()), _remaining(stack, selected.names), found.failed)
    if found.failed or found.not_tried:
        op.show(report, _show)
        op.note("nothing was deleted: what the stack holds of every selected provider must be listed first")
        return Exit.UNHEALTHY
    if unknown := [name for name in selected.names if name not in held]:
        raise UsageError(
            f"the stack holds nothing of {shown(unknown)}; nothing was deleted; `fanout providers list` shows all names"
        )
    if asked.dry_run:
        op.show(report, _show)
        return Exit.OK
    if busy := _busy(stack, held):
        raise UsageError(f"runs in progress: {shown(sorted(busy.values()))}; {WAIT}")
    announce(op, Selected(tuple(held), selected.left_out))
    versions, bytes_ = sum(one.versions for one in held.values()), sum(one.bytes for one in held.values())
    op.confirm(
        f"Delete {counted(versions, 'object version')} ({size(bytes_)}), ledger item and entry of {these(held)} for "
        "good?",
        yes=asked.yes,
    )
    outcome = _carry_out(op, held)
    done = tuple(outcome.done.values())
    op.show(PurgeReport(now, False, done, report.remaining, outcome.failed, outcome.not_tried), _show)
    return outcome.exit_status


def holdings(stack: Deployment, provider: str, listed: Collection[str], models: Iterable[str]) -> Holdings:
    """List what a stack holds of a provider."""
    s3, parts = stack.client("s3"), []
    for what, uri in _locations(stack.data_bucket, provider, models):
        found = list(versions(s3, uri))
        if found:
            parts.append(Part(what, uri, len(found), sum(one.get("Size", 0) for one in found)))
    pending = stack.pending.of(provider)
    return Holdings(
        provider,
        provider in listed,
        stack.ledger.get(provider).version > 0,
        pending.objects if pending.pending_count else None,
        tuple(parts),
    )


def versions(s3: Any, uri: str) -> Iterator[dict[str, Any]]:
    """All versions and delete markers of an object, or of the objects in a folder, whose URI ends with a slash."""
    bucket, key = split_uri(uri)
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            if key.endswith("/") or one["Key"] == key:
                yield one


def delete_versions(s3: Any, uri: str) -> int:
    """Delete all versions of an object, or of the objects in a folder; return their number.

    Raises
    ------
    OperatorError
        S3 keeps at least one.
    """
    bucket, found = split_uri(uri)[0], list(versions(s3, uri))
    names = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
    for batch in (names[start : start + 1000] for start in range(0, len(names), 1000)):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": batch, "Quiet": True})
        for error in answer.get("Errors", ()):
            raise OperatorError(f"s3://{bucket}/{error['Key']} was not deleted: {error['Message']}")
    return len(found)


def _carry_out(op: Operator, held: dict[str, Holdings]) -> Outcome:
    """Remove the providers from the list, and delete everything of those of which no run has started meanwhile."""
    stack, listed = op.stack, tuple(name for name, one in held.items() if one.listed)
    removed = each(op, listed, lambda name: call(stack, "DELETE", name, tries=AGAIN), "removed from the list")
    busy = _busy(stack, held)
    why = {name: f"run {run} has started; {WAIT_FOR_LAST}" for name, run in busy.items()}
    refused = {**removed.failed, **why}
    free = tuple(name for name in held if name not in refused and name not in removed.not_tried)
    if removed.interrupted:
        return Outcome(failed=refused, not_tried=(*free, *removed.not_tried), interrupted=True)
    outcome = each(op, free, lambda name: _delete(stack, held[name]), "purged") if free else Outcome()
    outcome.failed = {**refused, **outcome.failed}
    outcome.not_tried = (*removed.not_tried, *outcome.not_tried)
    return outcome


def _delete(stack: Deployment, held: Holdings) -> Holdings:
    """Delete what a stack holds of a provider that is not in the list; return it as it was deleted."""
    name = held.provider
    state = stack.ledger.get(name)
    if state.lease:
        raise UsageError(f"run {state.lease.run_id} has started; {WAIT_FOR_LAST}")
    parts = [
        Part(part.what, part.uri, delete_versions(stack.client("s3"), part.uri), part.bytes) for part in held.parts
    ]
    delete_items(stack, state)
    return Holdings(name, held.listed, state.version > 0, held.pending_objects, tuple(parts))


def delete_items(stack: Deployment, state: ProviderState) -> None:
    """Delete a provider's pending count and, if it has not changed since it was read, its ledger item.

    Raises
    ------
    OperatorError
        The ledger item has changed.
    """
    dynamodb, table = stack.client("dynamodb"), stack.output("RunLedgerTable")
    dynamodb.delete_item(TableName=table, Key={"provider": {"S": state.provider + PENDING_SUFFIX}})
    try:
        dynamodb.delete_item(
            TableName=table,
            Key={"provider": {"S": state.provider}},
            ConditionExpression="attribute_not_exists(provider) OR version = :read",
            ExpressionAttributeValues={":read": {"N": str(state.version)}},
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        raise OperatorError(f"the ledger item changed, because a run has started; {WAIT_FOR_LAST}") from None


def _busy(stack: Deployment, names: Iterable[str]) -> dict[str, str]:
    """Provider -> its run that holds the lease, or whose execution is running."""
    names = list(names)
    running = {name: run for run in stack.executions.running() for name in names if is_run_of(run, name)}
    leases = {name: state.lease.run_id for name, state in stack.ledger.get_many(names).items() if state.lease}
    return {**running, **leases}


def _locations(bucket: str, provider: str, models: Iterable[str]) -> Iterator[tuple[str, str]]:
    yield "manifests, results, records", runs_dir(bucket, provider)
    yield "claim checks", f"s3://{bucket}/claim-check/provider={provider}/"
    yield "quarantine", f"s3://{bucket}/quarantine/provider={provider}/"
    for kind in ("yaml", "json"):
        yield "mapping", f"s3://{bucket}/mappings/{provider}.{kind}"
    for model in models:
        yield f"files of the model {model}", f"s3://{bucket}/standard/model={model}/provider={provider}/"


def _models(stack: Deployment) -> list[str]:
    """The models that have files in the data bucket."""
    pages = stack.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=stack.data_bucket, Prefix="standard/model=", Delimiter="/")
    prefixes = [one["Prefix"] for page in found for one in page.get("CommonPrefixes", ())]
    return [prefix.removeprefix("standard/model=").rstrip("/") for prefix in prefixes]


def _remaining(stack: Deployment, names: tuple[str, ...]) -> tuple[str, ...]:
    name = names[0] if len(names) == 1 else "NAME"
    group = stack.output("FunctionLogGroup")
    groups = stack.client("logs").describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    days = next((one.get("retentionInDays") for one in groups if one["logGroupName"] == group), None)
    kept = f"expire after {days} days" if days else "have no end of retention"
    return (
        f"change log: {stack.output('ChangeLogDir').rstrip('/')}/provider={name}/, which is yours; delete it",
        f"output of your own job: s3://{stack.data_bucket}/output/, whose names only the job knows; delete it",
        f"records that the producer could not assign or write: s3://{stack.data_bucket}/unassigned/, aws/lambda/",
        "messages that were sent: consumers have them, and queues keep them until they are deleted or expire",
        f"log entries: names, keys and counts in {group} and in the log groups of Glue and Step Functions {kept}",
        "executions: Step Functions keeps their history for up to 90 days",
        "backups: DynamoDB's point-in-time recovery keeps ledger item and entry for up to 35 days",
        "access logs of S3 (Profile=prod): object keys, for 365 days",
    )


def _show(report: PurgeReport, page: Page) -> None:
    would = "would be " if report.dry_run else ""
    page.line(f"{show(report.at)}: {counted(len(report.deleted), 'provider')} {would}purged")
    if len(report.deleted) == 1:
        (held,) = report.deleted
        rows: list[tuple[object, ...]] = [(part.what, part.versions, size(part.bytes), part.uri) for part in held.parts]
        entries = [(held.listed, "entry in the config API"), (held.ledger_item, "ledger item")]
        rows += [(what, 1, None, held.provider) for there, what in entries if there]
        if held.pending_objects is not None:
            rows.append((f"pending count of {counted(held.pending_objects, 'object')}", 1, None, held.provider))
        page.table(("DELETED" if not report.dry_run else "DATA", ">VERSIONS", ">SIZE", "LOCATION"), rows)
    else:
        lines = [
            (one.provider, one.versions, size(one.bytes), one.listed, one.ledger_item, one.pending_objects)
            for one in report.deleted
        ]
        table_of_providers(page, ("PROVIDER", ">VERSIONS", ">SIZE", "ENTRY", "LEDGER ITEM", ">PENDING"), lines)
    page.lines(lines_of_failures(report.failed, report.not_tried))
    page.lines(f"not deleted: {line}" for line in report.remaining)
