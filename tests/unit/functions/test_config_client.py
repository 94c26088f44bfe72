"""The config client: address, limits, retries, key and JSON. tests/integration/functions has the same over sockets."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests

from fanout import config_client
from fanout.config_client import (
    MAX_BYTES,
    MAX_REFUSAL_BYTES,
    READING_SECONDS,
    TRIES,
    HttpConfigApi,
)
from fanout.errors import ConfigApiAccessError, ConfigApiAnswerError, ConfigApiUnavailableError, SettingsError
from fanout.providers import InvalidEntry
from tests.harness.config_server import KEY, Server, page
from tests.harness.transport import Reply
from tests.harness.waiting import HANG_SECONDS

# --------------------------------------------------------------------------------------------------------- the address


@pytest.mark.parametrize(
    "url",
    [
        "http://config.example/providers",
        "ftp://config.example/",
        "ftp://localhost/",
        "config.example/providers",
        "https://user:pa55word@config.example/",
        "https:///providers",
        "https://[broken/",
        "https://config.example:port/",
        "",
    ],
)
def test_an_unsafe_address_is_rejected_without_showing_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as error:
        HttpConfigApi(url, lambda refused: KEY)
    assert "pa55word" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["https://config.example", "http://localhost:3000/p", "http://127.0.0.1/p", "http://[::1]:80/"]
)
def test_https_and_loopback_addresses_are_accepted(url: str) -> None:
    HttpConfigApi(url, lambda refused: KEY)


# -------------------------------------------------------------------------------------------------------------- bounds


def test_a_body_over_the_size_limit_is_rejected() -> None:
    largest = b"{}" + b" " * (32 * 2**20 - 2)

    assert Server(Reply(body=largest)).client().entries() == {}
    with pytest.raises(ConfigApiAnswerError, match="more than 32 MiB"):
        Server(Reply(body=largest + b" ")).client().entries()


def test_all_pages_share_one_size_limit() -> None:
    big = b'{"next": "?%d"}' + b" " * (20 * 2**20)
    server = Server(lambda request: Reply(body=big % len(server.requests)))

    with pytest.raises(ConfigApiAnswerError, match=f"{MAX_BYTES // 2**20} MiB in all"):
        server.client().entries()
    assert len(server.requests) == 4


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_a_compressed_answer_is_rejected_unread(encoding: str) -> None:
    with pytest.raises(ConfigApiAnswerError, match="compressed"):
        Server(Reply(body=b"\x1f\x8b bomb", headers={"Content-Encoding": encoding})).client().entries()


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}])
def test_the_beginning_of_a_refusal_is_kept_as_it_is(headers: dict[str, str]) -> None:
    with pytest.raises(ConfigApiAnswerError, match="HTTP 404") as error:
        Server(Reply(status=404, body=b"x" * 10_000, headers=headers)).client().entries()

    assert (error.value.status, error.value.answer) == (404, "x" * MAX_REFUSAL_BYTES)


def test_a_truncated_body_is_tried_again() -> None:
    short = Reply(body=b'{"a": 1', headers={"Content-Length": "100"})

    server = Server(short, page({"a": 1}))

    assert server.client().entries() == {"a": 1}


@pytest.mark.parametrize(
    "failure", [requests.ConnectionError(), requests.ReadTimeout(), Reply(status=500), Reply(status=429)]
)
def test_transient_faults_are_retried_a_bounded_number_of_times(failure: Any) -> None:
    server = Server(failure)
    with pytest.raises(ConfigApiUnavailableError, match=f"attempts: {TRIES}"):
        server.client().entries()
    assert len(server.requests) == TRIES

    server = Server(failure, page({"a": 1}))
    assert server.client().entries() == {"a": 1}


def test_the_client_gives_up_if_no_server_listens() -> None:
    with pytest.raises(ConfigApiUnavailableError, match="ConnectionError"):
        HttpConfigApi("http://127.0.0.1:1/p", lambda refused: KEY, sleep=lambda seconds: None).entries()


@pytest.mark.parametrize(("bound", "pauses"), [(min, [0, 0]), (max, [2, 4])])
def test_the_pauses_between_attempts_are_random_and_may_be_longer_each_time(
    bound: Callable[[float, float], float], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", bound)
    server = Server(Reply(status=503))

    with pytest.raises(ConfigApiUnavailableError):
        server.client().entries()
    assert server.time.slept == pauses


@pytest.mark.parametrize("status", [300, 400, 404, 405, 410, 501])
def test_permanent_faults_are_not_retried(status: int) -> None:
    server = Server(Reply(status=status))

    with pytest.raises(ConfigApiAnswerError, match=f"HTTP {status}"):
        server.client().entries()
    assert len(server.requests) == 1


def test_retry_after_is_obeyed_when_there_is_time() -> None:
    server = Server(Reply(status=429, headers={"Retry-After": "17"}), page({}))
    server.client().entries()

    assert server.time.slept == [17]


@pytest.mark.parametrize("asked", [f"{READING_SECONDS:.0f}", "3600", "99999999999", "9" * 400])
def test_a_long_retry_after_ends_the_call_at_once(asked: str) -> None:
    server = Server(Reply(status=503, headers={"Retry-After": asked}))

    with pytest.raises(ConfigApiUnavailableError, match="attempts: 1"):
        server.client().entries()
    assert server.time.slept == []


@pytest.mark.parametrize("asked", ["Sun, 22 Nov 2026 07:30:00 GMT", "-5", "soon", "²"])
def test_a_retry_after_in_another_form_is_replaced_by_the_default_pause(asked: str) -> None:
    server = Server(Reply(status=503, headers={"Retry-After": asked}), page({}))
    server.client().entries()

    assert 0 <= server.time.slept[0] <= 2


def test_all_attempts_and_pages_share_one_time_limit() -> None:
    def slow(request: requests.PreparedRequest) -> Reply:
        server.time.now += READING_SECONDS / 3
        return page({"next": f"?{len(server.requests)}"})

    server = Server(slow)

    with pytest.raises(ConfigApiUnavailableError, match="no time left"):
        server.client().entries()
    assert len(server.requests) == 3


def test_a_call_that_hangs_is_abandoned_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    daemons: list[bool] = []

    def hangs(request: requests.PreparedRequest) -> Reply:
        daemons.append(threading.current_thread().daemon)
        release.wait(HANG_SECONDS)
        return page({})

    monkeypatch.setattr(config_client, "ANSWER_SECONDS", 0.05)
    try:
        with pytest.raises(ConfigApiUnavailableError, match="Timeout"):
            Server(hangs).client().entries()
    finally:
        release.set()
    assert all(daemons), "the process can end while the call hangs"


def test_a_call_is_abandoned_at_the_deadline_of_its_request() -> None:
    release = threading.Event()

    def slow(request: requests.PreparedRequest) -> Reply:
        release.wait(10)
        return page({})

    server = Server(slow)
    server.time.now = 1000
    try:
        with pytest.raises(ConfigApiUnavailableError, match="Timeout"):
            server.client().change("GET", "a", seconds=0.05)
    finally:
        release.set()


class Drip(io.BytesIO):
    """A body of single bytes; the first one arrives when the test says so."""

    def __init__(self) -> None:
        super().__init__(b" " * 100)
        self.begin, self.ended = threading.Event(), threading.Event()
        self.left = 100

    def read1(self, size: int | None = -1, /) -> bytes:
        self.begin.wait(HANG_SECONDS)
        byte = super().read1(1)
        self.left -= len(byte)
        return byte

    def close(self) -> None:
        self.ended.set()
        super().close()


def test_an_answer_that_was_abandoned_is_not_read_to_its_end() -> None:
    body = Drip()

    try:
        with pytest.raises(ConfigApiUnavailableError, match="Timeout"):
            Server(Reply(body=body)).client().change("GET", "a", seconds=0.05)
    finally:
        body.begin.set()
    assert body.ended.wait(HANG_SECONDS)
    assert body.left == 99


# ------------------------------------------------------------------------------------------------------------- the key


def test_a_rejected_key_is_fetched_again_once() -> None:
    keys = {False: "old", True: "new"}

    def answer(request: requests.PreparedRequest) -> Reply:
        return page({"a": 1}) if request.headers["x-api-key"] == "new" else Reply(status=401)

    server = Server(answer)

    assert server.client(key=lambda refused: keys[refused]).entries() == {"a": 1}
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_stays_rejected_is_an_error_that_says_what_to_do(status: int) -> None:
    server = Server(Reply(status=status))

    with pytest.raises(ConfigApiAccessError, match="CONFIG_API_KEY_SECRET"):
        server.client().entries()
    assert server.keys_asked == [False, True]
    assert len(server.requests) == 1, "the same key is not tried twice"


def test_a_line_break_at_the_end_of_the_secret_is_ignored() -> None:
    server = Server(page({}), key=KEY + "\n")
    server.client().entries()

    assert server.requests[0].headers["x-api-key"] == KEY


@pytest.mark.parametrize("key", ["", "  ", f"{KEY}\r\nX-Other: 1", f"{KEY}…", f"{KEY}\x00"])
def test_an_invalid_key_is_an_error_that_does_not_show_it(key: str) -> None:
    server = Server(page({}), key=key)

    with pytest.raises(ConfigApiAccessError) as error:
        server.client().entries()
    assert KEY not in repr(error.getrepr(showlocals=False))
    assert not server.requests


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=500, body=KEY.encode()),
        Reply(status=401),
        Reply(status=404),
        Reply(body=f'{{"a": "{KEY}'.encode()),
        Reply(body=KEY.encode()),
        Reply(status=302, headers={"Location": f"https://elsewhere.example/{KEY}"}),
        requests.ConnectionError(f"could not send x-api-key: {KEY}"),
    ],
)
def test_the_key_is_in_no_error_even_when_the_server_sends_it_back(
    reply: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Server(reply).client()

    with pytest.raises((ConfigApiAnswerError, ConfigApiAccessError, ConfigApiUnavailableError)) as error:
        client.entries()
    assert error.value.__context__ is None or error.value.__suppress_context__
    assert KEY not in str(error.getrepr(chain=True, style="native"))
    assert KEY not in repr(client)
    assert KEY not in "".join(capsys.readouterr())


# -------------------------------------------------------------------------------------------------- what JSON can hold


def test_a_duplicate_field_makes_only_its_entry_invalid() -> None:
    entries = (
        Server(Reply(body=b'{"a": {"frequency": 1, "frequency": 2}, "b": {"x": {"y": 1, "y": 2}}}')).client().entries()
    )

    assert isinstance(entries["a"], InvalidEntry)
    assert entries["b"] == {"x": {"y": 2}}


def test_a_duplicate_provider_makes_only_itself_invalid() -> None:
    entries = Server(Reply(body=b'{"a": 1, "b": 2, "a": 3}')).client().entries()

    assert isinstance(entries["a"], InvalidEntry)
    assert entries["b"] == 2


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", '{"a": "é"}'.encode(), '{"a": 1}'.encode("utf-16")])
def test_json_is_read_in_each_of_its_encodings(body: bytes) -> None:
    Server(Reply(body=body)).client().entries()
