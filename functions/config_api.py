"""The built-in config API: the list of providers, and the results of their last runs.

`python -m tools.reference` generates docs/openapi.json from this file.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import BotoCoreError, ClientError

from fanout.bootstrap import client, logger, utc_now
from fanout.errors import InvalidProviderError, InvalidRequestError, TerminalError
from fanout.providers import check_name
from fanout.settings import ProvidersSettings
from registry.document import Entry, EntryTooLargeError, read_json
from registry.phrases import TOO_LARGE, UNPROCESSABLE, phrase
from registry.preconditions import Precondition
from registry.table import EntryChangedError, ProviderTable, Stored, UnknownProviderError

LIST, ONE = "/providers", "/providers/<provider>"
ALLOWED = {LIST: ("GET",), ONE: ("GET", "PUT", "PATCH", "DELETE")}

app = APIGatewayRestResolver()

_STATUS: dict[type[TerminalError], HTTPStatus] = {
    InvalidProviderError: UNPROCESSABLE,
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    EntryTooLargeError: TOO_LARGE,
    UnknownProviderError: HTTPStatus.NOT_FOUND,
    EntryChangedError: HTTPStatus.PRECONDITION_FAILED,
}


@cache
def table() -> ProviderTable:
    """The table of providers, created at first use."""
    return ProviderTable(client("dynamodb"), ProvidersSettings.from_environment(os.environ).providers_table)


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway (REST, Lambda proxy)."""
    return app.resolve(event, context)


@app.get(LIST)
def list_providers() -> Response[str]:
    """List the providers and their entries. A `Link` header with rel="next" has the address of the next page."""
    after = app.current_event.get_query_string_value("next")
    if after is not None:
        try:
            check_name(after)
        except InvalidProviderError:
            raise InvalidRequestError("next must be from the Link header of an earlier answer") from None
    page = table().page(after)
    headers = {"Link": f'<?next={quote(page.next)}>; rel="next"'} if page.next else {}
    return _answer(page.document, page.etag, headers)


@app.get(ONE)
def get_provider(provider: str) -> Response[str]:
    """Read one entry."""
    stored = table().get(provider)
    return _answer(stored.document, stored.etag)


@app.put(ONE)
def put_provider(provider: str) -> Response[str]:
    """Create or replace an entry."""
    stored, new = table().put(provider, _body(), utc_now(), _expected)
    return _stored(stored, HTTPStatus.CREATED if new else HTTPStatus.OK)


@app.patch(ONE)
def patch_provider(provider: str) -> Response[str]:
    """Change some fields of an entry; null removes a field. Runs send their reports this way."""
    return _stored(table().patch(provider, _body(), utc_now(), _expected), HTTPStatus.OK)


@app.delete(ONE)
def delete_provider(provider: str) -> Response[str]:
    """Remove an entry. The run ledger keeps the provider's bookmark."""
    table().delete(provider, _expected)
    return Response(HTTPStatus.NO_CONTENT.value)


@app.exception_handler(list(_STATUS))  # type: ignore[untyped-decorator]
def _refused(error: TerminalError) -> Response[str]:
    return _problem(_STATUS[type(error)], str(error))


@app.exception_handler([ClientError, BotoCoreError])  # type: ignore[untyped-decorator]
def _unavailable(error: Exception) -> Response[str]:
    logger.error("DynamoDB is not available", extra={"error": type(error).__name__, "reason": str(error)})
    detail = "the table of providers is not available; repeat the request after a second"
    return _problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})


@app.not_found
def _no_such_route(error: Exception) -> Response[str]:
    """405 if the path exists, but not with this method; Powertools alone would answer 404."""
    for path, allowed in ALLOWED.items():
        address = path.replace("<provider>", "[^/]+") + "/*"
        if app.current_event.http_method not in allowed and re.fullmatch(address, app.current_event.path):
            methods = ", ".join(allowed)
            return _problem(HTTPStatus.METHOD_NOT_ALLOWED, f"this resource supports {methods}", {"Allow": methods})
    return _problem(HTTPStatus.NOT_FOUND, "the paths are /providers and /providers/{provider}")


def _problem(status: HTTPStatus, detail: str, headers: dict[str, str] | None = None) -> Response[str]:
    """RFC 9457 problem details."""
    body = {"type": "about:blank", "title": phrase(status), "status": status.value, "detail": detail}
    return Response(status.value, "application/problem+json", json.dumps(body), dict(headers or {}))


def _answer(document: str, etag: str, headers: dict[str, str] | None = None) -> Response[str]:
    """A document, or 304 if the client has it already."""
    tagged = {**(headers or {}), "ETag": f'"{etag}"', "Cache-Control": "no-cache"}
    precondition = Precondition.of(None, app.current_event.headers.get("If-None-Match"))
    if not precondition.holds(etag):
        return Response(HTTPStatus.NOT_MODIFIED.value, headers=dict(tagged))
    return Response(HTTPStatus.OK.value, "application/json", document, dict(tagged))


def _stored(stored: Stored, status: HTTPStatus) -> Response[str]:
    return Response(status.value, "application/json", stored.document, {"ETag": f'"{stored.etag}"'})


def _body() -> Entry:
    try:
        return read_json(app.current_event.decoded_body or "")
    except UnicodeDecodeError:
        raise InvalidRequestError("the body must be a JSON object in UTF-8") from None


def _expected(stored: Stored | None) -> bool:
    """Whether the request's If-Match and If-None-Match headers match the stored entry."""
    headers = app.current_event.headers
    precondition = Precondition.of(headers.get("If-Match"), headers.get("If-None-Match"))
    return precondition.holds(stored.etag if stored else None)
