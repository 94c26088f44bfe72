"""A stub of SQS and S3 that is fast enough for benchmarks.

One process on one port. It responds to requests with an `X-Amz-Target` of SQS (SendMessage, SendMessageBatch) after a
fixed latency, with partial failures and throttling at given rates. All other requests are S3: GET, HEAD and PUT of
objects in a folder, path-style. It records the CloudEvents ids of the messages in order, so that a benchmark can check
that all rows arrived.

    python tests/benchmarks/sqs_stub.py --latency-ms 15 --fail-rate 0.01 --objects DIR

prints its port. GET /stats returns counts, GET /ids the ids in the order of acknowledgement. POST /reset deletes both.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

ETAG = "0"
"""ETag of all objects."""

EVENT_ID = re.compile(r'"id":"([^"]*)"')


@dataclass
class Behavior:
    """Settings of the stub's responses."""

    latency: float = 0.0
    """Seconds per SQS request."""
    fail_rate: float = 0.0
    """Probability of an entry in Failed[]."""
    throttle_rate: float = 0.0
    """Probability that a request is throttled (HTTP 400)."""
    error_rate: float = 0.0
    """Probability that a request gets HTTP 503."""
    hold_in_flight: int = 0
    """Hold all SQS requests until this many are in flight, then respond to all and hold no more."""
    hold_after: int = 0
    """After this many messages, hold all SQS requests until POST /reset."""
    objects: Path | None = None
    seed: int = 0


@dataclass
class Received:
    """Counts and ids of received messages."""

    requests: int = 0
    messages: int = 0
    failed: int = 0
    throttled: int = 0
    errors: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    ids: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    def stats(self) -> dict[str, Any]:
        counts = {name: count for name, count in vars(self).items() if isinstance(count, int)}
        return {**counts, "distinct": len(set(self.ids)), "cpu_seconds": time.process_time()}


class Stub:
    """The state and the responses of one stub."""

    def __init__(self, behavior: Behavior) -> None:
        self.behavior, self.received = behavior, Received()
        self.random = random.Random(behavior.seed)
        self.held: list[Callable[[], None]] = []
        self.hold_in_flight, self.hold_after = behavior.hold_in_flight, behavior.hold_after

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[float, bytes]:
        """Return the seconds to wait, and the response."""
        if target := headers.get("x-amz-target"):
            return self.behavior.latency, self.sqs(target.rpartition(".")[2], body)
        if path == "/stats":
            return 0, response(200, orjson.dumps(self.received.stats()))
        if path == "/ids":
            return 0, response(200, orjson.dumps({"ids": self.received.ids, "groups": self.received.groups}))
        if path == "/reset":
            self.received = Received()
            self.hold_after = 0
            return 0, response(200, b"{}")
        return 0, self.s3(method, path.partition("?")[0], headers, body)

    def sqs(self, action: str, body: bytes) -> bytes:
        received, behavior = self.received, self.behavior
        received.requests += 1
        if behavior.throttle_rate and self.random.random() < behavior.throttle_rate:
            received.throttled += 1
            return response(400, b'{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}')
        if behavior.error_rate and self.random.random() < behavior.error_rate:
            received.errors += 1
            return response(503, b"{}")
        request = orjson.loads(body)
        if action == "SendMessage":
            self.take(request)
            return response(200, b'{"MessageId":"m","MD5OfMessageBody":"d41d8cd98f00b204e9800998ecf8427e"}')
        taken, failed = [], []
        for entry in request["Entries"]:
            if behavior.fail_rate and self.random.random() < behavior.fail_rate:
                failed.append({"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"})
            else:
                self.take(entry)
                taken.append(
                    {"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e"}
                )
        received.failed += len(failed)
        return response(200, orjson.dumps({"Successful": taken, "Failed": failed}))

    def take(self, entry: dict[str, Any]) -> None:
        self.received.messages += 1
        found = EVENT_ID.search(entry["MessageBody"])
        self.received.ids.append(found[1] if found else "")
        if "MessageGroupId" in entry:
            self.received.groups.append(entry["MessageGroupId"])

    def s3(self, method: str, path: str, headers: dict[str, str], body: bytes) -> bytes:
        assert self.behavior.objects is not None, f"no objects are served, but {method} {path} was asked for"
        file = self.behavior.objects / unquote(path).lstrip("/")
        if method == "PUT":
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            return response(200, b"", {"ETag": f'"{ETAG}"'})
        if not file.is_file():
            return response(404, b"<Error><Code>NoSuchKey</Code></Error>", kind="application/xml")
        found = {"ETag": f'"{ETAG}"', "Last-Modified": "Sun, 22 Nov 2026 07:30:00 GMT"}
        return response(200, b"" if method == "HEAD" else file.read_bytes(), found)


def response(
    status: int, body: bytes, headers: dict[str, str] | None = None, kind: str = "application/x-amz-json-1.0"
) -> bytes:
    head = [f"HTTP/1.1 {status} -", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*head, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """The part of HTTP/1.1 with keep-alive that AWS's clients use."""

    def __init__(self, stub: Stub) -> None:
        self.stub, self.buffer = stub, bytearray()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *rest = self.buffer[:end].decode("latin-1").split("\r\n")
            method, path, _ = first.split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
            length = int(headers.get("content-length", 0))
            if len(self.buffer) < end + 4 + length:
                if headers.get("expect") and len(self.buffer) == end + 4:
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            latency, answer = self.stub.answer(method, path, headers, body)
            self.respond(latency, answer, held="x-amz-target" in headers)

    def respond(self, latency: float, answer: bytes, held: bool) -> None:
        stub, received = self.stub, self.stub.received
        held = held and bool(stub.hold_in_flight or 0 < stub.hold_after <= received.messages)
        if not latency and not held:
            self.transport.write(answer)
            return
        received.in_flight += 1
        received.most_in_flight = max(received.most_in_flight, received.in_flight)
        later = partial(asyncio.get_running_loop().call_later, latency, self.deliver, answer, received)
        if not held:
            later()
            return
        stub.held.append(later)
        if received.in_flight == stub.hold_in_flight:
            stub.hold_in_flight = 0
            while stub.held:
                stub.held.pop()()

    def deliver(self, answer: bytes, received: Received) -> None:
        received.in_flight -= 1
        if not self.transport.is_closing():
            self.transport.write(answer)


async def serve(behavior: Behavior, port: int) -> None:
    """Serve until cancelled; print the port first."""
    loop = asyncio.get_running_loop()
    stub = Stub(behavior)
    server = await loop.create_server(lambda: Connection(stub), "127.0.0.1", port, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class RunningStub:
    """A stub in another process."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.queue_url = f"{self.endpoint}/000000000000/changes"
        self.fifo_url = f"{self.endpoint}/000000000000/changes.fifo"

    def get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.endpoint}/{path}") as answer:  # noqa: S310 - the stub's process
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def running_stub(**behavior: Any) -> Iterator[RunningStub]:
    """Start a stub in another process, so that it does not share the GIL with the measured code."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in behavior.items()]
    from tests.harness.children import Child  # here, because this file is also a program

    with Child([sys.executable, __file__, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield RunningStub(int(process.stdout.readline()))
        finally:
            process.kill()


def etag_of(body: bytes) -> str:
    """Return the ETag that S3 assigns to an object written in one part."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def main() -> None:
    """Start the stub."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--fail-rate", type=float, default=0)
    parser.add_argument("--throttle-rate", type=float, default=0)
    parser.add_argument("--error-rate", type=float, default=0)
    parser.add_argument("--hold-in-flight", type=int, default=0)
    parser.add_argument("--hold-after", type=int, default=0)
    parser.add_argument("--objects", type=Path)
    given = parser.parse_args()
    behavior = Behavior(
        given.latency_ms / 1000,
        given.fail_rate,
        given.throttle_rate,
        given.error_rate,
        given.hold_in_flight,
        given.hold_after,
        given.objects,
    )
    asyncio.run(serve(behavior, given.port))


if __name__ == "__main__":
    main()
