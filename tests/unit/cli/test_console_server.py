"""The console's server: bodies that are not stored, and connections that are ended."""

from __future__ import annotations

import contextlib
import importlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.command import Operator
from cli.commands import console
from cli.deployment import Where
from tests.harness.waiting import HANG_SECONDS


@pytest.fixture
def address() -> Iterator[str]:
    printed, server = console.serve(Operator(Where(None, cloud_file=Path("missing"))), 0)
    threading.Thread(target=server.run, daemon=True).start()
    yield printed
    server.close()


@pytest.fixture
def port(address: str) -> int:
    return int(address.partition("/#")[0].rpartition(":")[2])


def exchange(port: int, lines: list[str], what: str = "POST /_dash-update-component", body: str = "") -> bytes:
    """Send the head of a request, and its body if there is one; return all of the answer."""
    with socket.create_connection(("127.0.0.1", port), HANG_SECONDS) as client:
        client.sendall("\r\n".join([f"{what} HTTP/1.1", *lines, "", body]).encode())
        answer = b""
        while part := client.recv(1 << 16):
            answer += part
    return answer


@pytest.mark.fault(65)
@pytest.mark.parametrize(
    "framing", ["Content-Length: 1000000", "Content-Length: 100000000000", "Transfer-Encoding: chunked"]
)
@pytest.mark.parametrize(
    "who",
    ["X-Fanout-Key: guessed", "Origin: null", "Content-Type: text/plain", "Expect: 100-continue"],
)
def test_a_request_without_the_key_is_rejected_before_its_body_arrives(port: int, framing: str, who: str) -> None:
    answer = exchange(port, [f"Host: 127.0.0.1:{port}", framing, who])
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"rejected: " in answer


@pytest.mark.fault(65)
def test_a_request_of_another_host_name_is_rejected_before_its_body_arrives(port: int) -> None:
    answer = exchange(port, [f"Host: rebound.example:{port}", "Content-Length: 9"])
    assert b"rejected: the address of this console is 127.0.0.1:" in answer


@pytest.mark.fault(65)
def test_a_page_needs_no_key_and_a_request_with_the_key_is_read(port: int, address: str) -> None:
    last = [f"Host: 127.0.0.1:{port}", "Connection: close"]
    order = [*last, f"X-Fanout-Key: {address.partition('#key=')[2]}", "Content-Type: application/json"]

    assert exchange(port, last, "GET /").startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"rejected" not in exchange(port, [*order, "Content-Length: 2"], body="{}")


@pytest.mark.fault(65)
def test_only_the_beginning_of_a_request_or_an_answer_counts_as_activity() -> None:
    _, server = console.serve(Operator(Where(None, cloud_file=Path("missing"))), 0)
    channel = server.channel_class.__new__(server.channel_class)
    server.close()

    channel.request, channel.last_activity = None, 5
    channel.request = object()
    channel.last_activity = 9

    assert channel.last_activity == 5


@pytest.mark.fault(65)
def test_a_connection_that_sends_its_request_slowly_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    guard = importlib.import_module("cli.console.guard")
    monkeypatch.setattr(guard, "IDLE_SECONDS", 1)
    address, server = console.serve(Operator(Where(None, cloud_file=Path("missing"))), 0)
    threading.Thread(target=server.run, daemon=True).start()
    port = int(address.partition("/#")[0].rpartition(":")[2])
    ended = threading.Event()
    with socket.create_connection(("127.0.0.1", port), HANG_SECONDS) as client:

        def drip() -> None:
            while not ended.wait(0.2):
                try:
                    client.sendall(b"G")
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        ended.set()
    server.close()
