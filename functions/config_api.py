"""The built-in config API, for those who have none: which providers there are, and how their last runs went."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from fanout import bootstrap
from fanout.bootstrap import logger, utc_now
from fanout.errors import InvalidProviderError, InvalidRequestError, TerminalError
from fanout.provider_table import EntryChangedError, UnknownProviderError, Versioned

app = APIGatewayRestResolver()

_STATUS: dict[type[TerminalError], HTTPStatus] = {
    InvalidProviderError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidRequestError: HTTPStatus.BAD_REQUEST,
    UnknownProviderError: HTTPStatus.NOT_FOUND,
    EntryChangedError: HTTPStatus.PRECONDITION_FAILED,
}


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway (REST, Lambda proxy)."""
    return app.resolve(event, context)


@app.exception_handler(list(_STATUS))  # type: ignore[untyped-decorator]
def _problem(error: TerminalError) -> Response[str]:
    """RFC 9457 problem details."""
    status = _STATUS[type(error)]
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": str(error)}
    return Response(status.value, "application/problem+json", json.dumps(body))


@app.get("/providers")
def list_providers() -> Response[str]:
    """All providers and their entries; a `Link` header with rel="next" leads to the next page."""
    page = bootstrap.provider_table().page(app.current_event.get_query_string_value("next"))
    headers = {"Link": f'<?next={quote(page.next)}>; rel="next"'} if page.next else {}
    return Response(200, "application/json", json.dumps(page.entries), headers)


@app.get("/providers/<provider>")
def get_provider(provider: str) -> Response[str]:
    """One entry."""
    return _answer(bootstrap.provider_table().get(provider))


@app.put("/providers/<provider>")
def put_provider(provider: str) -> Response[str]:
    """Create or replace an entry; If-Match and If-None-Match: * guard it."""
    return _answer(bootstrap.provider_table().put(provider, _body(), utc_now(), _expected()))


@app.patch("/providers/<provider>")
def patch_provider(provider: str) -> Response[str]:
    """Change some fields of an entry; null removes one. Runs report themselves this way."""
    return _answer(bootstrap.provider_table().patch(provider, _body(), utc_now(), _expected()))


@app.delete("/providers/<provider>")
def delete_provider(provider: str) -> Response[str]:
    """Remove an entry."""
    bootstrap.provider_table().delete(provider, _expected())
    return Response(204)


def _answer(versioned: Versioned) -> Response[str]:
    return Response(200, "application/json", json.dumps(versioned.entry), {"ETag": f'"{versioned.version}"'})


def _body() -> dict[str, Any]:
    try:
        body = json.loads(app.current_event.body or "")
    except ValueError:
        raise InvalidRequestError("the body must be a JSON object") from None
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be a JSON object")
    return body


def _expected() -> int | None:
    """The version that If-Match or If-None-Match asks for."""
    if app.current_event.headers.get("If-None-Match") == "*":
        return 0
    given = app.current_event.headers.get("If-Match")
    if given is None or given == "*":
        return None
    if not given.strip('"').isdigit():
        raise InvalidRequestError("If-Match must be an ETag that this API gave")
    return int(given.strip('"'))
