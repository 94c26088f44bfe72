"""Requests of operators to the config API about one provider, with errors in an operator's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fanout.errors import ConfigApiAnswerError
from fanout.providers import check_name

from .deployment import Deployment
from .errors import AccessError, OperatorError, UsageError

AGAIN = 5
"""Attempts for a request that has the same effect if it is repeated."""
NEW = {"If-None-Match": "*"}
"""A header with which a PUT adds a provider, but does not replace one."""


class ProviderExistsError(UsageError):
    """A provider that was to be added exists already."""


def add(stack: Deployment, provider: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Add a provider; the attempts after a lost answer find it as they made it.

    Raises
    ------
    ProviderExistsError
        The provider exists with another entry.
    """
    try:
        return call(stack, "PUT", provider, entry, NEW, tries=AGAIN)
    except ProviderExistsError:
        found = call(stack, "GET", provider)
        if any(found.get(name) != value for name, value in entry.items()):
            raise
        return found


def call(
    stack: Deployment,
    method: str,
    provider: str,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    tries: int = 1,
) -> dict[str, Any]:
    """Send a request about a provider to the config API; return its entry afterwards, empty if it was removed.

    A request that may be repeated is sent up to `tries` times while the API throttles it or does not answer.
    """
    try:
        answer = stack.config_api.change(method, check_name(provider), body, headers, tries=tries)
    except ConfigApiAnswerError as error:
        if method == "DELETE" and error.status == 404:  # an attempt whose answer was lost, or another operator
            return {}
        raise _in_operators_words(error, method, provider) from None
    entry: dict[str, Any] = json.loads(answer.body or "{}")
    return entry


def _in_operators_words(error: ConfigApiAnswerError, method: str, provider: str) -> OperatorError:
    status = error.status
    if status is None:
        return AccessError(str(error))
    if status == 404:
        return UsageError(f"provider {provider} not found; list all with `fanout providers list`")
    if status == 412:
        return ProviderExistsError(f"{provider} exists already; change it with `fanout set {provider}`")
    if status in (405, 501):
        return UsageError(f"this config API does not support {method}; change {provider} at its source")
    if status < 500:
        return UsageError(f"the config API rejected {provider} (HTTP {status}): {_detail(error.answer)}")
    return AccessError(f"{provider}: the config API answered HTTP {status} to the {method} request; try again")


def _detail(answer: str) -> str:
    """The detail of an RFC 9457 problem, or else the beginning of the answer."""
    try:
        body = json.loads(answer)
        return str(body.get("detail") or body.get("message") or body)[:300]
    except (ValueError, AttributeError):
        return answer[:300]
