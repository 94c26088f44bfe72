"""The Lambda run of the change-log job: all messages in one process."""

from __future__ import annotations

import heapq
import pickle
import tempfile
from collections.abc import Iterator
from typing import IO

from fanout_job.delivery import Delivery
from fanout_job.errors import FrameEtlError
from fanout_job.frames import FrameEtl
from fanout_job.messages import Message, Transform
from fanout_job.run import Run
from fanout_job.task import guarded

SPOOL_BYTES = 64 * 2**20
"""Maximum size of the messages that a Lambda run sorts in memory (MessageOrder=key). More go to temporary files."""


class Spool:
    """Sorts any number of messages by position in bounded memory, with sorted temporary files."""

    def __init__(self, limit: int = SPOOL_BYTES) -> None:
        self.limit, self.size = limit, 0
        self.held: list[Message] = []
        self.files: list[IO[bytes]] = []

    def add(self, message: Message) -> None:
        """Add a message."""
        self.held.append(message)
        self.size += message.size
        if self.size > self.limit:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - kept until it has been read back
            for held in self._sorted():
                pickle.dump(tuple(held), file, pickle.HIGHEST_PROTOCOL)
            self.files.append(file)
            self.held, self.size = [], 0

    def __iter__(self) -> Iterator[Message]:
        return heapq.merge(*(self._read(file) for file in self.files), self._sorted(), key=lambda m: m.position)

    def _sorted(self) -> list[Message]:
        return sorted(self.held, key=lambda m: m.position)

    @staticmethod
    def _read(file: IO[bytes]) -> Iterator[Message]:
        file.seek(0)
        while True:
            try:
                yield Message(*pickle.load(file))  # noqa: S301 - this process wrote it
            except EOFError:
                return


def send_changes(this: Run, transform: Transform, etl: FrameEtl | None) -> None:
    """Send the changes in the objects of the manifest.

    Raises
    ------
    FrameEtlError
        The user's ETL needs Spark.
    """
    objects = this.objects()
    if etl is not None:
        raise FrameEtlError
    task = Delivery(this.settings, transform, this.deadline)
    with guarded(task):
        if not task.maker.ordered:
            task.send(task.messages(objects))
        else:
            spool = Spool()
            for message in task.messages(objects):
                spool.add(message)
            # After a bad row, later changes of its key would be sent without it, out of order.
            if not task.tally.failures:
                task.send(iter(spool))
    this.tally += task.tally
