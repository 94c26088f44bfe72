"""Changing providers in the config API over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from cli.errors import AccessError, OperatorError, UsageError
from fanout.config_client import Answer, HttpConfigApi
from fanout.errors import ConfigApiAnswerError
from fanout.providers import check_name


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
        self._api = HttpConfigApi(url, key)

    def get(self, provider: str) -> tuple[dict[str, Any], str | None]:
        """An entry and its ETag.

        Raises
        ------
        UsageError
            There is no such provider.
        """
        answer = self._call("GET", provider)
        return json.loads(answer.body), answer.headers.get("ETag")

    def create(self, provider: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Register a provider that is not there yet."""
        return self._entry("PUT", provider, entry, {"If-None-Match": "*"})

    def replace(self, provider: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Register a provider, or replace its entry."""
        return self._entry("PUT", provider, entry)

    def change(self, provider: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some fields; None removes one."""
        return self._entry("PATCH", provider, changes)

    def remove(self, provider: str) -> None:
        """Take a provider off the list."""
        self._call("DELETE", provider)

    def _entry(
        self, method: str, provider: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        entry: dict[str, Any] = json.loads(self._call(method, provider, body, headers).body)
        return entry

    def _call(
        self,
        method: str,
        provider: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        try:
            return self._api.change(method, check_name(provider), body, headers)
        except ConfigApiAnswerError as error:
            raise _in_operators_words(error, method, provider) from None


def _in_operators_words(error: ConfigApiAnswerError, method: str, provider: str) -> OperatorError:
    status = error.status
    if status is None:
        return AccessError(str(error))
    if status == 404:
        return UsageError(f"there is no provider {provider}; `fanout providers list` shows all")
    if status == 412:
        return UsageError(f"{provider} is there already; change it with `fanout providers set {provider}`")
    if status in (405, 501):
        return UsageError(f"this config API does not take {method}: change {provider} where it is kept")
    if status < 500:
        return UsageError(f"the config API refused {provider} (HTTP {status}): {_detail(error.answer)}")
    return AccessError(f"the config API answered HTTP {status} to {method} of {provider}; try again")


def _detail(answer: str) -> str:
    """What problem details (RFC 9457) say, else the beginning of whatever came."""
    try:
        body = json.loads(answer)
        return str(body.get("detail") or body.get("message") or body)[:300]
    except (ValueError, AttributeError):
        return answer[:300]
