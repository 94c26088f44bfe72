"""Objects that arrive too late for any run: S3 announces them, but their LastModified is before the lookback window.

Such objects are replicas (which keep the LastModified of their source), results of batch replication, and objects whose
key is before the first key that a run lists (KeyTimeFormat). A claim compares the announced keys with the objects that
it lists. `fanout replay PROVIDER --late` sends late objects.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime

from contract.manifest import StoredObject
from fanout.errors import LateDataError
from fanout.runs import LateData

SHOWN = 20
"""The most late objects that a provider's item in the ledger names."""


class Announced:
    """The announced objects of one claim.

    Parameters
    ----------
    keys
        Keys of objects that events announced since the last claim.
    since
        The bookmark's start: objects modified before it are old; None: every object is new.
    processed
        Whether a run of the lookback window has processed the object.
    """

    def __init__(
        self, keys: Collection[str], since: datetime | None, processed: Callable[[StoredObject], bool]
    ) -> None:
        self._since = since
        self._processed = processed
        self._late: list[StoredObject] = []
        self.not_listed = set(keys)
        """Keys that were not in the listing: of deleted objects, or before the first key of the listing."""

    def watch(self, listing: Iterable[StoredObject]) -> Iterator[StoredObject]:
        """Pass a listing through, and find the late objects in it."""
        for stored in listing:
            if stored.key in self.not_listed:
                self.not_listed.discard(stored.key)
                if self._since is not None and stored.last_modified < self._since:
                    self.add(stored)
            yield stored

    def add(self, stored: StoredObject) -> None:
        """Add an object that no run takes, unless a run has processed it."""
        if not self._processed(stored):
            self._late.append(stored)

    def late(self, now: datetime) -> LateData | None:
        """The late objects; None if there are none."""
        if not self._late:
            return None
        times = [stored.last_modified for stored in self._late]
        keys = tuple(stored.key for stored in self._late[:SHOWN])
        return LateData(found_at=now, objects=len(times), first=keys, oldest=min(times), newest=max(times))


def merged(before: LateData | None, found: LateData | None) -> LateData | None:
    """Add the late objects of one claim to those of earlier claims."""
    if before is None or found is None:
        return before or found
    return LateData(
        found_at=before.found_at,
        objects=before.objects + found.objects,
        first=tuple(dict.fromkeys([*before.first, *found.first]))[:SHOWN],
        oldest=min(before.oldest, found.oldest),
        newest=max(before.newest, found.newest),
    )


def error_of(provider: str, late: LateData) -> LateDataError:
    """The late objects as an error, which says how to send them."""
    what = "1 object" if late.objects == 1 else f"{late.objects} objects"
    return LateDataError(
        f"{what} arrived too late for any run, such as {late.first[0]}; send with `fanout replay {provider} --late`",
        cause="objects arrived too late for any run",
    )
