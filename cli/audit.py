"""Compares a provider's objects with the manifests of all its completed runs.

Runs read only the lookback window. An object that appears later, or whose key breaks the order that `KeyTimeFormat`
promises, is processed by no run. Only an audit finds such objects, and objects that were deleted after a run. It lists
all objects of the provider and reads two objects for each of its runs: the record, which only the functions can write,
and the manifest, if it still has the hash that the record states.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby

from contract.manifest import Replay, StoredObject
from contract.uris import runs_dir, split_uri
from fanout.claims import listing
from fanout.errors import ManifestChangedError
from fanout.ledger import ProviderState
from fanout.manifests import ObjectStore, read_manifest
from fanout.settings import ClaimSettings

from .history import read_record


@dataclass(frozen=True)
class IgnoredObject:
    """An object that is not data, and the reason (`fanout.manifests.why_ignored`)."""

    stored: StoredObject
    reason: str


@dataclass(frozen=True)
class Audit:
    """Differences between a provider's objects and its runs, the oldest object first.

    Attributes
    ----------
    missed
        Not processed, and older than the bookmark's start, so that no run will process them. A replay of their
        LastModified sends them, and so does a bookmark that is set back to the first of them. Includes objects before
        a bookmark that was set forward by hand, and objects whose manifests were deleted or changed.
    waiting
        Not processed; the next runs will process them.
    gone
        Processed and then deleted. Their messages or files remain.
    ignored
        Not data, each with the reason.
    """

    missed: tuple[StoredObject, ...]
    waiting: tuple[StoredObject, ...]
    gone: tuple[StoredObject, ...]
    ignored: tuple[IgnoredObject, ...]


def audit(objects: ObjectStore, settings: ClaimSettings, state: ProviderState) -> Audit:
    """Compare a provider's objects with those that its runs, including replays, have processed."""
    ignored: list[IgnoredObject] = []
    found = _in_order(
        listing(objects, settings, state.provider, None, lambda *one: ignored.append(IgnoredObject(*one)))
    )
    taken = _taken(objects, runs_dir(settings.data_bucket, state.provider), state)
    unsent = [o for o in found if o.identity not in taken]
    there = {o.key for o in found}
    since = state.bookmark.since
    return Audit(
        missed=tuple(o for o in unsent if since is not None and o.last_modified < since),
        waiting=tuple(o for o in unsent if since is None or o.last_modified >= since),
        gone=tuple({o.key: o for o in _in_order(taken.values()) if o.key not in there}.values()),
        ignored=tuple(sorted(ignored, key=lambda one: (one.stored.last_modified, one.stored.key))),
    )


def ranges_of(
    listed: Iterable[StoredObject], missed: Iterable[StoredObject], max_objects: int, max_bytes: int
) -> list[Replay]:
    """Ranges of LastModified that contain the missed objects, and others only with exactly the same LastModified.

    Parameters
    ----------
    listed
        All data objects of the provider.
    max_objects, max_bytes
        Limits of one replay. Objects with the same LastModified are never in two ranges.
    """
    wanted = {stored.identity for stored in missed}
    ranges: list[Replay] = []
    objects = size = 0
    extends = False
    for time, alike in groupby(_in_order(listed), key=lambda stored: stored.last_modified):
        group = list(alike)
        if not any(stored.identity in wanted for stored in group):
            extends = False
            continue
        objects, size = objects + len(group), size + sum(stored.size for stored in group)
        if extends and objects <= max_objects and size <= max_bytes:
            ranges[-1] = Replay(ranges[-1].start, time)
            continue
        ranges.append(Replay(time, time))
        objects, size, extends = len(group), sum(stored.size for stored in group), True
    return ranges


def _in_order(objects: Iterable[StoredObject]) -> list[StoredObject]:
    return sorted(objects, key=lambda o: (o.last_modified, o.key))


def _taken(objects: ObjectStore, runs: str, state: ProviderState) -> dict[tuple[str, str], StoredObject]:
    """The objects, by identity, of the manifest of every run that succeeded."""
    bucket = split_uri(runs)[0]
    manifests = {run.run_dir: run.manifest_hash for run in state.bookmark.recent}
    last = state.last_run  # its record may not be stored yet
    if last is not None and last.status == "succeeded" and last.manifest_hash:
        manifests[last.run_dir] = last.manifest_hash
    for stored in objects.list(runs):
        run_dir, slash, name = f"s3://{bucket}/{stored.key}".rpartition("/")
        record = read_record(objects, run_dir + slash) if name == "record.json" else None
        if record is not None and record.status == "succeeded" and record.manifest_hash:
            manifests[run_dir + slash] = record.manifest_hash
    taken: dict[tuple[str, str], StoredObject] = {}
    for run_dir, expected in sorted(manifests.items()):
        with suppress(ManifestChangedError):
            manifest = read_manifest(objects, run_dir, expected)
            taken |= {o.identity: o for o in manifest.objects} if manifest else {}
    return taken
