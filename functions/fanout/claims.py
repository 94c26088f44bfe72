"""Claims a provider for a run and plans the run. The first state of every execution (docs/decisions.md, D2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from contract.document import ContractError
from contract.manifest import NO_MANIFEST, Manifest, Replay, StoredObject
from contract.rates import lambda_seconds
from contract.uris import manifest_uri, run_dir, split_uri
from fanout import ledger
from fanout.errors import FanoutError, InvalidRequestError, ManifestChangedError
from fanout.ledger import BACKOFF, Backoff, LedgerStore, PartitionBusyError, ProviderState, Reporter
from fanout.manifests import (
    Announced,
    ObjectStore,
    first_key,
    late_error,
    manifest_hash,
    read_manifest,
    select,
    select_replay,
)
from fanout.pending import Pending, PendingStore
from fanout.providers import check_name, describe
from fanout.runs import Engine, LateData, Lease, Plan, Report
from fanout.schedule import WORKER_SECONDS, choose_engine
from fanout.settings import ClaimSettings

MIN_WORKERS = 2
"""The fewest workers of a Glue job run; one of them is the driver."""
LEASE = timedelta(minutes=120)
"""How long an orphaned run holds its provider: longer than the execution's time limit of 100 minutes."""
MAX_OBJECTS = 10_000
"""The most objects of one run. Several runs process a backlog, oldest objects first."""
MAX_RECENT = 24
"""The most manifests that a bookmark names; then they are merged into one."""


def _replay(value: object) -> Replay | None:
    return None if value is None else Replay.read(value)


class ClaimRequest(BaseModel):
    """The event of *Claim Partition*: the execution's input with its name and ARN."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    run_id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,80}$")
    execution_arn: str | None = None
    scheduled_at: AwareDatetime | None = None
    replay: Annotated[Replay | None, PlainValidator(_replay)] = None

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> ClaimRequest:
        """Read the state machine's payload ``{"run_id", "execution_arn", "input": {the execution's input}}``.

        Raises
        ------
        InvalidRequestError, InvalidProviderError
            The execution's input is invalid.
        """
        given = event.get("input")
        if not isinstance(given, Mapping):
            raise InvalidRequestError('start the execution with an object such as {"provider": "providerA"}')
        try:
            request = cls.model_validate(
                {**given, "run_id": event.get("run_id"), "execution_arn": event.get("execution_arn")}
            )
        except ValidationError as error:
            raise InvalidRequestError(f"the execution's input is invalid: {describe(error)}") from None
        check_name(request.provider)
        return request


@dataclass(frozen=True)
class Claim:
    """The answer to a claim; the state machine's `Choice` states read `decision`."""

    decision: Literal["busy", "nothing", "lambda", "glue"]
    reason: str
    provider: str
    run_id: str
    run_dir: str = ""
    manifest: str = NO_MANIFEST
    objects: int = 0
    bytes: int = 0
    workers: int = 0

    @classmethod
    def of(cls, provider: str, lease: Lease, plan: Plan) -> Claim:
        """The answer for a run that has its lease and its plan."""
        return cls(
            decision="nothing" if plan.engine == "none" else plan.engine,
            reason=plan.reason,
            provider=provider,
            run_id=lease.run_id,
            run_dir=lease.run_dir,
            manifest=manifest_uri(lease.run_dir) if plan.objects else NO_MANIFEST,
            objects=plan.objects or 0,
            bytes=plan.bytes,
            workers=plan.workers,
        )


@dataclass(frozen=True)
class Claims:
    """Takes leases and plans runs.

    Parameters
    ----------
    store, objects, reporter, pending
        Ports.
    settings
        Settings of the claim function.
    clock
        Gives the current time, aware.
    log
        Receives a line for each failure that does not stop the claim.
    lease, backoff, max_objects, max_recent
        Limits of the rules; only tests change them.
    """

    store: LedgerStore
    objects: ObjectStore
    reporter: Reporter
    pending: PendingStore
    settings: ClaimSettings
    clock: Callable[[], datetime]
    log: Callable[[str], None]
    lease: timedelta = LEASE
    backoff: Backoff = BACKOFF
    max_objects: int = MAX_OBJECTS
    max_recent: int = MAX_RECENT

    def claim(self, request: ClaimRequest) -> Claim:
        """Claim the provider for this run and plan the run.

        A repeated call for the same run returns the same lease and the same plan.

        Raises
        ------
        LeaseLostError
            The run lost its lease while it was planned.
        ReplayTooLargeError
            The replay's range has more objects or bytes than one run may take.
        """
        now, provider = self.clock(), request.provider
        wanted = self._lease(request, now)
        try:
            state = ledger.update(self.store, provider, lambda s: ledger.claim(s, wanted, now, self.backoff))
        except PartitionBusyError as busy:
            return Claim("busy", str(busy), provider, request.run_id)
        lease = state.lease or wanted
        plan = lease.plan
        if plan is None:
            self._report_running(provider, lease)
            counted = self.settings.discovery == "events" and not request.replay
            # Before the listing: events that arrive later raise the count, so their objects stay pending after the
            # commit.
            pending = self.pending.of(provider) if counted else Pending()
            proposed = self._plan(state, lease, request, pending)
            state = ledger.update(self.store, provider, lambda s: ledger.plan(s, lease, proposed), read=state)
            plan = (state.lease and state.lease.plan) or proposed
            self._forget(provider, pending.keys)
        return Claim.of(provider, lease, plan)

    def _lease(self, request: ClaimRequest, now: datetime) -> Lease:
        return Lease(
            run_id=request.run_id,
            claimed_at=now,
            expires_at=now + self.lease,
            run_dir=run_dir(self.settings.data_bucket, request.provider, now, request.run_id),
            scheduled_at=request.scheduled_at,
            execution_arn=request.execution_arn,
            replay=request.replay is not None,
        )

    def _plan(self, state: ProviderState, lease: Lease, request: ClaimRequest, pending: Pending) -> Plan:
        """Plan the run. If two calls for one run race, both use the manifest that was written first."""
        if self.settings.bookmark_mode == "glue" and request.replay is None:
            reason = "Glue's own bookmark decides what is new"
            job, generation = self.settings.job, state.bookmark.generation
            return Plan(job=job, generation=generation, engine="glue", reason=reason, workers=MIN_WORKERS, objects=None)
        manifest, late = self._select(state, request, pending)
        body = manifest.to_json()
        if manifest.objects and not self.objects.create(manifest_uri(lease.run_dir), body):
            manifest, body = self._written_first(lease, request)
        engine, reason, workers = self._engine(manifest, state)
        reason += f"; {manifest.ignored} ignored, which are not data" if manifest.ignored else ""
        reason += f"; {late_error(state.provider, late).args[0]}" if late else ""
        return Plan(
            job=self.settings.job,
            # The manifest's generation: if the bookmark was set by hand since, the plan is invalid.
            generation=manifest.generation,
            engine=engine,
            reason=reason,
            workers=workers,
            objects=len(manifest.objects),
            bytes=manifest.bytes,
            ignored=manifest.ignored,
            pending_count=manifest.pending_count,
            manifest_hash=manifest_hash(body) if manifest.objects else "",
            late=late,
        )

    def _forget(self, provider: str, keys: frozenset[str]) -> None:
        """Remove the announced keys of a planned run. Comparing them again at the next claim would do no harm."""
        try:
            if keys:
                self.pending.forget(provider, keys)
        except FanoutError as error:
            self.log(f"{provider}: the announced objects are compared again at the next claim: {error}")

    def _written_first(self, lease: Lease, request: ClaimRequest) -> tuple[Manifest, bytes]:
        """Read the manifest that an earlier call for this run wrote before its plan was in the ledger.

        Raises
        ------
        ManifestChangedError
            The object in its place is not this run's manifest.
        """
        uri = manifest_uri(lease.run_dir)
        body = self.objects.read(uri) or b""
        try:
            manifest = Manifest.from_json(body)
        except ContractError:
            manifest = None
        if manifest is None or (manifest.provider, manifest.run_id) != (request.provider, request.run_id):
            raise ManifestChangedError(f"{uri} has an object that this run did not write in the place of its manifest")
        return manifest, body

    def _select(
        self, state: ProviderState, request: ClaimRequest, pending: Pending
    ) -> tuple[Manifest, LateData | None]:
        begun, late = self.clock(), None
        bounds = self.max_objects, self.settings.max_bytes_per_run
        carried: tuple[StoredObject, ...] | None = None
        ignored = 0

        def count_ignored(stored: StoredObject, reason: str) -> None:
            nonlocal ignored
            oldest = request.replay.start if request.replay else state.bookmark.since
            ignored += oldest is None or stored.last_modified >= oldest

        if request.replay is not None:
            # All keys: those of late objects may be before the first key that other runs list.
            found = listing(self.objects, self.settings, state.provider, None, count_ignored)
            selection = select_replay(found, request.replay, *bounds)
        else:
            since, known = state.bookmark.since, self._known(state)
            found = listing(self.objects, self.settings, state.provider, since, count_ignored)

            def processed(stored: StoredObject) -> bool:
                return is_known(stored, known, state.untracked_at)

            announced = Announced(pending.keys, since, processed)
            selection = select(announced.watch(found), since, processed, *bounds)
            late = self._late(state, announced, begun)
            # Limits the ledger item (400 KB at most) and the reads of a claim, whatever lookback and frequency are.
            if len(state.bookmark.recent) >= self.max_recent:
                carried = tuple(o for o in known.values() if since is None or o.last_modified >= since)
        manifest = Manifest(
            provider=state.provider,
            run_id=request.run_id,
            generation=state.bookmark.generation,
            created_at=begun,
            bucket=split_uri(self.settings.change_log_dir)[0],
            objects=selection.objects,
            backlog=selection.backlog,
            ignored=ignored,
            pending_count=pending.pending_count,
            replay=request.replay,
            carried=carried,
        )
        return manifest, late

    def _late(self, state: ProviderState, announced: Announced, now: datetime) -> LateData | None:
        """The announced objects that no run will take, those included that are before the first key of the listing."""
        begin = first_listed(self.settings, state.provider, state.bookmark.since)
        bucket = split_uri(self.settings.change_log_dir)[0]
        for key in sorted(key for key in announced.keys if key <= begin):
            stored = next(self.objects.list(f"s3://{bucket}/{key}"), None)
            if stored is not None and stored.key == key:  # else it was deleted
                announced.add(stored)
        return announced.late(now)

    def _known(self, state: ProviderState) -> dict[str, StoredObject]:
        """Return the objects in the manifests of the lookback window, by key. The latest run decides about a key.

        So content that was overwritten and then restored is new. The objects of a deleted or changed manifest are sent
        again: an object that was added to a manifest must not be taken for processed.
        """
        last: dict[str, StoredObject] = {}
        for run in state.bookmark.recent:
            try:
                manifest = read_manifest(self.objects, run.run_dir, run.manifest_hash)
            except ManifestChangedError as error:
                self.log(f"{state.provider}: the objects of run {run.run_id} are sent again: {error}. {error.advice}")
                continue
            last |= {stored.key: stored for stored in manifest.known} if manifest else {}
        return last

    def _engine(self, manifest: Manifest, state: ProviderState) -> tuple[Engine, str, int]:
        """Choose the engine; return it with the reason and the number of workers."""
        if not manifest.objects:
            return "none", "no new objects", 0
        seconds = lambda_seconds(self.settings.job, ((o.key, o.size) for o in manifest.objects))
        engine, reason = choose_engine(manifest.bytes, seconds, self.settings.lambda_max_bytes, state.last_run)
        if engine == "lambda":
            return engine, reason, 1
        return engine, reason, min(max(math.ceil(seconds / WORKER_SECONDS), MIN_WORKERS), self.settings.max_workers)

    def _report_running(self, provider: str, lease: Lease) -> None:
        """Show the run as running in the config API. No rule uses this, so a failure stops nothing."""
        if self.settings.report_status == "no" or lease.replay:
            return
        try:
            self.reporter.report(provider, Report(run_id=lease.run_id, status="running"))
        except FanoutError as error:
            self.log(f"{provider}: the config API does not show the run as running: {error}")


def is_known(stored: StoredObject, known: Mapping[str, StoredObject], untracked_at: datetime | None) -> bool:
    """Whether a committed run has processed the object, and no run can have processed other content of its key since.

    Parameters
    ----------
    stored
        As the listing shows it.
    known
        Key -> the object as the latest run of the lookback window processed it.
    untracked_at
        When a run last ended whose objects are not in the bookmark. If an object was written again with the same
        content, that run may have processed other content in between.
    """
    taken = known.get(stored.key)
    if taken is None or taken.etag != stored.etag:
        return False
    return stored.last_modified == taken.last_modified or untracked_at is None or untracked_at < taken.last_modified


def listing(
    objects: ObjectStore,
    settings: ClaimSettings,
    provider: str,
    since: datetime | None,
    on_ignored: Callable[[StoredObject, str], None] = lambda stored, reason: None,
) -> Iterator[StoredObject]:
    """List the data objects of a provider's change log that may be newer than a time; all of them if it is None.

    Parameters
    ----------
    on_ignored
        Receives each object that is not data, and the reason.
    """
    root = _root(settings, provider)
    prefix = split_uri(root)[1]
    for stored in objects.list(root, first_listed(settings, provider, since)):
        if reason := settings.why_ignored(stored.key.removeprefix(prefix)):
            on_ignored(stored, reason)
        else:
            yield stored


def first_listed(settings: ClaimSettings, provider: str, since: datetime | None) -> str:
    """The key after which the listing of a provider's objects begins; empty for all keys."""
    return first_key(split_uri(_root(settings, provider))[1], since, settings.key_time_format)


def _root(settings: ClaimSettings, provider: str) -> str:
    return f"{settings.change_log_dir.rstrip('/')}/provider={provider}/"
