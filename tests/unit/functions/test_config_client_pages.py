"""The config client reads pages: links, redirects and the cache."""

from __future__ import annotations

import pytest
import requests

from fanout.config_client import (
    MAX_PAGES,
    MAX_REDIRECTS,
)
from fanout.errors import ConfigApiAnswerError
from tests.harness.config_server import KEY, URL, Server, page
from tests.harness.transport import Reply

# ------------------------------------------------------------------------------------------------------------- reading


def test_the_request_has_the_key_and_asks_for_no_compression() -> None:
    server = Server(page({"a": {"frequency": 1}}))

    assert server.client().entries() == {"a": {"frequency": 1}}
    sent = server.requests[0]
    assert (sent.method, sent.url, sent.headers["x-api-key"]) == ("GET", URL, KEY)
    assert sent.headers["Accept-Encoding"] == "identity"
    assert server.keys_asked == [False], "the key is not read again"


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
    assert len(server.requests) == 1 + MAX_REDIRECTS


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


def test_a_page_without_an_etag_is_read_again() -> None:
    server = Server(page({"a": 1}), page({"a": 2}))
    client = server.client()
    client.entries()

    assert client.entries() == {"a": 2}
    assert "If-None-Match" not in server.requests[1].headers


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
