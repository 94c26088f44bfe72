"""The config client over real sockets, against a server that misbehaves deliberately."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fanout import config_client
from fanout.config_client import HttpConfigApi
from fanout.errors import ConfigApiAccessError, ConfigApiAnswerError, ConfigApiUnavailableError
from fanout.runs import Report
from tests.harness.waiting import HANG_SECONDS

KEY = "canary-4f1d9c"


@dataclass
class Server:
    """A server's answer to each request, and the requests that it received."""

    do: Callable[[BaseHTTPRequestHandler], None]
    url: str = ""
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    stopping: threading.Event = field(default_factory=threading.Event)


def serve(server: Server) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            server.seen.append((self.command, self.path, self.headers.get("x-api-key")))
            server.connections.add(self.client_address)
            server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            try:
                server.do(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        do_GET = do_PATCH = handle_one  # noqa: N815

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}/providers"
    threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return http


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], Server]]:
    running: list[tuple[Server, ThreadingHTTPServer]] = []

    def begin(do: Callable[[BaseHTTPRequestHandler], None]) -> Server:
        server = Server(do)
        running.append((server, serve(server)))
        return server

    yield begin
    for server, http in running:
        server.stopping.set()
        http.shutdown()
        http.server_close()


Start = Callable[[Callable[[BaseHTTPRequestHandler], None]], Server]


def reply(handler: BaseHTTPRequestHandler, body: bytes = b"{}", status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def client(server: Server) -> HttpConfigApi:
    return HttpConfigApi(server.url, lambda refused: KEY, sleep=lambda seconds: None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with the same limits in tenths of a second instead of seconds."""
    monkeypatch.setattr(config_client, "READ_SECONDS", 0.3)
    monkeypatch.setattr(config_client, "ANSWER_SECONDS", 0.4)


def test_entries_are_read_page_by_page_over_one_connection(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        number = int(handler.path.partition("=")[2] or 0)
        more = {"Link": f'<?page={number + 1}>; rel="next"'} if number < 4 else {}
        reply(handler, json.dumps({f"p{number}": {"frequency": 1}}).encode(), **more)

    server = start(do)

    assert list(client(server).entries()) == ["p0", "p1", "p2", "p3", "p4"]
    assert len(server.connections) == 1
    assert {key for _, _, key in server.seen} == {KEY}


def test_a_chunked_answer_is_read(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in (b'{"a": ', b"1", b"}"):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    assert client(start(do)).entries() == {"a": 1}


def test_a_large_answer_is_read_completely(start: Start) -> None:
    body = json.dumps({f"p{n:06d}": {"frequency": "15"} for n in range(50_000)}).encode()

    assert len(client(start(lambda handler: reply(handler, body))).entries()) == 50_000


def test_a_report_arrives_as_json(start: Start) -> None:
    server = start(reply)
    client(server).report("p", Report(run_id="r", status="running", last_success=datetime(2026, 11, 22, tzinfo=UTC)))

    assert server.seen == [("PATCH", "/providers/p", KEY)]
    assert json.loads(server.bodies[0]) == {
        "run_id": "r",
        "status": "running",
        "last_success": "Sun, 22 Nov 2026 00:00:00 GMT",
    }


def test_an_unchanged_answer_is_not_sent_again(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        if handler.headers.get("If-None-Match") == '"v1"':
            handler.send_response(304)
            handler.end_headers()
        else:
            reply(handler, b'{"a": 1}', ETag='"v1"')

    server = start(do)
    reader = client(server)

    assert reader.entries() == reader.entries() == {"a": 1}
    assert len(server.seen) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_requests_are_retried_until_the_server_recovers_or_the_attempts_are_used_up(start: Start, status: int) -> None:
    server = start(lambda handler: reply(handler, status=200 if len(server.seen) > 2 else status))
    assert client(server).entries() == {}

    server = start(lambda handler: reply(handler, status=status))
    with pytest.raises(ConfigApiUnavailableError):
        client(server).entries()
    assert len(server.seen) == 3


def test_a_request_whose_connection_breaks_is_retried(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        if len(server.seen) > 1:
            reply(handler, b'{"a": 1}')
            return
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"a": ')
        handler.close_connection = True

    server = start(do)

    assert client(server).entries() == {"a": 1}


def assert_given_up(server: Server) -> None:
    """The client gives up while the server is still sending."""
    with pytest.raises(ConfigApiUnavailableError, match="Time"):
        client(server).entries()
    assert not server.stopping.is_set()


@pytest.mark.usefixtures("impatient")
def test_the_client_gives_up_if_the_server_never_answers(start: Start) -> None:
    server = start(lambda handler: server.stopping.wait(HANG_SECONDS) and None)

    assert_given_up(server)


@pytest.mark.fault(5)
@pytest.mark.usefixtures("impatient")
def test_the_client_gives_up_on_a_body_that_arrives_too_slowly(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not server.stopping.wait(0.05):
            handler.wfile.write(b" ")

    server = start(do)

    assert_given_up(server)


@pytest.mark.usefixtures("impatient")
def test_the_client_gives_up_on_a_header_that_arrives_too_slowly(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not server.stopping.wait(0.05):
            handler.wfile.write(b"x")

    server = start(do)

    assert_given_up(server)


@pytest.mark.fault(5)
def test_a_body_of_a_hundred_megabytes_is_not_read_to_its_end(start: Start) -> None:
    sent = 0

    def do(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header("Content-Length", str(100 * 2**20))
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b" " * 2**20)
            sent += 1

    with pytest.raises(ConfigApiAnswerError, match="more than 32 MiB"):
        client(start(do)).entries()
    assert sent < 60


def test_a_gzip_bomb_is_not_unpacked(start: Start) -> None:
    bomb = gzip.compress(b" " * (200 * 2**20), 1)

    with pytest.raises(ConfigApiAnswerError, match="compressed"):
        client(start(lambda handler: reply(handler, bomb, Content_Encoding="gzip"))).entries()


def test_the_body_of_a_redirect_is_not_read(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/moved":
            reply(handler, b'{"a": 1}')
            return
        handler.send_response(302)
        handler.send_header("Location", "/moved")
        handler.send_header("Content-Length", str(10**12))
        handler.end_headers()
        while not server.stopping.is_set():
            handler.wfile.write(b" " * 2**20)

    server = start(do)

    assert client(server).entries() == {"a": 1}


@pytest.mark.fault(5)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_host_gets_neither_a_request_nor_the_key(start: Start, status: int) -> None:
    other = start(reply)
    server = start(lambda handler: reply(handler, status=status, Location=other.url))

    with pytest.raises(ConfigApiAnswerError, match="another host"):
        client(server).entries()
    assert other.seen == []
    assert len(server.seen) == 1


def test_a_next_page_on_another_host_gets_neither_a_request_nor_the_key(start: Start) -> None:
    other = start(reply)
    server = start(lambda handler: reply(handler, Link=f'<{other.url}>; rel="next"'))

    with pytest.raises(ConfigApiAnswerError, match="another host"):
        client(server).entries()
    assert other.seen == []


@pytest.mark.fault(25)
def test_a_rotated_key_is_fetched_again_once(start: Start) -> None:
    server = start(lambda handler: reply(handler, status=200 if handler.headers["x-api-key"] == "new" else 401))
    asked: list[bool] = []

    def key(refused: bool) -> str:
        asked.append(refused)
        return "new" if refused else "old"

    assert HttpConfigApi(server.url, key).entries() == {}
    assert asked == [False, True]


def test_a_wrong_key_is_an_error_that_does_not_show_it(start: Start) -> None:
    with pytest.raises(ConfigApiAccessError) as error:
        client(start(lambda handler: reply(handler, status=403))).entries()
    assert KEY not in str(error.getrepr(chain=True))


def test_the_client_gives_up_on_an_answer_that_is_not_http(start: Start) -> None:
    def do(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        handler.close_connection = True

    with pytest.raises(ConfigApiUnavailableError):
        client(start(do)).entries()
