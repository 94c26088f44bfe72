"""Compares a provider's objects with the manifests of all its completed runs.

Runs read only the lookback window. An object that appears later, or whose key breaks the order that `KeyTimeFormat`
promises, is processed by no run. Only an audit finds such objects, and objects that were deleted after a run. It lists
all objects of the provider and reads two objects for each of its runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contract.manifest import StoredObject
from contract.uris import runs_dir, split_uri
from fanout.claims import listing
from fanout.endings import proven, read_result
from fanout.errors import ResultMissingError
from fanout.ledger import ProviderState
from fanout.manifests import ObjectStore, read_manifest
from fanout.settings import ClaimSettings


@dataclass(frozen=True)
class Audit:
    """Differences between a provider's objects and its runs, the oldest object first.

    Attributes
    ----------
    missed
        Not processed, and older than the bookmark's start, so that no run will process them. A replay of their
        LastModified sends them, and so does a bookmark that is set back to the first of them. Includes objects before
        a bookmark that was set forward by hand, and objects whose manifests were deleted.
    waiting
        Not processed; the next runs will process them.
    gone
        Processed and then deleted. Their messages or files remain.
    """

    missed: tuple[StoredObject, ...]
    waiting: tuple[StoredObject, ...]
    gone: tuple[StoredObject, ...]


def audit(objects: ObjectStore, settings: ClaimSettings, state: ProviderState) -> Audit:
    """Compare a provider's objects with those that its runs, including replays, have processed."""
    found = _in_order(listing(objects, settings, state.provider, None))
    taken = _taken(objects, runs_dir(settings.data_bucket, state.provider))
    unsent = [o for o in found if o.identity not in taken]
    there = {o.key for o in found}
    since = state.bookmark.since
    return Audit(
        missed=tuple(o for o in unsent if since is not None and o.last_modified < since),
        waiting=tuple(o for o in unsent if since is None or o.last_modified >= since),
        gone=tuple({o.key: o for o in _in_order(taken.values()) if o.key not in there}.values()),
    )


def _in_order(objects: Iterable[StoredObject]) -> list[StoredObject]:
    return sorted(objects, key=lambda o: (o.last_modified, o.key))


def _taken(objects: ObjectStore, runs: str) -> dict[tuple[str, str], StoredObject]:
    """The objects, by identity, of every manifest whose job proved that it processed all of it."""
    bucket = split_uri(runs)[0]
    taken: dict[tuple[str, str], StoredObject] = {}
    for stored in objects.list(runs):
        if not stored.key.endswith("/result.json"):
            continue
        run_dir = f"s3://{bucket}/{stored.key.removesuffix('result.json')}"
        manifest = read_manifest(objects, run_dir)
        if manifest is None:
            continue
        try:
            proven(read_result(objects, run_dir), manifest.run_id, manifest)
        except ResultMissingError:
            continue
        taken |= {o.identity: o for o in manifest.objects}
    return taken
