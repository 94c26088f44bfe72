"""API Gateway: an HTTP listener for one REST API.

It checks the API key against the usage plan's keys, builds the proxy event (payload version 1.0), and converts the
function's result to an HTTP response.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.apigateway.models import apigateway_backends
from werkzeug.wrappers import Request, Response

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.aws.local_server import LocalServer

RESOURCE = "/{proxy+}"
MAX_BODY = 10 * 2**20
"""Quota of API Gateway: 10 MB. Source: API Gateway Developer Guide, "Quotas for configuring and running a REST API"."""
Invoke = Callable[[str, dict[str, Any]], tuple[Any, int | None]]
"""Function ARN and event -> the function's result, and API Gateway's HTTP status if the invocation failed."""


@dataclass(frozen=True)
class Proxy:
    """A REST API with the single route ANY /{proxy+}: every method of every path except the root, to one function."""

    api_id: str
    function_arn: str
    key_required: bool
    responses: dict[str, dict[str, Any]]
    """Gateway responses: type -> definition, as in x-amazon-apigateway-gateway-responses."""


class ApiGateway:
    """Listens for one REST API on 127.0.0.1, and reads stages and keys again for each request."""

    def __init__(self, proxy: Proxy, invoke: Invoke) -> None:
        self._proxy = proxy
        self._gateway = apigateway_backends[ACCOUNT_ID][REGION]
        self._invoke = invoke
        self._server = LocalServer(self._application)
        self.url = self._server.url
        self._server.start(f"api-{proxy.api_id}")

    def stop(self) -> None:
        """Stop listening."""
        self._server.stop()

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.answer(Request(environ))(environ, start_response)

    def answer(self, request: Request) -> Response:
        """Return the HTTP response to a request, whose path starts with the stage."""
        stage, _, rest = request.path.lstrip("/").partition("/")
        if stage not in [found.name for found in self._gateway.get_stages(self._proxy.api_id)]:
            return self._gateway_response("ACCESS_DENIED", 403, "Forbidden")
        path = "/" + rest.rstrip("/")
        if path == "/":  # API Gateway responds so to any path without a route
            return self._gateway_response("MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token")
        key_id = self._key_id(stage, request.headers.get("x-api-key"))
        if self._proxy.key_required and key_id is None:
            return self._gateway_response("INVALID_API_KEY", 403, "Forbidden")
        if (request.content_length or 0) > MAX_BODY:
            return self._gateway_response("REQUEST_TOO_LARGE", 413, "Request Too Long")
        event = self._event(request, stage, path, key_id)
        self._server.admit(request.environ["werkzeug.socket"])
        answer, failure = self._invoke(self._proxy.function_arn, event)
        if failure or not isinstance(answer, dict) or "statusCode" not in answer:  # a malformed proxy response
            return self._gateway_response("DEFAULT_5XX", failure or 502, "Internal server error")
        return _response(answer)

    def _gateway_response(self, kind: str, status: int, text: str) -> Response:
        """Return the template's gateway response of this type, or API Gateway's default.

        Source: API Gateway Developer Guide, "Gateway responses": static header values are in single quotes.
        """
        defined = self._proxy.responses.get(kind, {})
        template = defined.get("responseTemplates", {}).get("application/json")
        body = (template or '{"message":$context.error.messageString}').replace(
            "$context.error.messageString", json.dumps(text)
        )
        response = Response(body, int(defined.get("statusCode") or status), content_type="application/json")
        for name, value in defined.get("responseParameters", {}).items():
            response.headers[name.removeprefix("gatewayresponse.header.")] = value.strip("'")
        return response

    def _key_id(self, stage: str, value: str | None) -> str | None:
        """Return the id of the enabled API key with this value in a usage plan of this stage."""
        if not value:
            return None
        for plan in self._gateway.get_usage_plans():
            if any(s["apiId"] == self._proxy.api_id and s["stage"] == stage for s in plan.api_stages):
                for entry in self._gateway.get_usage_plan_keys(plan.id):
                    key = self._gateway.get_api_key(entry.id)
                    if key.value == value and key.enabled:
                        return str(key.id)
        return None

    def _event(self, request: Request, stage: str, path: str, key_id: str | None) -> dict[str, Any]:
        """Build API Gateway's proxy event, payload version 1.0.

        Source: API Gateway Developer Guide, "Input format of a Lambda function for proxy integration".
        """
        headers = dict(request.headers.items())
        many_headers = {name: request.headers.getlist(name) for name in headers}
        query = parse_qs(request.query_string.decode(), keep_blank_values=True)
        body, encoded = _body(request.get_data())
        now = time.time()
        identity = {"sourceIp": request.remote_addr, "userAgent": request.headers.get("User-Agent")}
        if key_id is not None:
            identity |= {"apiKey": request.headers["x-api-key"], "apiKeyId": key_id}
        return {
            "resource": RESOURCE,
            "path": path,
            "httpMethod": request.method,
            "headers": headers,
            "multiValueHeaders": many_headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": {"proxy": unquote(path[1:])},
            "stageVariables": None,
            "requestContext": {
                "accountId": ACCOUNT_ID,
                "apiId": self._proxy.api_id,
                "domainName": request.host,
                "domainPrefix": self._proxy.api_id,
                "extendedRequestId": uuid.uuid4().hex[:16],
                "httpMethod": request.method,
                "identity": identity,
                "path": f"/{stage}{path}",
                "protocol": request.environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
                "requestId": str(uuid.uuid4()),
                "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "requestTimeEpoch": int(now * 1000),
                "resourceId": "local",
                "resourcePath": RESOURCE,
                "stage": stage,
            },
            "body": body,
            "isBase64Encoded": encoded,
        }


def _body(data: bytes) -> tuple[str | None, bool]:
    if not data:
        return None, False
    try:
        return data.decode("utf-8"), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True


def _response(answer: dict[str, Any]) -> Response:
    """Convert a function's result to an HTTP response."""
    body = answer.get("body") or ""
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else str(body).encode()
    response = Response(content, int(answer["statusCode"]))
    response.headers["Content-Type"] = "application/json"
    for name, value in (answer.get("headers") or {}).items():
        response.headers[name] = str(value)
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        response.headers.setlist(name, [str(value) for value in values])
    return response
