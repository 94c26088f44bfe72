"""A task of the change-log job: turns the rows of its objects into messages, and sends them."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from contract.manifest import PlannedObject
from fanout_job.changes import parse_change
from fanout_job.clients import aws_client, credentials
from fanout_job.errors import CorruptObjectError, RecordError
from fanout_job.foreign import text_format
from fanout_job.logs import start_logging
from fanout_job.messages import Draft, Message, MessageMaker, Transform
from fanout_job.objects import put
from fanout_job.sender import Sender
from fanout_job.settings import Settings
from fanout_job.targets import target_of
from fanout_job.task import Source, Task, guarded


class Delivery(Task):
    """Reads changes, makes messages, and sends them.

    The good rows of a bad object are sent even if the run fails (except with MessageOrder=key). So both engines send
    the same messages, no matter how the objects are distributed over tasks.
    """

    def __init__(self, settings: Settings, transform: Transform, deadline: float | None = None) -> None:
        super().__init__(settings, deadline)
        self.target = target_of(settings)
        self.maker = MessageMaker(settings, transform, self.target.limit, self.s3)

    def messages(self, objects: Iterable[PlannedObject]) -> Iterator[Message]:
        """Yield the messages of the objects' rows, in order."""
        return (message for _, message in self.made(objects, self.maker.message))

    def drafts(self, objects: Iterable[PlannedObject]) -> Iterator[Draft]:
        """Yield the drafts of messages, for the user's native ETL."""
        return (draft for draft, _ in self.made(objects, lambda draft: None))

    def made(self, objects: Iterable[PlannedObject], make: Callable[[Draft], Any]) -> Iterator[tuple[Draft, Any]]:
        """Yield each draft of all rows, and the value that `make` returns for it."""
        return self.each(objects, lambda source: self.made_of(source, make))

    def made_of(self, source: Source, make: Callable[[Draft], Any]) -> Iterator[tuple[Draft, Any]]:
        """Yield the same for one object."""
        key, index, first = source.object.key, source.object.index, True

        def parse(line: bytes, number: int) -> list[tuple[Draft, Any]]:
            nonlocal first
            was_first, first = first, False
            try:
                change = parse_change(line, "")
            except RecordError:
                if was_first and (what := text_format(line)):
                    raise CorruptObjectError(what, line=number) from None
                raise
            change.id = change.id or row_id(key, number, line)
            return [(draft, make(draft)) for draft in self.maker.drafts(change, index, number)]

        for made in source.rows(parse):
            yield from made

    def frame_messages(self, lines: Iterable[str]) -> Iterator[Message]:
        """Yield the messages of records that Glue has read, without known object and line."""
        for line in lines:
            try:
                canonical = orjson.dumps(orjson.loads(line), option=orjson.OPT_SORT_KEYS)
                name = hashlib.sha256(canonical).hexdigest()[:32]
                change = parse_change(line, f"{name}-0")
                made = [self.maker.message(draft) for draft in self.maker.drafts(change, 0, 0)]
            except RecordError as error:
                if self.settings.on_bad_record == "fail":
                    self.tally.failures.append(error.as_failure())
                    continue
                key = f"{self.quarantine_prefix}records/{hashlib.sha256(line.encode()).hexdigest()}.json"
                put(self.s3, self.settings.data_bucket, key, line.encode())
                self.quarantine_note(key, error)
            else:
                self.tally.rows += 1
                yield from made

    def send(self, messages: Iterator[Message]) -> None:
        """Send messages. With MessageOrder=key, the messages of each group are sent in the given order."""
        meta = aws_client(self.target.service, region_name=self.target.region).meta
        endpoint = meta.endpoint_url.rstrip("/") + "/"
        sender = Sender(self.target, endpoint, meta.region_name, credentials(), self.acknowledged, self.deadline)
        asyncio.run(sender.send_in_order(messages) if self.maker.ordered else sender.send(messages))

    def acknowledged(self, messages: list[Message]) -> None:
        """Count messages that the target has acknowledged."""
        self.tally.messages += len(messages)
        self.log_progress()


@contextmanager
def spark_delivery(settings: Settings, transform: Transform) -> Iterator[Delivery]:
    """Start a task in a process of Spark, which has not begun to log. Any error is recorded in the task's tally."""
    start_logging(settings, sys.stderr)
    task = Delivery(settings, transform)
    with guarded(task):
        yield task


def row_id(key: str, number: int, line: bytes) -> str:
    """Return the id of a row whose record has none: a hash of the object's key, the line's number and the line.

    The ETag is not part of it: the same bytes get another one with SSE-KMS, or if they are uploaded in several parts.
    """
    return hashlib.sha256(b"%b\n%d\n%b" % (key.encode(), number, line)).hexdigest()[:32]
