"""Which objects of a provider has no run taken? Compares its objects with every manifest that was worked off.

A run looks back only as far as the lookback. An object that turns up later than that (or whose key breaks the order
that `KeyTimeFormat` promises) is taken by no run; nothing tells until somebody compares. Nor does anything tell that
an object was deleted whose messages or files are out. Costs a listing of all objects of the provider, and two reads for
each of its runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fanout.claims import listing
from fanout.endings import proven, read_result
from fanout.errors import ResultMissingError
from fanout.ledger import ProviderState
from fanout.manifests import ObjectStore, StoredObject, manifest_uri, read_manifest
from fanout.settings import ClaimSettings


@dataclass(frozen=True)
class Audit:
    """Where a provider's objects and what its runs made of them differ, oldest first.

    Attributes
    ----------
    missed
        Older than what the bookmark looks at: no run will take them. A replay of their LastModified sends them, and
        so does a bookmark set back to the first of them. Objects before a bookmark that was set forward by hand, or
        whose manifests were removed, are among them too.
    waiting
        The next runs will take them.
    gone
        A run has taken them, and they are not there any more. What the job made of them stays.
    """

    missed: tuple[StoredObject, ...]
    waiting: tuple[StoredObject, ...]
    gone: tuple[StoredObject, ...]


def audit(objects: ObjectStore, settings: ClaimSettings, state: ProviderState) -> Audit:
    """Compare a provider's objects with what its runs have taken, replays included."""
    found = _in_order(listing(objects, settings, state.provider, None))
    taken = _taken(objects, f"s3://{settings.data_bucket}/runs/provider={state.provider}/")
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
    """The objects, by identity, in every manifest whose job has proved that it worked it off."""
    bucket = runs.removeprefix("s3://").partition("/")[0]
    taken: dict[tuple[str, str], StoredObject] = {}
    for stored in objects.list(runs):
        if not stored.key.endswith("/result.json"):
            continue
        run_dir = f"s3://{bucket}/{stored.key.removesuffix('result.json')}"
        manifest = read_manifest(objects, manifest_uri(run_dir))
        if manifest is None:
            continue
        try:
            proven(read_result(objects, run_dir), manifest.run_id, manifest)
        except ResultMissingError:
            continue
        taken |= {o.identity: o for o in manifest.objects}
    return taken
