"""Client of the config API: reads the providers' entries, reports runs. Bounded in time, size and trust."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import requests

from fanout.errors import (
    ConfigApiAccessError,
    ConfigApiAnswerError,
    ConfigApiUnavailableError,
    SettingsError,
)
from fanout.ledger import Report
from fanout.times import format_http_date

CONNECT_SECONDS = 3.05
READ_SECONDS = 10.0
ANSWER_SECONDS = 30.0
"""Bound on one whole answer; a server that drips bytes never trips the read time-out."""
MAX_BYTES = 64 * 1024 * 1024
MAX_PAGES = 1000
MAX_REDIRECTS = 3
TRIES = 3
_RETRY_STATUS = {429, 500, 502, 503, 504}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class ConfigApi(Protocol):
    """What the dispatcher and the runs need of the config API."""

    def entries(self) -> Mapping[str, object]:
        """Every provider's entry, unvalidated."""
        ...

    def report(self, provider: str, report: Report) -> None:
        """Tell how a run of the provider stands."""
        ...


class HttpConfigApi:
    """The config API over HTTP, as DESIGN's contract has it: GET {url}, PATCH {url}/{provider}, `x-api-key`.

    Parameters
    ----------
    url
        Address of the list of providers; https, or http on a loopback address.
    key
        Gives the API key; called with True when the key it gave before was refused.
    session, sleep, clock
        Seams for tests.
    """

    def __init__(
        self,
        url: str,
        key: Callable[[bool], str],
        session: requests.Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise SettingsError(f"CONFIG_API_URL must be an https address, not {parts.scheme}://{parts.hostname}")
        self._url = url.rstrip("/")
        self._key = key
        self._session = session or requests.Session()
        self._session.trust_env = False  # a .netrc entry or proxy variable must not see the key
        self._sleep = sleep
        self._clock = clock
        self._pages: dict[str, tuple[str, dict[str, object], str | None]] = {}

    def entries(self) -> Mapping[str, object]:
        """Read every page of entries.

        A page whose ETag the server confirms (304) is taken from the last answer.

        Returns
        -------
        Mapping of provider name to its entry, both unvalidated.

        Raises
        ------
        ConfigApiUnavailableError
            No answer within the time-outs and retries.
        ConfigApiAccessError
            The key was refused, also after it was fetched again.
        ConfigApiAnswerError
            Not a JSON object, too large, or a redirect to another host. An unusable answer is never taken
            for "nothing is due".
        """
        entries: dict[str, object] = {}
        page: str | None = self._url
        for _ in range(MAX_PAGES):
            if page is None:
                return entries
            page_entries, page = self._read_page(page)
            entries.update(page_entries)
        raise ConfigApiAnswerError(
            f"the config API has more than {MAX_PAGES} pages, or its 'next' links go in a circle"
        )

    def report(self, provider: str, report: Report) -> None:
        """PATCH the outcome of a run onto the provider's entry.

        Raises
        ------
        ConfigApiUnavailableError, ConfigApiAccessError, ConfigApiAnswerError
            As for `entries`.
        """
        body: dict[str, str] = {"status": report.status, "run_id": report.run_id}
        if report.last_success is not None:
            body["last_success"] = format_http_date(report.last_success)
        if report.error is not None:
            body["error"] = report.error
        self._call("PATCH", f"{self._url}/{provider}", json=body)

    def _read_page(self, url: str) -> tuple[dict[str, object], str | None]:
        known = self._pages.get(url)
        response, content = self._call("GET", url, headers={"If-None-Match": known[0]} if known else {})
        if response.status_code == 304 and known:
            return known[1], known[2]
        entries = _parse(content)
        link = response.links.get("next", {}).get("url")
        following = urljoin(url, link) if link else None
        if following:
            self._check_same_origin(following, "its 'next' link leads")
        if etag := response.headers.get("ETag"):
            self._pages[url] = (etag, entries, following)
        return entries, following

    def _call(self, method: str, url: str, **request: Any) -> tuple[requests.Response, bytes]:
        refused = False
        failure = ""
        for attempt in range(TRIES):
            if attempt:
                self._sleep(random.uniform(0, 2**attempt))  # noqa: S311 - jitter, not a secret
            try:
                response, content = self._send(method, url, self._key(refused), **request)
                if response.status_code in (401, 403) and not refused:
                    refused = True  # rotated since we read it, perhaps
                    response, content = self._send(method, url, self._key(refused), **request)
            except requests.RequestException as error:
                failure = type(error).__name__  # its text may quote the request
                continue
            if response.status_code in _RETRY_STATUS:
                failure = f"HTTP {response.status_code}"
                continue
            self._check(response)
            return response, content
        raise ConfigApiUnavailableError(
            f"the config API at {self._where} did not answer {method} after {TRIES} tries ({failure}); "
            "check that it is up and reachable from the function"
        )

    def _send(self, method: str, url: str, key: str, **request: Any) -> tuple[requests.Response, bytes]:
        headers = {
            "x-api-key": key,
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed answer could unpack past the size cap
            **request.pop("headers", {}),
        }
        for _ in range(MAX_REDIRECTS + 1):
            with self._session.request(
                method,
                url,
                headers=headers,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                stream=True,
                **request,
            ) as response:
                if not response.is_redirect:
                    return response, self._content(response)
                url = urljoin(url, response.headers["Location"])
                self._check_same_origin(url, "it redirects")
        raise ConfigApiAnswerError(f"the config API at {self._where} redirects more than {MAX_REDIRECTS} times")

    def _content(self, response: requests.Response) -> bytes:
        deadline = self._clock() + ANSWER_SECONDS
        content = bytearray()
        for chunk in response.iter_content(64 * 1024):
            content += chunk
            if len(content) > MAX_BYTES:
                raise ConfigApiAnswerError(
                    f"the config API at {self._where} answered more than {MAX_BYTES // 2**20} MiB; page its answer"
                )
            if self._clock() > deadline:
                raise requests.Timeout("the answer took too long")
        return bytes(content)

    def _check(self, response: requests.Response) -> None:
        status = response.status_code
        if status in (401, 403):
            raise ConfigApiAccessError(
                f"the config API at {self._where} refused the key (HTTP {status}); put its current key into the secret "
                "that CONFIG_API_KEY_SECRET names"
            )
        if status != 304 and not 200 <= status < 300:
            raise ConfigApiAnswerError(
                f"the config API at {self._where} answered HTTP {status} to {response.request.method} "
                f"{urlsplit(response.url).path}; check ConfigApiUrl"
            )

    def _check_same_origin(self, url: str, what: str) -> None:
        ours, theirs = urlsplit(self._url), urlsplit(url)
        if (ours.scheme, ours.netloc) != (theirs.scheme, theirs.netloc):
            raise ConfigApiAnswerError(
                f"the config API at {self._where}: {what} to another host, which must not get the key; set "
                "ConfigApiUrl to the address that answers"
            )

    @property
    def _where(self) -> str:
        return urlsplit(self._url).netloc


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _parse(content: bytes) -> dict[str, object]:
    try:
        entries = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ConfigApiAnswerError(
            "the config API did not answer JSON; does ConfigApiUrl point at the list of providers?"
        ) from None
    if not isinstance(entries, dict):
        raise ConfigApiAnswerError(
            f"the config API answered a JSON {type(entries).__name__}, not an object of provider to entry"
        )
    return entries
