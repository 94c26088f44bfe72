"""A read-only config API (`ReportStatus=no`): the last success in the ledger decides which providers are due."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from cli.overview import survey
from fanout.config_client import HttpConfigApi
from tests.harness.world import World

KEY = "read-only-key"


@dataclass
class ReadOnly:
    """A server that lists providers and accepts no other request."""

    url: str
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[ReadOnly]:
    class Handler(BaseHTTPRequestHandler):
        api: ClassVar[ReadOnly]

        def answer(self) -> None:
            self.api.asked.append((self.command, self.headers.get("x-api-key")))
            body = json.dumps({"a": {"frequency": "60"}}).encode() if self.command == "GET" else b"{}"
            self.send_response(200 if self.command == "GET" else 405)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PATCH = do_PUT = do_POST = answer  # noqa: N815

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.api = ReadOnly(f"http://127.0.0.1:{listener.server_port}/providers")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Handler.api
    listener.shutdown()
    listener.server_close()


@pytest.fixture
def world(server: ReadOnly) -> World:
    world = World(settings={"report_status": "no"})
    world.config_api = HttpConfigApi(server.url, lambda refused: KEY)  # type: ignore[assignment]
    world.configure()
    return world


def test_the_ledger_decides_that_a_provider_is_due_if_its_entry_never_changes(world: World, server: ReadOnly) -> None:
    started = []
    for _ in range(5):  # ticks at 0, 30, 60, 90 and 120 minutes; its frequency is 60
        report = world.tick()
        started.append(report.started_providers)
        for provider in report.started_providers:
            world.run(provider, f"run-{len(started)}", scheduled_at=world.clock().isoformat())
        world.clock.advance(minutes=30)

    assert started == [["a"], [], ["a"], [], ["a"]]
    assert {method for method, _ in server.asked} == {"GET"}
    assert {key for _, key in server.asked} == {KEY}


def test_a_failure_backs_off_without_a_report(world: World, server: ReadOnly) -> None:
    world.change("a", "k1", "bad row")
    assert world.tick().started_providers == ["a"]
    claim = world.claim("a", "r1", scheduled_at=world.clock().isoformat())
    world.fail(claim)

    again = world.tick(world.clock() + timedelta(minutes=5))

    assert (again.started_providers, again.backing_off) == ([], 1)
    assert {method for method, _ in server.asked} == {"GET"}


def test_status_shows_the_state_of_the_ledger(world: World) -> None:
    world.tick()
    world.run("a", "r1", scheduled_at=world.clock().isoformat())

    overview = survey(world.config_api, world.ledger, world.executions, world.clock(), timedelta(minutes=30))

    assert overview.counts == {"waiting": 1}
    assert overview.health[0].next_due == world.clock() + timedelta(minutes=60)
