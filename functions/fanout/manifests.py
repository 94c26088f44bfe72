"""Selects the objects that a run processes: those that are data, and new. `contract.manifest` defines the manifest.

Objects do not appear in the order of their LastModified: a multipart upload has the time at which it *began*. So a run
lists from the newest processed object minus the lookback window, and leaves out the objects in the manifests of that
window. An object is identified by key and ETag: after it was overwritten with other content, it is new; with the same
content it is not, unless a run may have processed other content in between (docs/decisions.md, D5).

Late objects are those that S3 announces although their LastModified is before the lookback window: replicas, which keep
the LastModified of their source, results of batch replication, and objects whose key is before the first key that a run
lists (KeyTimeFormat). A claim compares the announced keys with its listing. `fanout replay PROVIDER --late` sends them.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Protocol

from contract.manifest import Manifest, Replay, StoredObject
from contract.times import format_iso
from contract.uris import manifest_uri
from fanout.errors import LateDataError, ManifestChangedError, ReplayTooLargeError
from fanout.runs import LateData

KEY_TIME_SLACK = timedelta(days=1)
"""How much later than the time in its key an object may be written, if keys are time-ordered."""


HIDDEN = "hidden name"
FOLDER_MARKER = "folder marker"
EXPORT_FILE = "file that a DynamoDB export writes beside its data"
TEMPORARY = "temporary name of an upload"
CHECKSUM = "checksum"
SYSTEM_FILE = "file of an operating system"
IGNORE_PATTERN = "IgnorePattern"

_NAMES = (
    (FOLDER_MARKER, re.compile(r".*_\$folder\$")),  # written by Hadoop
    # Source: "DynamoDB table export output format", DynamoDB developer guide. `_started` is a hidden name.
    (EXPORT_FILE, re.compile(r"manifest-(files|summary)\.(json|checksum|md5)")),
    (TEMPORARY, re.compile(r"~.*|.*~|.*\.(filepart|part|partial|tmp|temp|crdownload|swp)")),
    (CHECKSUM, re.compile(r".*\.(md5|sha1|sha224|sha256|sha384|sha512|crc|crc32|crc32c|crc64|crc64nvme|checksum)")),
    (CHECKSUM, re.compile(r"(md5|sha1|sha256|sha512|check)sums?(\.txt)?")),
    (SYSTEM_FILE, re.compile(r"thumbs\.db|desktop\.ini|ehthumbs\.db")),  # .DS_Store is a hidden name
)
"""Reason -> names in lower case, the last part of a key."""


def why_ignored(path: str, patterns: str = "") -> str | None:
    """The reason why an object is not data; None if it is data.

    Parameters
    ----------
    path
        The key after the provider's prefix. An object is hidden if a part of it begins with ``.``, or with ``_``
        unless it is a partition (``_day=1/``), as in Spark and Glue. Examples: ``_SUCCESS``, ``_temporary/0/part-1``.
    patterns
        The template's parameter IgnorePattern: patterns of names, separated by spaces.
    """
    if path.endswith("/"):
        return FOLDER_MARKER
    if any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.split("/")):
        return HIDDEN
    name = path.rpartition("/")[2]
    if any(fnmatchcase(name, pattern) for pattern in patterns.split()):
        return IGNORE_PATTERN
    return next((reason for reason, names in _NAMES if names.fullmatch(name.lower())), None)


@dataclass(frozen=True)
class Selection:
    """The objects that a run processes, oldest first, and the number of those left for the next run."""

    objects: tuple[StoredObject, ...]
    backlog: int


class ObjectStore(Protocol):
    """Port: the objects on S3. Locations are s3:// URIs."""

    def list(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        """List the objects under a prefix in the order of their keys, from the first key after `start_after`."""
        ...

    def read(self, uri: str, at_most: int | None = None) -> bytes | None:
        """Return the object's content, or its first `at_most` bytes; None if there is no object.

        Raises
        ------
        UnreadableObjectError
            S3 refuses to return this object; a repeated call cannot help.
        """
        ...

    def create(self, uri: str, body: bytes) -> bool:
        """Write an object if there is none with this URI; return whether it was written."""
        ...


def select(
    listing: Iterable[StoredObject],
    since: datetime | None,
    seen: Callable[[StoredObject], bool],
    max_objects: int,
    max_bytes: int,
) -> Selection:
    """Select the oldest new objects within the limits, but at least one.

    Parameters
    ----------
    listing
        The provider's objects in any order; only `max_objects` of them are held in memory.
    since
        Objects modified before this time are old; None: every object is new.
    seen
        Whether an object is in the manifests of the lookback window.
    max_objects, max_bytes
        Limits of one run.
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
    """Select every object of the range, whether it was processed before or not.

    Raises
    ------
    ReplayTooLargeError
        The range has more than one run may take; the message has the end of a range that fits.
    """
    in_range = (o for o in listing if replay.start <= o.last_modified <= replay.end)
    selection = select(in_range, None, lambda stored: False, max_objects, max_bytes)
    if selection.backlog:
        fits = max(o.last_modified for o in selection.objects)
        raise ReplayTooLargeError(
            f"the range has {selection.backlog} more objects than one run may take; replay in parts, the first "
            f"up to {format_iso(fits)}"
        )
    return selection


def first_key(prefix_key: str, since: datetime | None, key_time_format: str, slack: timedelta = KEY_TIME_SLACK) -> str:
    """The key from which a listing may begin if keys are time-ordered: objects before it are older than `since`.

    Parameters
    ----------
    prefix_key
        The provider's key prefix, ending in '/'.
    since
        The oldest LastModified to find; None lists all keys.
    key_time_format
        strftime pattern of the part of the key after the prefix, such as ``%Y/%m/%d/%H/``; '' if keys are not
        time-ordered, which lists all keys.
    slack
        How much later than the time in its key an object may be written.
    """
    if since is None or not key_time_format:
        return ""
    return prefix_key + (since - slack).astimezone(UTC).strftime(key_time_format)


def keeps_order(key_time_format: str) -> bool:
    """Whether later times never sort before earlier ones in this format; ``%d/%m/%Y/`` does not keep order.

    A listing begins at a key made from a time: with a format that does not keep order, it would miss objects.
    """
    start = datetime(2024, 1, 1, tzinfo=UTC)
    keys = [(start + timedelta(hours=7 * step)).strftime(key_time_format) for step in range(4 * 365 * 24 // 7)]
    return keys == sorted(keys)


def manifest_hash(body: bytes) -> str:
    """Identify a manifest's content. The ledger has it, so that a manifest can be trusted when it is read."""
    return hashlib.sha256(body).hexdigest()


def read_manifest(objects: ObjectStore, run_dir: str, expected: str) -> Manifest | None:
    """Read a run's manifest; None if there is none.

    Parameters
    ----------
    expected
        Hash of the manifest that the claim planned, from the run's plan, record or bookmark.

    Raises
    ------
    ManifestChangedError
        The object is not the manifest that the claim planned.
    """
    uri = manifest_uri(run_dir)
    body = objects.read(uri)
    if body is None:
        return None
    if manifest_hash(body) != expected:
        raise ManifestChangedError(f"{uri} is not the manifest that the run's claim wrote")
    return Manifest.from_json(body)


LATE_SHOWN = 20
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
        self.keys = frozenset(keys)

    def watch(self, listing: Iterable[StoredObject]) -> Iterator[StoredObject]:
        """Pass a listing through, and find the late objects in it."""
        for stored in listing:
            if stored.key in self.keys and self._since is not None and stored.last_modified < self._since:
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
        keys = tuple(stored.key for stored in self._late[:LATE_SHOWN])
        return LateData(found_at=now, objects=len(times), first=keys, oldest=min(times), newest=max(times))


def merged(before: LateData | None, found: LateData | None) -> LateData | None:
    """Add the late objects of one claim to those of earlier claims."""
    if before is None or found is None:
        return before or found
    return LateData(
        found_at=before.found_at,
        objects=before.objects + found.objects,
        first=tuple(dict.fromkeys([*before.first, *found.first]))[:LATE_SHOWN],
        oldest=min(before.oldest, found.oldest),
        newest=max(before.newest, found.newest),
    )


def late_error(provider: str, late: LateData) -> LateDataError:
    """The late objects as an error, which says how to send them."""
    what = "1 object" if late.objects == 1 else f"{late.objects} objects"
    return LateDataError(
        f"{what} arrived too late for any run, such as {late.first[0]}; send with `fanout replay {provider} --late`",
        cause="objects arrived too late for any run",
    )
