"""Changing providers in the config API over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from cli.errors import AccessError, OperatorError, UsageError
from fanout.providers import check_name

TIMEOUT = (5, 30)
"""Seconds to connect, and between two bytes of an answer."""


class Registry:
    """The config API as the operator writes to it.

    Parameters
    ----------
    url
        Of the list of providers.
    key
        Gives the API key; called with True when the one before was refused.
    """

    def __init__(self, url: str, key: Callable[[bool], str]) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy or .netrc must not see the key

    def get(self, provider: str) -> tuple[dict[str, Any], str | None]:
        """An entry and its ETag.

        Raises
        ------
        UsageError
            There is no such provider.
        """
        response = self._call("GET", provider)
        return response.json(), response.headers.get("ETag")

    def create(self, provider: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Register a provider that is not there yet."""
        entry_now: dict[str, Any] = self._call("PUT", provider, entry, {"If-None-Match": "*"}).json()
        return entry_now

    def replace(self, provider: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Register a provider, or replace its entry."""
        entry_now: dict[str, Any] = self._call("PUT", provider, entry).json()
        return entry_now

    def change(self, provider: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some fields; None removes one."""
        entry_now: dict[str, Any] = self._call("PATCH", provider, changes).json()
        return entry_now

    def remove(self, provider: str) -> None:
        """Take a provider off the list."""
        self._call("DELETE", provider)

    def _call(
        self,
        method: str,
        provider: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        url = f"{self._url}/{quote(check_name(provider), safe='')}"
        response = self._send(method, url, body, headers, refused=False)
        if response.status_code in (401, 403):
            response = self._send(method, url, body, headers, refused=True)
        if response.ok:
            return response
        raise self._error(method, provider, response)

    def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None, *, refused: bool
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                url,
                json=body,
                headers={"x-api-key": self._key(refused), **(headers or {})},
                timeout=TIMEOUT,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise AccessError(
                f"the config API at {urlsplit(url).netloc} does not answer ({type(error).__name__}); check that it is "
                "up and reachable from here"
            ) from None

    def _error(self, method: str, provider: str, response: requests.Response) -> OperatorError:
        status, detail = response.status_code, _detail(response)
        if status in (401, 403):
            return AccessError(
                f"the config API refused the key (HTTP {status}): put its current key into the secret of the stack"
            )
        if status == 404:
            return UsageError(f"there is no provider {provider}; `fanout providers list` shows all")
        if status == 412:
            return UsageError(f"{provider} is there already; change it with `fanout providers set {provider}`")
        if status in (405, 501):
            return UsageError(f"this config API does not take {method}: change {provider} where it is kept")
        if 400 <= status < 500:
            return UsageError(f"the config API refused {provider} (HTTP {status}): {detail}")
        return AccessError(f"the config API answered HTTP {status} to {method} of {provider}: {detail}; try again")


def _detail(response: requests.Response) -> str:
    """What problem details (RFC 9457) say, else the beginning of whatever came."""
    try:
        body = json.loads(response.content)
        return str(body.get("detail") or body.get("message") or body)[:300]
    except (ValueError, AttributeError):
        return response.text[:300]
