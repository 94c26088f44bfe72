"""The config client against answers without a network; tests/integration/functions has the same over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from fanout import config_client
from fanout.config_client import (
    MAX_BYTES,
    MAX_PAGES,
    READING_SECONDS,
    REPORT_SECONDS,
    REST_SECONDS,
    TRIES,
    HttpConfigApi,
)
from fanout.errors import ConfigApiAccessError, ConfigApiAnswerError, ConfigApiUnavailableError, SettingsError
from fanout.providers import InvalidEntry
from fanout.runs import Report
from tests.harness.transport import Reply, session
from tests.harness.waiting import HANG_SECONDS

URL = "https://config.example/stage/providers"
KEY = "canary-4f1d9c"


class Time:
    """A clock that advances when a caller sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Server:
    """Gives the given answers in order; the last one is repeated for all further requests."""

    def __init__(
        self, *replies: Reply | Exception | Callable[[requests.PreparedRequest], Reply], key: str = KEY
    ) -> None:
        self.replies = list(replies)
        self.requests: list[requests.PreparedRequest] = []
        self.keys_asked: list[bool] = []
        self.key = key
        self.time = Time()

    def answer(self, request: requests.PreparedRequest) -> Reply:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else reply(request)

    def give_key(self, refused: bool) -> str:
        self.keys_asked.append(refused)
        return self.key

    def client(self, url: str = URL, key: Callable[[bool], str] | None = None) -> HttpConfigApi:
        return HttpConfigApi(url, key or self.give_key, session(self.answer), self.time.sleep, self.time)


def page(entries: Mapping[str, Any], **headers: str) -> Reply:
    return Reply(body=json.dumps(entries).encode(), headers={name.replace("_", "-"): v for name, v in headers.items()})


# --------------------------------------------------------------------------------------------------------- the address


@pytest.mark.parametrize(
    "url",
    [
        "http://config.example/providers",
        "ftp://config.example/",
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


# ------------------------------------------------------------------------------------------------------------- reading


def test_the_request_has_the_key_and_asks_for_no_compression() -> None:
    server = Server(page({"a": {"frequency": 1}}))

    assert server.client().entries() == {"a": {"frequency": 1}}
    sent = server.requests[0]
    assert (sent.method, sent.url, sent.headers["x-api-key"]) == ("GET", URL, KEY)
    assert sent.headers["Accept-Encoding"] == "identity"


def test_all_pages_are_read_by_their_link_headers() -> None:
    server = Server(
        page({"a": 1}, Link='<?next=a>; rel="next"'),
        page({"b": 2}, Link=f'<{URL}?next=b>; rel="next", <{URL}>; rel="first"'),
        page({"c": 3}, Link=f'<{URL}>; rel="first"'),
    )

    assert server.client().entries() == {"a": 1, "b": 2, "c": 3}
    assert [r.url for r in server.requests] == [URL, URL + "?next=a", URL + "?next=b"]


def test_all_pages_are_read_by_their_next_field() -> None:
    server = Server(page({"a": 1, "next": "?page=2"}), page({"b": 2, "next": None}))

    assert server.client().entries() == {"a": 1, "b": 2}


def test_a_provider_may_be_called_next() -> None:
    assert Server(page({"next": {"frequency": 1}})).client().entries() == {"next": {"frequency": 1}}


def test_a_link_header_takes_precedence_over_the_body() -> None:
    server = Server(page({"next": "?from=body"}, Link='<?from=header>; rel="next"'), page({}))

    server.client().entries()

    assert server.requests[1].url == URL + "?from=header"


def test_the_later_page_counts_for_a_provider_on_two_pages() -> None:
    server = Server(page({"a": 1, "next": "?2"}), page({"a": 2}))

    assert server.client().entries() == {"a": 2}


@pytest.mark.parametrize("ring", [["?1"], ["?1", "?2", "?1"]])
def test_pages_that_link_in_a_circle_are_an_error(ring: list[str]) -> None:
    server = Server(*[page({"next": link}) for link in ring])

    with pytest.raises(ConfigApiAnswerError, match="circular"):
        server.client().entries()
    assert len(server.requests) <= len(ring) + 1


def test_endless_pages_are_an_error() -> None:
    server = Server(lambda request: page({"next": f"?n={len(server.requests)}"}))

    with pytest.raises(ConfigApiAnswerError, match="pages"):
        server.client().entries()
    assert len(server.requests) == MAX_PAGES


@pytest.mark.parametrize(
    "link",
    [
        "https://elsewhere.example/",
        "http://config.example/stage/providers",
        "http://config.example:443/stage/providers",
        "https://config.example:8443/",
        "//elsewhere.example/",
        "https://config.example@elsewhere.example/",
        "https://key@config.example/",
        "https://[broken",
        "javascript:alert(1)",
    ],
)
@pytest.mark.parametrize("way", ["redirect", "header", "body"])
def test_no_link_or_redirect_to_another_host_is_followed(link: str, way: str) -> None:
    server = Server(
        {
            "redirect": Reply(status=307, headers={"Location": link}),
            "header": page({}, Link=f'<{link}>; rel="next"'),
            "body": page({"next": link}),
        }[way]
    )

    with pytest.raises(ConfigApiAnswerError, match="another host"):
        server.client().entries()
    assert len(server.requests) == 1


@pytest.mark.parametrize("link", ["/other", "https://config.example/other", "https://CONFIG.example:443/other"])
def test_a_redirect_on_the_same_host_is_followed_with_the_key(link: str) -> None:
    server = Server(Reply(status=302, headers={"Location": link}), page({"a": 1}))

    assert server.client().entries() == {"a": 1}
    assert server.requests[1].headers["x-api-key"] == KEY


def test_redirects_in_a_circle_are_an_error() -> None:
    server = Server(Reply(status=302, headers={"Location": URL}))

    with pytest.raises(ConfigApiAnswerError, match="redirects more than"):
        server.client().entries()


def test_a_redirect_without_a_location_is_an_error() -> None:
    with pytest.raises(ConfigApiAnswerError, match="HTTP 302"):
        Server(Reply(status=302)).client().entries()


def test_a_page_that_is_not_modified_is_taken_from_the_cache() -> None:
    def answer(request: requests.PreparedRequest) -> Reply:
        if request.headers.get("If-None-Match") == '"1"':
            return Reply(status=304, body=b"")
        return page({"a": 1}, ETag='"1"')

    server = Server(answer)
    client = server.client()

    assert client.entries() == client.entries() == client.entries() == {"a": 1}
    assert [r.headers.get("If-None-Match") for r in server.requests] == [None, '"1"', '"1"']


def test_a_changed_page_replaces_the_remembered_one_and_its_next_page() -> None:
    server = Server(page({"a": 1, "next": "?2"}, ETag='"1"'), page({"b": 2}, ETag='"2"'), page({"a": 3}, ETag='"3"'))
    client = server.client()
    client.entries()

    assert client.entries() == {"a": 3}


def test_removed_pages_are_dropped_from_the_cache() -> None:
    server = Server(
        lambda request: page({"next": f"?{len(server.requests)}"} if len(server.requests) % 2 else {}, ETag="x")
    )
    client = server.client()
    for _ in range(50):
        client.entries()

    assert len(client._pages) <= 2


def test_a_not_modified_answer_to_an_unconditional_request_is_an_error() -> None:
    with pytest.raises(ConfigApiAnswerError):
        Server(Reply(status=304, body=b"")).client().entries()


def test_changing_the_returned_entries_does_not_change_the_cache() -> None:
    server = Server(page({"a": 1}, ETag="x"), Reply(status=304, body=b""))
    client = server.client()
    client.entries().clear()  # type: ignore[attr-defined]

    assert client.entries() == {"a": 1}


# -------------------------------------------------------------------------------------------------------------- bounds


def test_a_body_over_the_size_limit_is_rejected() -> None:
    with pytest.raises(ConfigApiAnswerError, match="more than 32 MiB"):
        Server(Reply(body=b" " * (32 * 2**20 + 1))).client().entries()


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


@pytest.mark.parametrize("status", [400, 404, 405, 410, 501])
def test_permanent_faults_are_not_retried(status: int) -> None:
    server = Server(Reply(status=status))

    with pytest.raises(ConfigApiAnswerError, match=f"HTTP {status}"):
        server.client().entries()
    assert len(server.requests) == 1


def test_retry_after_is_obeyed_when_there_is_time() -> None:
    server = Server(Reply(status=429, headers={"Retry-After": "17"}), page({}))
    server.client().entries()

    assert server.time.slept == [17]


@pytest.mark.parametrize("asked", ["3600", "99999999999"])
def test_a_long_retry_after_ends_the_call_at_once(asked: str) -> None:
    server = Server(Reply(status=503, headers={"Retry-After": asked}))

    with pytest.raises(ConfigApiUnavailableError):
        server.client().entries()
    assert server.time.now < READING_SECONDS


@pytest.mark.parametrize("asked", ["Sun, 22 Nov 2026 07:30:00 GMT", "-5", "soon", "٣"])
def test_a_retry_after_in_another_form_is_replaced_by_the_default_pause(asked: str) -> None:
    server = Server(Reply(status=503, headers={"Retry-After": asked.encode().decode("latin-1")}), page({}))
    server.client().entries()

    assert 0 <= server.time.slept[0] <= 2


def test_all_attempts_and_pages_share_one_time_limit() -> None:
    server = Server(lambda request: page({"next": f"?{len(server.requests)}"}))

    def slow(request: requests.PreparedRequest) -> Reply:
        server.time.now += 20
        return page({"next": f"?{len(server.requests)}"})

    server.replies = [slow]
    with pytest.raises(ConfigApiUnavailableError, match="no time left"):
        server.client().entries()
    assert server.time.now <= READING_SECONDS + 20


def test_a_call_that_hangs_is_abandoned_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hangs(request: requests.PreparedRequest) -> Reply:
        release.wait(HANG_SECONDS)
        return page({})

    monkeypatch.setattr(config_client, "ANSWER_SECONDS", 0.05)
    try:
        with pytest.raises(ConfigApiUnavailableError, match="Timeout"):
            Server(hangs).client().entries()
    finally:
        release.set()


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


# ----------------------------------------------------------------------------------------------------------- reporting

REPORT = Report(run_id="r-1", status="succeeded", last_success=datetime(2026, 11, 22, 7, 30, tzinfo=UTC))


def test_a_report_is_a_patch_of_the_providers_entry() -> None:
    server = Server(page({}))
    server.client().report("a.b", REPORT)

    sent = server.requests[0]
    assert (sent.method, sent.url) == ("PATCH", URL + "/a.b")
    assert json.loads(sent.body or b"") == {
        "status": "succeeded",
        "run_id": "r-1",
        "last_success": "Sun, 22 Nov 2026 07:30:00 GMT",
    }


def test_a_query_in_the_address_stays_after_the_path() -> None:
    server = Server(page({}))
    server.client("https://config.example/providers?env=dev").report("a", REPORT)

    assert server.requests[0].url == "https://config.example/providers/a?env=dev"


def test_a_report_has_the_error_and_omits_absent_fields() -> None:
    server = Server(page({}))
    server.client().report("a", Report(run_id="r", status="failed", error="job run jr_1 ended TIMEOUT"))

    assert json.loads(server.requests[0].body or b"") == {
        "status": "failed",
        "run_id": "r",
        "error": "job run jr_1 ended TIMEOUT",
    }


def test_after_a_report_that_was_not_delivered_100_more_cost_no_time() -> None:
    server = Server(requests.ConnectionError())
    client = server.client()
    for _ in range(100):
        with pytest.raises(ConfigApiUnavailableError):
            client.report("a", REPORT)

    assert len(server.requests) == TRIES
    assert server.time.now < REPORT_SECONDS


def test_the_report_of_a_start_is_tried_only_once_because_the_run_waits_for_it() -> None:
    server = Server(Reply(status=503))

    with pytest.raises(ConfigApiUnavailableError, match="attempts: 1"):
        server.client().report("a", Report(run_id="r", status="running"))

    assert len(server.requests) == 1
    assert server.time.slept == []


def test_reports_are_sent_again_after_a_pause() -> None:
    server = Server(*[Reply(status=503)] * TRIES, page({}))
    client = server.client()
    with pytest.raises(ConfigApiUnavailableError):
        client.report("a", REPORT)
    server.time.now += REST_SECONDS

    client.report("a", REPORT)


def test_entries_are_still_read_while_reports_pause() -> None:
    server = Server(*[Reply(status=503)] * TRIES, page({"a": 1}))
    client = server.client()
    with pytest.raises(ConfigApiUnavailableError):
        client.report("a", REPORT)

    assert client.entries() == {"a": 1}


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
