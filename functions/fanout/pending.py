"""Pending objects: the providers with new objects that no run has processed yet.

Pending counts are hints: a run plans by listing (docs/decisions.md, D24).

S3 announces each new object through a queue, and each event raises its provider's pending count, which never goes
down. A claim remembers the count from before its listing, and a commit clears what is pending only if the count is
unchanged. So an object that arrives during a run stays pending, and an event that is redelivered, late or out of order
costs one more run at most. The sweep (`fanout.schedule.sweep_time`) finds objects whose event was lost.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote_plus

from contract.uris import split_uri
from fanout.errors import FanoutError, InvalidProviderError
from fanout.providers import check_name
from fanout.settings import ChangeLogSettings


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
    """

    pending_count: int = 0
    objects: int = 0
    bytes: int = 0
    since: datetime | None = None


class PendingStore(Protocol):
    """Port: the pending counts of all providers. Separate items, so that counting never fails a claim or a commit."""

    def add(self, provider: str, objects: int, size: int, now: datetime) -> None:
        """Add announced objects, of `size` bytes together."""
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


@dataclass
class _Batch:
    """One provider's share of a batch of messages."""

    objects: int = 0
    bytes: int = 0
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
    settings: ChangeLogSettings
    clock: Callable[[], datetime]
    log: Callable[[str], None]

    def count(self, messages: Mapping[str, str]) -> tuple[set[str], Counter[str]]:
        """Raise the pending counts of the providers in a batch of messages, once per provider.

        Parameters
        ----------
        messages
            Message id -> body, a notification of S3.

        Returns
        -------
        Ids of the messages to redeliver, and the number of events counted or ignored, by reason.
        """
        batches: dict[str, _Batch] = {}
        counts: Counter[str] = Counter()
        for message, body in messages.items():
            for found in events(body, self.settings):
                if isinstance(found, str):
                    counts[found] += 1
                    continue
                batch = batches.setdefault(found[0], _Batch())
                batch.objects += 1
                batch.bytes += found[1]
                batch.messages.add(message)
        again: set[str] = set()
        for provider, batch in batches.items():
            try:
                self.store.add(provider, batch.objects, batch.bytes, self.clock())
                counts["counted"] += batch.objects
            except FanoutError as error:
                self.log(f"{provider}: its object events will be redelivered: {error}")
                again |= batch.messages
        return again, counts


def events(body: str, settings: ChangeLogSettings) -> Iterator[tuple[str, int] | str]:
    """Read an S3 event message: provider and size of each new object, or the reason why an event is ignored.

    Keys are URL-encoded, with ``+`` for a space. Source: "Event message structure", Amazon S3 user guide.
    """
    try:
        records: Iterable[Any] = json.loads(body).get("Records", ())  # s3:TestEvent, which S3 sends first, has none
    except (ValueError, AttributeError):
        yield "not a message of S3"
        return
    bucket, prefix = split_uri(settings.change_log_dir.rstrip("/") + "/provider=")
    for record in records:
        try:
            name, stored = record["s3"]["bucket"]["name"], record["s3"]["object"]
            key, size = unquote_plus(stored["key"], errors="strict"), int(stored.get("size", 0))
        except (KeyError, TypeError, ValueError, AttributeError):
            yield "not an event of S3"
            continue
        provider, _, path = key.removeprefix(prefix).partition("/")
        if name != bucket or not key.startswith(prefix) or not path:
            yield "not in the change log"
        elif not settings.is_data(path):
            yield "hidden"
        else:
            try:
                yield check_name(provider), max(0, size)
            except InvalidProviderError:
                yield "not a provider's name"
