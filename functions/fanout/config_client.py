"""Client of the config API: reads the list of providers and reports runs, with limits on time, size and address."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError

from contract.times import format_http_date
from fanout.errors import ConfigApiAccessError, ConfigApiAnswerError, ConfigApiUnavailableError, SettingsError
from fanout.providers import read_entries
from fanout.runs import Report

CONNECT_SECONDS = 3.05
READ_SECONDS = 29.0
"""The longest wait for the next bytes of an answer: as long as API Gateway waits for a function."""
ANSWER_SECONDS = 30.0
"""The longest attempt: a server that sends single bytes never reaches `READ_SECONDS`."""
READING_SECONDS = 90.0
"""The longest time for reading all pages with all retries: less than a third of the dispatcher's five minutes."""
REPORT_SECONDS = 20.0
"""The longest time for one report with its retries."""
BEGIN_SECONDS = 5.0
"""The longest time for the report that a run started. It has no retry: the run waits for it, and no rule uses it."""
REST_SECONDS = 30.0
"""How long, after a failed report, further reports fail without a request: a hundred of them may be pending."""
MAX_ANSWER_BYTES = 32 * 2**20
MAX_BYTES = 64 * 2**20
"""Limit for all pages together. JSON objects take up to 22 times their text in memory: 1.4 of the function's 1.7 GB."""
MAX_REFUSAL_BYTES = 4096
MAX_PAGES = 1000
MAX_REDIRECTS = 3
TRIES = 3

_CHUNK = 64 * 1024
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class Answer:
    """An answer of the config API; the body of a refusal is cut at `MAX_REFUSAL_BYTES`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    next_link: str | None


@dataclass(frozen=True)
class _Page:
    entries: dict[str, object]
    following: str
    etag: str | None


class HttpConfigApi:
    """The config API over HTTP: GET {url}, PATCH {url}/{provider}, with the header `x-api-key`.

    Parameters
    ----------
    url
        Address of the list of providers; https, or http on a loopback address.
    key
        Returns the API key; called with True if the key that it returned before was refused.
    session, sleep, clock
        Replaced by tests.

    Raises
    ------
    SettingsError
        The key must not be sent to this address.
    """

    def __init__(
        self,
        url: str,
        key: Callable[[bool], str],
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            self._origin = _origin(url)
        except ValueError as error:
            raise SettingsError(f"CONFIG_API_URL is invalid: {error}") from None
        self._url = url.rstrip("/")
        self._name = f"the config API at {urlsplit(url).netloc}"
        self._key = key
        self._session = session or requests.Session()
        self._sleep = sleep
        self._clock = clock
        self._pages: dict[str, _Page] = {}
        self._resting_until = clock()

    def entries(self) -> Mapping[str, object]:
        """Read every page of entries.

        The address of the next page is in a `Link` header with rel="next", or in a string under the key `next` of the
        answer; an object under this key is a provider with that name. If two pages have the same provider, the later
        page counts: the list changed while it was read. A page whose ETag the server confirms (304) is reused.

        Returns
        -------
        Provider -> its entry, both not validated. An entry with duplicate names is an `InvalidEntry`.

        Raises
        ------
        ConfigApiUnavailableError
            No answer within the timeouts and retries.
        ConfigApiAccessError
            The key was refused, also after it was read again.
        ConfigApiAnswerError
            The answer is not a JSON object, is too large, or redirects to another host. An invalid answer never counts
            as an empty list.
        """
        deadline = self._clock() + READING_SECONDS
        entries: dict[str, object] = {}
        pages: dict[str, _Page] = {}
        room, url = MAX_BYTES, self._url
        while url:
            if url in pages or len(pages) == MAX_PAGES:
                raise ConfigApiAnswerError(f"{self._name} has more than {MAX_PAGES} pages, or circular links")
            known = self._pages.get(url)
            headers = {"If-None-Match": known.etag} if known else {}
            answer = self._call("GET", url, deadline, room=min(room, MAX_ANSWER_BYTES), headers=headers)
            page = known if answer.status == 304 and known else self._page(url, answer)
            entries.update(page.entries)
            pages[url] = page
            room -= len(answer.body)
            url = page.following
        self._pages = {address: page for address, page in pages.items() if page.etag}
        return entries

    def report(self, provider: str, report: Report) -> None:
        """PATCH the outcome of a run onto the provider's entry.

        Raises
        ------
        ConfigApiUnavailableError, ConfigApiAccessError, ConfigApiAnswerError
            As for `entries`.
        """
        if self._clock() < self._resting_until:
            raise ConfigApiUnavailableError(f"{self._name} did not accept a report a moment ago")
        body = report.model_dump(include={"status", "run_id", "error"}, exclude_none=True)
        if report.last_success is not None:
            body["last_success"] = format_http_date(report.last_success)
        tries, seconds = (1, BEGIN_SECONDS) if report.status == "running" else (TRIES, REPORT_SECONDS)
        try:
            self.change("PATCH", provider, body, tries=tries, seconds=seconds)
        except ConfigApiUnavailableError:
            self._resting_until = self._clock() + REST_SECONDS
            raise

    def change(
        self,
        method: str,
        provider: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        tries: int = 1,
        seconds: float = REPORT_SECONDS,
    ) -> Answer:
        """Send a request about one provider; by default once, because a repetition may do harm.

        Raises
        ------
        ConfigApiUnavailableError, ConfigApiAccessError, ConfigApiAnswerError
            As for `entries`; the last one has the status and the beginning of the answer.
        """
        scheme, netloc, path, query, _ = urlsplit(self._url)
        url = urlunsplit((scheme, netloc, f"{path}/{quote(provider, safe='')}", query, ""))
        deadline = self._clock() + seconds
        return self._call(method, url, deadline, tries=tries, json=body, headers=dict(headers or {}))

    def _page(self, url: str, answer: Answer) -> _Page:
        entries, link = read_entries(answer.body), answer.next_link
        if isinstance(entries.get("next", ""), str | None):
            link = link or entries.get("next")  # type: ignore[assignment]
            entries.pop("next", None)
        following = self._same_origin(url, link, "its 'next' link leads") if link else ""
        return _Page(entries, following, answer.headers.get("ETag"))

    def _call(
        self, method: str, url: str, deadline: float, room: int = MAX_ANSWER_BYTES, tries: int = TRIES, **request: Any
    ) -> Answer:
        """Send a request until it is answered, or the attempts or the time are used up."""
        failure, tried = "no time left", 0
        while self._clock() < deadline:
            tried += 1
            asked = 0.0
            try:
                answer = self._authorised(method, url, deadline, room, **request)
            except (requests.RequestException, HTTPError, OSError) as error:
                failure = type(error).__name__  # its text may contain the request
            else:
                if answer.status not in _PASSING:
                    return self._checked(answer, method, url)
                failure = f"HTTP {answer.status}"
                asked = _retry_after(answer.headers)
            pause = max(asked, random.uniform(0, 2**tried))  # noqa: S311 - jitter, not a secret
            if tried == tries or self._clock() + pause >= deadline:
                break
            self._sleep(pause)
        raise ConfigApiUnavailableError(
            f"{self._name} did not answer {method} ({failure}; attempts: {tried}); check that it is up and reachable"
        )

    def _authorised(self, method: str, url: str, deadline: float, room: int, **request: Any) -> Answer:
        """Send a request with the key; if it is refused and was rotated, repeat the request with the new key."""
        key = self._usable_key(refused=False)
        answer = self._send(method, url, key, deadline, room, **request)
        if answer.status in _REFUSED and (new := self._usable_key(refused=True)) != key:
            answer = self._send(method, url, new, deadline, room, **request)
        return answer

    def _usable_key(self, refused: bool) -> str:
        key = self._key(refused).strip()
        if not key or not (key.isascii() and key.isprintable()):
            raise ConfigApiAccessError(
                "the secret in CONFIG_API_KEY_SECRET does not contain a valid x-api-key; store the key as plain text"
            )
        return key

    def _send(self, method: str, url: str, key: str, deadline: float, room: int, **request: Any) -> Answer:
        """Exchange request and answer in a thread, and stop waiting for it when the time is up.

        Socket timeouts limit only the time without a byte. A slow DNS lookup, or a server that sends its header lines
        slowly, does not reach them.
        """
        exchanged: Future[Answer] = Future()
        abandoned = threading.Event()

        def run() -> None:
            try:
                exchanged.set_result(self._exchange(method, url, key, room, abandoned, **request))
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                exchanged.set_exception(error)

        threading.Thread(target=run, name="config-api", daemon=True).start()
        try:
            return exchanged.result(timeout=min(ANSWER_SECONDS, deadline - self._clock()))
        except TimeoutError:
            abandoned.set()
            raise requests.Timeout("the answer took too long") from None

    def _exchange(
        self, method: str, url: str, key: str, room: int, abandoned: threading.Event, **request: Any
    ) -> Answer:
        headers = {
            "x-api-key": key,
            "User-Agent": "glue-fanout",
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed answer could exceed the limit when unpacked
            **request.pop("headers"),
        }
        adapter = self._session.get_adapter(url)  # a session would read the body of a redirect, whatever its size
        for _ in range(MAX_REDIRECTS + 1):
            prepared = requests.Request(method, url, headers, **request).prepare()
            with adapter.send(prepared, timeout=(CONNECT_SECONDS, READ_SECONDS)) as response:
                if not response.is_redirect:
                    if response.ok:
                        body = self._content(response, room, abandoned)
                    else:
                        body = response.raw.read1(MAX_REFUSAL_BYTES, decode_content=False)
                    return Answer(
                        response.status_code, response.headers, body, response.links.get("next", {}).get("url")
                    )
                url = self._same_origin(url, response.headers["Location"], "it redirects")
        raise ConfigApiAnswerError(f"{self._name} redirects more than {MAX_REDIRECTS} times")

    def _content(self, response: requests.Response, room: int, abandoned: threading.Event) -> bytes:
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ConfigApiAnswerError(
                f"{self._name} sent a compressed answer, which the request excludes; disable compression, because a "
                "small answer could unpack to any size"
            )
        content = bytearray()
        while chunk := response.raw.read1(_CHUNK):
            content += chunk
            if len(content) > room:
                raise ConfigApiAnswerError(
                    f"{self._name} answered more than {MAX_ANSWER_BYTES // 2**20} MiB in one page or "
                    f"{MAX_BYTES // 2**20} MiB in all; reduce its entries or pages"
                )
            if abandoned.is_set():
                raise requests.Timeout("the time for this answer is up")
        return bytes(content)

    def _checked(self, answer: Answer, method: str, url: str) -> Answer:
        status = answer.status
        if status in _REFUSED:
            raise ConfigApiAccessError(
                f"{self._name} refused the key (HTTP {status}); store its current key in the secret in "
                "CONFIG_API_KEY_SECRET"
            )
        if status != 304 and not 200 <= status < 300:
            raise ConfigApiAnswerError(
                f"{self._name} answered HTTP {status} to {method} {urlsplit(url).path}; check ConfigApiUrl",
                status,
                answer.body.decode(errors="replace"),
            )
        return answer

    def _same_origin(self, base: str, link: str, what: str) -> str:
        """The address of a link, if the key may be sent to it."""
        try:
            url = urljoin(base, link)
            trusted = _origin(url) == self._origin
        except ValueError:
            trusted = False
        if not trusted:
            raise ConfigApiAnswerError(
                f"{self._name}: {what} to another host, which must not get the key; set ConfigApiUrl to the final "
                "address"
            )
        return url


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address that the key may be sent to.

    Raises
    ------
    ValueError
        The address has a user or password, or would expose the key to the network.
    """
    parts = urlsplit(url)
    if parts.username is not None or not parts.hostname or parts.scheme not in _PORTS:
        raise ValueError("must be an https address without user and password")
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ValueError(f"must be an https address; http://{parts.hostname} would expose the key to the network")
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _retry_after(headers: Mapping[str, str]) -> float:
    """The seconds in a Retry-After header; 0 if it is missing or a date, which would need the server's clock."""
    asked = headers.get("Retry-After", "")
    return float(asked) if asked.isascii() and asked.isdigit() else 0.0
