"""Pending objects: the providers with new objects that no run has processed yet.

Pending counts are hints: a run plans by listing (docs/decisions.md, D24).

S3 announces each new object through a queue, and each event raises its provider's pending count, which never goes
down. A claim remembers the count from before its listing, and a commit clears what is pending only if the count is
unchanged. So an object that arrives during a run stays pending, and an event that is redelivered, late or out of order
costs one more run at most. The sweep (`fanout.schedule.sweep_time`) finds objects whose event was lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from contract.uris import split_uri
from fanout.errors import FanoutError
from fanout.providers import is_name
from fanout.s3_events import NewObject, new_objects
from fanout.settings import ChangeLogSettings, ObjectEventsSettings


@dataclass(frozen=True)
class Pending:
    """The pending objects of one provider.

    Attributes
    ----------
    pending_count
        Number of events ever counted; it never goes down.
    objects, bytes
        Announced since the count was last cleared. An estimate: events may be delivered twice.
    since
        When the oldest of them was announced; None if there are none.
    keys
        Keys of the first announced objects, which no claim has compared with its listing yet.
    """

    pending_count: int = 0
    objects: int = 0
    bytes: int = 0
    since: datetime | None = None
    keys: frozenset[str] = frozenset()


class PendingStore(Protocol):
    """Port: the pending counts of all providers. Separate items, so that counting never fails a claim or a commit."""

    def add(self, provider: str, objects: int, size: int, now: datetime, keys: frozenset[str] = frozenset()) -> None:
        """Add announced objects, of `size` bytes together. Their keys are added unless `MAX_KEYS` are stored."""
        ...

    def forget(self, provider: str, keys: frozenset[str]) -> None:
        """Remove keys that a claim has compared with its listing."""
        ...

    def of(self, provider: str) -> Pending:
        """One provider's pending objects, read consistently."""
        ...

    def clear(self, provider: str, pending_count: int, claimed_at: datetime) -> None:
        """Clear what is pending, because the objects of this count were processed, unless the count has grown since."""
        ...

    def waiting(self) -> dict[str, Pending]:
        """All providers with pending objects; eventually consistent."""
        ...


MAX_KEYS = 100
"""With so many keys stored, no more are added to a provider's pending objects."""
REFUSED_AT_ONCE = 20
"""The most folders with refused names that one batch adds to the pending objects; the others are only counted."""


@dataclass
class _Batch:
    """One provider's share of a batch of messages."""

    objects: int = 0
    bytes: int = 0
    keys: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class ObjectEvents:
    """Counts S3's object events.

    Parameters
    ----------
    store
        Port.
    settings
        Where the change log is, and which of its objects are data.
    clock
        Gives the current time, aware.
    log
        Receives a line for each provider whose pending objects could not be counted.
    """

    store: PendingStore
    settings: ObjectEventsSettings
    clock: Callable[[], datetime]
    log: Callable[[str], None]

    def count(self, messages: Mapping[str, object]) -> tuple[set[str], Counter[str]]:
        """Raise the pending counts of the providers in a batch of messages, once per provider.

        A folder whose name is not allowed is counted too: no run can process it, and so it is reported as unlisted.

        Parameters
        ----------
        messages
            Message id -> body, about new objects.

        Returns
        -------
        Ids of the messages to redeliver, and the number of events counted or ignored, by reason.
        """
        batches: dict[str, _Batch] = {}
        counts: Counter[str] = Counter()
        refused = 0
        for message, body in messages.items():
            for found in announced(body, self.settings):
                if isinstance(found, str):
                    counts[found] += 1
                    continue
                provider, stored = found
                if not is_name(provider):
                    counts["not a provider's name"] += 1
                    if provider not in batches and refused >= REFUSED_AT_ONCE:
                        continue
                    refused += provider not in batches
                batch = batches.setdefault(provider, _Batch())
                batch.objects += 1
                batch.bytes += stored.size
                batch.keys |= {stored.key} if len(batch.keys) < MAX_KEYS else set()
                batch.messages.add(message)
        again: set[str] = set()
        for provider, batch in batches.items():
            try:
                self.store.add(provider, batch.objects, batch.bytes, self.clock(), frozenset(batch.keys))
                counts += Counter(counted=batch.objects if is_name(provider) else 0)
            except FanoutError as error:
                self.log(f"{provider}: its object events will be redelivered: {error}")
                again |= batch.messages
        return again, counts


def announced(body: object, settings: ChangeLogSettings) -> Iterator[tuple[str, NewObject] | str]:
    """Read a message about new objects: the provider of each, whose name may be invalid, and the object.

    For an event that is not counted, the reason.
    """
    bucket, prefix = split_uri(settings.change_log_dir.rstrip("/") + "/provider=")
    for found in new_objects(body):
        if isinstance(found, str):
            yield found
            continue
        provider, _, path = found.key.removeprefix(prefix).partition("/")
        if found.bucket != bucket or not found.key.startswith(prefix) or not path:
            yield "not in the change log"
        elif ignored := settings.why_ignored(path):
            yield f"ignored: {ignored}"
        else:
            yield provider, found
