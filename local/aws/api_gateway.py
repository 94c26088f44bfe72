"""A real HTTP listener for a REST API whose methods are Lambda functions.

It does what API Gateway does in front of a function: finds the method, checks the API key against the usage plan's
keys, builds the version 1.0 proxy event, and turns the function's answer into an HTTP response.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

Invoke = Callable[[str, dict[str, Any]], tuple[Any, int | None]]
"""Function ARN and event -> its answer, and the HTTP status that API Gateway gives for it when it failed."""


@dataclass(frozen=True)
class Route:
    """One method of a REST API with the function that it invokes.

    Attributes
    ----------
    method
        HTTP method, or ANY.
    path
        The resource's path, for example "/providers/{name}".
    function_arn
        The Lambda function behind it.
    key_required
        Whether a request needs an API key.
    """

    method: str
    path: str
    function_arn: str
    key_required: bool


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are to be seen in the functions' logs, not on the screen."""


class ApiGateway:
    """Listens for one REST API on 127.0.0.1.

    Parameters
    ----------
    api_id
        REST API id.
    routes
        Its methods.
    client
        Service name -> boto3 client; stages and keys are looked up at each request.
    invoke
        Runs a function.
    account_id
        Told to the functions.
    port
        0 for any free one.
    """

    def __init__(
        self,
        api_id: str,
        routes: list[Route],
        client: Callable[[str], Any],
        invoke: Invoke,
        account_id: str,
        port: int = 0,
    ) -> None:
        self._api_id = api_id
        self._routes = [(_pattern(route.path), route) for route in sorted(routes, key=_specificity)]
        self._client = client
        self._invoke = invoke
        self._account_id = account_id
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", port, self._application, threaded=True, request_handler=_QuietHandler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name=f"api-{api_id}", daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        return self.answer(Request(environ))(environ, start_response)

    def answer(self, request: Request) -> Response:
        """The HTTP response to a request; paths start with the stage."""
        stage, _, rest = request.path.lstrip("/").partition("/")
        gateway = self._client("apigateway")
        stages = {item["stageName"] for item in gateway.get_stages(restApiId=self._api_id)["item"]}
        if stage not in stages:
            return self._own_answer("ACCESS_DENIED", 403, "Forbidden")
        path = "/" + rest.rstrip("/")
        found = self._find(request.method, path)
        if found is None:  # what API Gateway answers to a path or method that the API does not have
            return self._own_answer("MISSING_AUTHENTICATION_TOKEN", 403, "Missing Authentication Token")
        route, parameters = found
        key_id = self._key_id(stage, request.headers.get("x-api-key"))
        if route.key_required and key_id is None:
            return self._own_answer("INVALID_API_KEY", 403, "Forbidden")
        event = self._event(request, stage, path, route, parameters, key_id)
        answer, failure = self._invoke(route.function_arn, event)
        if failure or not isinstance(answer, dict) or "statusCode" not in answer:  # a malformed proxy response
            return self._own_answer("DEFAULT_5XX", failure or 502, "Internal server error")
        return _response(answer)

    def _own_answer(self, kind: str, status: int, text: str) -> Response:
        """What API Gateway answers by itself: the template's gateway response of this type, else its own default."""
        for entry in self._client("apigateway").get_gateway_responses(restApiId=self._api_id)["items"]:
            if entry["responseType"] == kind:
                return _gateway_response(entry, status, text)
        return _message(status, text)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        for pattern, route in self._routes:
            match = pattern.fullmatch(path)
            if match and route.method in (method, "ANY"):
                return route, {name: unquote(value) for name, value in match.groupdict().items()}
        return None

    def _key_id(self, stage: str, value: str | None) -> str | None:
        """Id of the enabled API key with this value in a usage plan of this stage."""
        if not value:
            return None
        gateway = self._client("apigateway")
        for plan in gateway.get_usage_plans()["items"]:
            if not any(s["apiId"] == self._api_id and s["stage"] == stage for s in plan.get("apiStages", [])):
                continue
            for entry in gateway.get_usage_plan_keys(usagePlanId=plan["id"])["items"]:
                key = gateway.get_api_key(apiKey=entry["id"], includeValue=True)
                if key["value"] == value and key.get("enabled", False):
                    return str(key["id"])
        return None

    def _event(
        self, request: Request, stage: str, path: str, route: Route, parameters: dict[str, str], key_id: str | None
    ) -> dict[str, Any]:
        """API Gateway's proxy event, payload version 1.0.

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
            "resource": route.path,
            "path": path,
            "httpMethod": request.method,
            "headers": headers,
            "multiValueHeaders": many_headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": parameters or None,
            "stageVariables": None,
            "requestContext": {
                "accountId": self._account_id,
                "apiId": self._api_id,
                "domainName": request.host,
                "domainPrefix": self._api_id,
                "extendedRequestId": uuid.uuid4().hex[:16],
                "httpMethod": request.method,
                "identity": identity,
                "path": f"/{stage}{path}",
                "protocol": request.environ.get("SERVER_PROTOCOL", "HTTP/1.1"),
                "requestId": str(uuid.uuid4()),
                "requestTime": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "requestTimeEpoch": int(now * 1000),
                "resourceId": "local",
                "resourcePath": route.path,
                "stage": stage,
            },
            "body": body,
            "isBase64Encoded": encoded,
        }


def _pattern(path: str) -> re.Pattern[str]:
    """A resource path as a pattern; {name} is one part of the path, {name+} the rest of it."""
    parts = re.split(r"\{(\w+)(\+?)\}", path)
    text = "".join(
        re.escape(part) if index % 3 == 0 else f"(?P<{part}>{'.+' if parts[index + 1] else '[^/]+'})"
        for index, part in enumerate(parts)
        if index % 3 != 2
    )
    return re.compile(text)


def _specificity(route: Route) -> tuple[int, int, bool]:
    """API Gateway prefers fixed paths to {name} to {name+}, and a named method to ANY."""
    return route.path.count("+}"), route.path.count("{"), route.method == "ANY"


def _body(data: bytes) -> tuple[str | None, bool]:
    if not data:
        return None, False
    try:
        return data.decode("utf-8"), False
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), True


def _message(status: int, text: str) -> Response:
    return Response(json.dumps({"message": text}), status, content_type="application/json")


def _gateway_response(entry: dict[str, Any], status: int, text: str) -> Response:
    """A gateway response as its templates and parameters have it.

    Source: API Gateway Developer Guide, "Gateway responses": static header values stand in single quotes.
    """
    template = entry.get("responseTemplates", {}).get("application/json", '{"message":$context.error.messageString}')
    body = template.replace("$context.error.messageString", json.dumps(text)).replace("$context.error.message", text)
    response = Response(body, int(entry.get("statusCode") or status), content_type="application/json")
    for name, value in entry.get("responseParameters", {}).items():
        if name.startswith("gatewayresponse.header."):
            response.headers[name.removeprefix("gatewayresponse.header.")] = value.strip("'")
    return response


def _response(answer: dict[str, Any]) -> Response:
    """A function's answer as HTTP."""
    body = answer.get("body") or ""
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else str(body).encode()
    response = Response(content, int(answer["statusCode"]))
    response.headers["Content-Type"] = "application/json"
    for name, value in (answer.get("headers") or {}).items():
        response.headers[name] = str(value)
    for name, values in (answer.get("multiValueHeaders") or {}).items():
        response.headers.setlist(name, [str(value) for value in values])
    return response
