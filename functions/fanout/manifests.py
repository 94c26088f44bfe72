"""Which objects a run is to process. Chosen once; `contract.manifest` is what is written.

A provider's change log only grows, but objects do not turn up in the order of their LastModified: a multipart
upload carries the time at which it *began*. So a run looks back from the newest object by the lookback, and leaves
out what the manifests in that window already hold. An object is known by key and ETag: overwritten with other
bytes it is new, overwritten with the same bytes it is not, unless a run may have taken other bytes in between
(docs/decisions.md, D5).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from contract.manifest import Manifest, Replay, StoredObject
from contract.times import format_iso
from contract.uris import manifest_uri
from fanout.errors import ReplayTooLargeError

KEY_TIME_SLACK = timedelta(days=1)
"""With time-ordered keys, how much later than the time in its key an object may still be written."""


@dataclass(frozen=True)
class Selection:
    """The objects that a run takes, oldest first, and how many it leaves."""

    objects: tuple[StoredObject, ...]
    backlog: int


class ObjectStore(Protocol):
    """Port: what planning and proof need of S3. Locations are s3:// URIs."""

    def list(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        """All current objects below a prefix in key order, from the first key behind `start_after`."""
        ...

    def read(self, uri: str) -> bytes | None:
        """The object's bytes, or None when there is none."""
        ...

    def create(self, uri: str, body: bytes) -> bool:
        """Write an object unless there is one; False when there was."""
        ...


def is_data(path: str) -> bool:
    """Whether an object is part of the change log: not a folder marker, nor hidden as Spark and Glue hide files.

    Parameters
    ----------
    path
        The key below the provider's prefix. A part of it that begins with ``.``, or with ``_`` unless it is a
        partition (``_day=1/``), hides it: ``_SUCCESS``, ``_temporary/0/part-1``.
    """
    hidden = any(p.startswith(".") or (p.startswith("_") and "=" not in p) for p in path.split("/"))
    return not path.endswith("/") and not hidden


def select(
    listing: Iterable[StoredObject],
    since: datetime | None,
    seen: Callable[[StoredObject], bool],
    max_objects: int,
    max_bytes: int,
) -> Selection:
    """Choose the oldest new objects, bounded in number and in bytes (but at least one).

    Parameters
    ----------
    listing
        The provider's objects in any order; only `max_objects` of them are held in memory.
    since
        Objects modified before this time are old; None when every object is new.
    seen
        Whether an object is in the manifests of the lookback window.
    max_objects, max_bytes
        Bounds of one run.
    """
    count = 0

    def new() -> Iterator[StoredObject]:
        nonlocal count
        for stored in listing:
            if (since is None or stored.last_modified >= since) and not seen(stored):
                count += 1
                yield stored

    oldest = heapq.nsmallest(max_objects, new(), key=lambda o: (o.last_modified, o.key))
    taken = _within(oldest, max_bytes)
    return Selection(objects=taken, backlog=count - len(taken))


def _within(objects: Iterable[StoredObject], max_bytes: int) -> tuple[StoredObject, ...]:
    taken: list[StoredObject] = []
    total = 0
    for stored in objects:
        total += stored.size
        if taken and total > max_bytes:
            break
        taken.append(stored)
    return tuple(taken)


def select_replay(listing: Iterable[StoredObject], replay: Replay, max_objects: int, max_bytes: int) -> Selection:
    """Choose every object of the range, seen or not.

    Raises
    ------
    ReplayTooLargeError
        The range holds more than one run may take; the message says up to where it would fit.
    """
    in_range = (o for o in listing if replay.start <= o.last_modified <= replay.end)
    selection = select(in_range, None, lambda stored: False, max_objects, max_bytes)
    if selection.backlog:
        fits = max(o.last_modified for o in selection.objects)
        raise ReplayTooLargeError(
            f"the range holds {selection.backlog} objects more than one run may take; replay in parts, the first "
            f"up to {format_iso(fits)}"
        )
    return selection


def first_key(prefix_key: str, since: datetime | None, key_time_format: str, slack: timedelta = KEY_TIME_SLACK) -> str:
    """Where a listing may begin when keys are time-ordered: everything before it is older than `since`.

    Parameters
    ----------
    prefix_key
        The provider's key prefix, ending in '/'.
    since
        The oldest LastModified that is still of interest.
    key_time_format
        strftime pattern of the part of the key behind the prefix, such as ``%Y/%m/%d/%H/``; '' when keys are not
        time-ordered, and the listing begins at the beginning.
    slack
        How much later than the time in its key an object may be written.
    """
    if since is None or not key_time_format:
        return ""
    return prefix_key + (since - slack).astimezone(UTC).strftime(key_time_format)


def keeps_order(key_time_format: str) -> bool:
    """Whether later times never sort before earlier ones in this format; ``%d/%m/%Y/`` does not keep order.

    Listing begins at a key made from a time, so a format without order would leave objects out for ever.
    """
    start = datetime(2024, 1, 1, tzinfo=UTC)
    keys = [(start + timedelta(hours=7 * step)).strftime(key_time_format) for step in range(4 * 365 * 24 // 7)]
    return keys == sorted(keys)


def read_manifest(objects: ObjectStore, run_dir: str) -> Manifest | None:
    """A run's manifest, or None when there is none.

    Raises
    ------
    ContractError
        It is not of its form.
    """
    body = objects.read(manifest_uri(run_dir))
    return None if body is None else Manifest.from_json(body)
