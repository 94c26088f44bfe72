"""News: which providers have objects that no run has seen yet. Hints, never the truth: a run still plans by listing.

S3 tells of each new object through a queue, and each message counts as a mark of its provider. Marks are only ever
counted up. A claim remembers the count from before its listing, and a commit clears the news only if the count is
still that. So what arrives during a run is never lost, and an event that comes twice, late or out of order costs one
look more at most. A lost event is made good by the sweep (`fanout.schedule.sweep_time`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import unquote_plus

from fanout.errors import FanoutError, InvalidProviderError
from fanout.manifests import is_data, split_uri
from fanout.providers import check_name


@dataclass(frozen=True)
class News:
    """What is waiting of one provider.

    Attributes
    ----------
    marks
        How many events were ever counted; it never goes down.
    objects, bytes
        Told of since the last clearing. An estimate: an event may come twice.
    since
        When the oldest news that is waiting came; None when nothing waits.
    """

    marks: int = 0
    objects: int = 0
    bytes: int = 0
    since: datetime | None = None


class NewsStore(Protocol):
    """Port: the marks of all providers. Beside the ledger, so that marking never fails a claim or a commit."""

    def mark(self, provider: str, objects: int, size: int, now: datetime) -> None:
        """Count so many objects of so many bytes in all."""
        ...

    def of(self, provider: str) -> News:
        """One provider's news, read consistently."""
        ...

    def clear(self, provider: str, marks: int, claimed_at: datetime) -> None:
        """All that these marks told of was sent: nothing waits if the count is still that, else what came since."""
        ...

    def waiting(self) -> dict[str, News]:
        """All providers that have news, possibly a moment old."""
        ...


@dataclass
class _Batch:
    """What the messages of one batch tell of one provider."""

    objects: int = 0
    bytes: int = 0
    messages: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Notices:
    """Counts what S3's messages tell.

    Parameters
    ----------
    store
        Port.
    change_log_dir
        s3 URI of the change log.
    clock
        Gives the current time, aware.
    log
        Receives a line for each provider whose news could not be counted.
    """

    store: NewsStore
    change_log_dir: str
    clock: Callable[[], datetime]
    log: Callable[[str], None] = field(default=print)

    def count(self, messages: Mapping[str, str]) -> tuple[set[str], Counter[str]]:
        """Mark the providers that a batch of messages tells of, each once.

        Parameters
        ----------
        messages
            Message id -> body, a notification of S3.

        Returns
        -------
        Ids of the messages that are to come again, and how many events were counted or passed over, by reason.
        """
        batches: dict[str, _Batch] = {}
        counts: Counter[str] = Counter()
        for message, body in messages.items():
            for found in events(body, self.change_log_dir):
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
                self.store.mark(provider, batch.objects, batch.bytes, self.clock())
                counts["counted"] += batch.objects
            except FanoutError as error:
                self.log(f"{provider}: its news comes again: {error}")
                again |= batch.messages
        return again, counts


def events(body: str, change_log_dir: str) -> Iterator[tuple[str, int] | str]:
    """What a message of S3 tells: provider and size of each new object, or why it says nothing about a provider.

    Keys are URL-encoded, with ``+`` for a space. Source: "Event message structure", Amazon S3 user guide.
    """
    try:
        records: Iterable[Any] = json.loads(body).get("Records", ())  # s3:TestEvent, which S3 sends first, has none
    except (ValueError, AttributeError):
        yield "not a message of S3"
        return
    bucket, prefix = split_uri(change_log_dir.rstrip("/") + "/provider=")
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
        elif not is_data(path):
            yield "hidden"
        else:
            try:
                yield check_name(provider), max(0, size)
            except InvalidProviderError:
                yield "no provider's name"
