"""Sends messages to a target in batches, with many requests in flight, until each is acknowledged.

Requests are signed here, not sent by boto3: see docs/decisions.md, D14.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError

from fanout_job.errors import DeadlineError, JobError, SendError, SendRefusedError
from fanout_job.messages import Message
from fanout_job.targets import Target, error_code, is_passing

if TYPE_CHECKING:
    from botocore.credentials import Credentials

log = logging.getLogger("fanout_job")

IN_FLIGHT = 64
"""Number of concurrent requests of a task."""

LANE_MESSAGES = 100
"""Size of a lane's queue, and maximum number of waiting messages that a lane searches for its next request."""

MAX_TRIES = 10
"""Tries for a batch, backed off with full jitter up to BACKOFF_CAP_SECONDS: about a minute of trouble on average. If a
try succeeds for a part of the batch, half of the tries before it no longer count: a target that throttles single
messages takes a large batch in many parts.
"""

BACKOFF_CAP_SECONDS = 20.0
REQUEST_TIMEOUT_SECONDS = 20.0


def batches(messages: Iterable[Message], limit: int, entries: int) -> Iterator[list[Message]]:
    """Group messages into batches of at most `limit` bytes and `entries` messages."""
    batch: list[Message] = []
    size = 0
    for message in messages:
        if len(batch) == entries or (batch and size + message.size > limit):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.size
    if batch:
        yield batch


class Sender:
    """Sends messages to a target over keep-alive connections, IN_FLIGHT requests at a time.

    Parameters
    ----------
    target : Target
    endpoint : str
        URL of the service.
    region : str
    credentials : botocore credentials
        Read again for each request, so that they are refreshed in time.
    acknowledged : callable
        Called with each list of acknowledged messages.
    deadline : float or None
        `time.monotonic()` after which no request is sent.
    """

    def __init__(
        self,
        target: Target,
        endpoint: str,
        region: str,
        credentials: Credentials,
        acknowledged: Callable[[list[Message]], None],
        deadline: float | None = None,
        backoff: float = 0.1,
    ) -> None:
        self.target, self.endpoint, self.region = target, endpoint, region
        self.credentials, self.acknowledged = credentials, acknowledged
        self.deadline, self.backoff = deadline, backoff

    async def send(self, messages: Iterator[Message]) -> None:
        """Send all messages, in any order.

        Raises
        ------
        SendError, SendRefusedError, DeadlineError
            Some messages may have been sent.
        """
        shared = batches(messages, self.target.limit, self.target.max_entries)

        async def worker(session: aiohttp.ClientSession) -> None:
            for batch in shared:
                await self.post(session, batch)

        await self._together(lambda session: [worker(session) for _ in range(IN_FLIGHT)])

    async def send_in_order(self, messages: Iterator[Message]) -> None:
        """Send all messages, and those of each group in the given order.

        A group belongs to one lane, a lane has one request at a time, and no request has two messages of a group. So
        no message is sent before an earlier message of its group is acknowledged.
        """
        lanes: list[asyncio.Queue[Message | None]] = [asyncio.Queue(LANE_MESSAGES) for _ in range(IN_FLIGHT)]

        async def feed() -> None:
            for message in messages:
                await lanes[int(message.group[:8], 16) % IN_FLIGHT].put(message)
            for lane in lanes:
                await lane.put(None)

        async def drain(session: aiohttp.ClientSession, lane: asyncio.Queue[Message | None]) -> None:
            waiting: deque[Message] = deque()
            open_ = True
            while open_ or waiting:
                while open_ and len(waiting) < LANE_MESSAGES and (not waiting or not lane.empty()):
                    message = await lane.get()
                    if message is None:
                        open_ = False
                    else:
                        waiting.append(message)
                if waiting:
                    limit, entries = self.target.limit, self.target.max_entries
                    await self.post(session, one_of_each_group(waiting, limit, entries))

        await self._together(lambda session: [feed(), *(drain(session, lane) for lane in lanes)])

    async def _together(self, jobs: Callable[[aiohttp.ClientSession], list[Any]]) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for job in jobs(session):
                        tasks.create_task(job)
            except BaseExceptionGroup as several:
                raise next((e for e in several.exceptions if isinstance(e, JobError)), several.exceptions[0]) from None

    async def post(self, session: aiohttp.ClientSession, batch: list[Message]) -> None:
        """Send one batch until all of it is acknowledged."""
        tries = 0
        while tries < MAX_TRIES:
            left = REQUEST_TIMEOUT_SECONDS if self.deadline is None else self.deadline - time.monotonic()
            if left <= 0:
                raise DeadlineError
            headers, body = self.target.request(batch)
            try:
                signed = self.signed(headers, body)
                timeout = aiohttp.ClientTimeout(total=min(REQUEST_TIMEOUT_SECONDS, left))
                async with session.post(self.endpoint, data=body, headers=signed, timeout=timeout) as response:
                    status, answer = response.status, await response.read()
                if status == 200:
                    said = self.target.read_answer(answer, batch)
                    if said.accepted:
                        self.acknowledged(said.accepted)
                    if said.refused:
                        raise SendRefusedError(f"{self.target.service} rejected a message permanently: {said.refused}")
                    if not said.again:
                        return
                    batch, reason = said.again, "failed entries"
                    tries = tries // 2 if said.accepted else tries
                else:
                    reason = error_code(status, answer)
                    if status < 500 and status not in (408, 429) and not is_passing(reason):
                        raise SendRefusedError(f"{self.target.service} rejected a request: {reason}")
            except (aiohttp.ClientError, BotoCoreError, OSError, ValueError, KeyError, TypeError) as error:
                reason = type(error).__name__
            log.debug("sending %d messages again: %s", len(batch), reason)
            pause = min(BACKOFF_CAP_SECONDS, self.backoff * 2**tries, left)
            tries += 1
            await asyncio.sleep(random.random() * pause)  # noqa: S311 - spreads load, guards nothing
        raise SendError(
            f"{self.target.service} did not accept {len(batch)} messages in {MAX_TRIES} attempts: {reason}",
            cause=f"{self.target.service} did not accept messages in {MAX_TRIES} attempts: {reason}",
        )

    def signed(self, headers: dict[str, str], body: bytes) -> dict[str, str]:
        """Return the headers with a Signature Version 4."""
        request = AWSRequest("POST", self.endpoint, headers, body)
        SigV4Auth(self.credentials.get_frozen_credentials(), self.target.service, self.region).add_auth(request)
        return dict(request.headers)


def one_of_each_group(waiting: deque[Message], limit: int, entries: int) -> list[Message]:
    """Remove a batch from `waiting` with at most one message per group, the first one of it."""
    batch: list[Message] = []
    passed: list[Message] = []
    groups: set[str] = set()
    size = 0
    while waiting and len(batch) < entries:
        message = waiting.popleft()
        if message.group in groups or (batch and size + message.size > limit):
            groups.add(message.group)
            passed.append(message)
        else:
            groups.add(message.group)
            batch.append(message)
            size += message.size
    waiting.extendleft(reversed(passed))
    return batch
