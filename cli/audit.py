"""Which objects of a provider has no run sent? Compares the change log with every manifest that was worked off.

A run looks back only as far as the overlap. An object that turns up later than that (or whose key breaks the order
that `KeyTimeFormat` promises) is taken by no run; nothing tells until somebody compares. Costs a listing of the
whole change log of the provider, and two reads for each of its runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from fanout.claims import listing
from fanout.endings import proven, read_result
from fanout.errors import ResultMissingError
from fanout.ledger import ProviderState
from fanout.manifests import ObjectStore, StoredObject, manifest_uri, read_manifest
from fanout.settings import ClaimSettings


@dataclass(frozen=True)
class Audit:
    """Objects in the change log that no run has sent in whole, oldest first.

    Attributes
    ----------
    missed
        Older than what the bookmark looks at: no run will take them. A replay of their LastModified sends them, and
        so does a bookmark set back to the first of them. Objects before a bookmark that was set forward by hand, or
        whose manifests were removed, are among them too.
    waiting
        The next runs will take them.
    """

    missed: tuple[StoredObject, ...]
    waiting: tuple[StoredObject, ...]


def audit(objects: ObjectStore, settings: ClaimSettings, state: ProviderState) -> Audit:
    """Compare a provider's change log with what its runs have sent, replays included."""
    found = sorted(listing(objects, settings, state.provider, None), key=lambda o: (o.last_modified, o.key))
    sent = _sent(objects, f"s3://{settings.data_bucket}/runs/provider={state.provider}/")
    unsent = [o for o in found if o.identity not in sent]
    since = state.bookmark.since
    return Audit(
        missed=tuple(o for o in unsent if since is not None and o.last_modified < since),
        waiting=tuple(o for o in unsent if since is None or o.last_modified >= since),
    )


def _sent(objects: ObjectStore, runs: str) -> set[tuple[str, str]]:
    """Identities of the objects in every manifest whose job has proved that it sent them."""
    bucket = runs.removeprefix("s3://").partition("/")[0]
    sent: set[tuple[str, str]] = set()
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
        sent.update(o.identity for o in manifest.objects)
    return sent
