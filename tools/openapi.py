"""The OpenAPI document of the built-in config API, from its routes, their docstrings and its models."""

from __future__ import annotations

import inspect
import json
from http import HTTPStatus
from typing import Any

import config_api
from fanout.providers import NAME_PATTERN
from registry import preconditions
from registry.document import EntryDocument, EntryPatch
from registry.phrases import TOO_LARGE, UNPROCESSABLE, phrase

Json = dict[str, Any]

OPERATIONS = {
    ("GET", config_api.LIST): config_api.list_providers,
    ("GET", config_api.ONE): config_api.get_provider,
    ("PUT", config_api.ONE): config_api.put_provider,
    ("PATCH", config_api.ONE): config_api.patch_provider,
    ("DELETE", config_api.ONE): config_api.delete_provider,
}
"""The same as `config_api.ALLOWED`; `document` checks it."""

_NAME = rf"^(?!.*\.\.){NAME_PATTERN}$"
PROVIDER: Json = {"name": "provider", "in": "path", "required": True, "schema": {"type": "string", "pattern": _NAME}}
NEXT: Json = {
    "name": "next",
    "in": "query",
    "description": "Start of the page, from the Link header of the previous page.",
    "schema": {"type": "string", "pattern": _NAME},
}
ETAG: Json = {"description": "Changes with the content.", "schema": {"type": "string", "pattern": '^"[0-9a-f]{16}"$'}}
PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The problem and what to do."},
    },
}


def document() -> Json:
    """Build the OpenAPI 3.1 document."""
    allowed = {(method, path) for path, methods in config_api.ALLOWED.items() for method in methods}
    if allowed != set(OPERATIONS):
        raise AssertionError(f"tools/openapi.py and functions/config_api.py differ: {allowed ^ set(OPERATIONS)}")
    paths: Json = {}
    for (method, path), function in OPERATIONS.items():
        address = path.replace("<provider>", "{provider}")
        item = paths.setdefault(address, {"parameters": [PROVIDER]} if "{" in address else {})
        item[method.lower()] = _operation(method, address, function)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "glue-fanout config API",
            "version": "1",
            "description": inspect.getdoc(config_api) or "",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {
                "url": "https://{api}.execute-api.{region}.amazonaws.com/{env}",
                "description": "The stack's output ConfigApiUrl, without /providers.",
                "variables": {"api": {"default": "api"}, "region": {"default": "us-east-1"}, "env": {"default": "dev"}},
            }
        ],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": _components(),
    }


def _operation(method: str, address: str, function: Any) -> Json:
    one = "{" in address
    parameters = [] if one else [NEXT]
    parameters += [_tags(name) for name in (["If-None-Match"] if method == "GET" else ["If-Match", "If-None-Match"])]
    operation: Json = {
        "operationId": function.__name__,
        "summary": (inspect.getdoc(function) or "").partition(". ")[0].rstrip("."),
        "description": inspect.getdoc(function) or "",
        "parameters": parameters,
        "responses": _responses(method, one),
    }
    if method in ("PUT", "PATCH"):
        model = "Entry" if method == "PUT" else "EntryPatch"
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(model)}}}
    return operation


def _responses(method: str, one: bool) -> Json:
    entry = {
        "description": "The entry.",
        "headers": {"ETag": ETAG},
        "content": {"application/json": {"schema": _ref("Entry")}},
    }
    page = {
        "description": "Some or all providers.",
        "headers": {
            "ETag": ETAG,
            "Link": {"description": 'With rel="next" if there is another page.', "schema": {"type": "string"}},
        },
        "content": {"application/json": {"schema": _ref("Providers")}},
    }
    good: dict[str, Json] = {
        "GET": {
            "200": entry if one else page,
            "304": {"description": "As If-None-Match has it.", "headers": {"ETag": ETAG}},
        },
        "PUT": {"200": entry, "201": {**entry, "description": "The entry, which is new."}},
        "PATCH": {"200": entry},
        "DELETE": {"204": {"description": "Removed."}},
    }
    refused = [HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN]
    if one:
        refused.append(HTTPStatus.NOT_FOUND)
    if method != "GET":
        refused.append(HTTPStatus.PRECONDITION_FAILED)
    if method in ("PUT", "PATCH"):
        refused += [TOO_LARGE, UNPROCESSABLE]
    refused += [HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE]
    return {**good[method], **{str(status.value): _problem(status) for status in refused}}


def _components() -> Json:
    return {
        "securitySchemes": {"apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"}},
        "schemas": {
            "Entry": _schema(EntryDocument),
            "EntryPatch": _schema(EntryPatch),
            "Providers": {
                "type": "object",
                "description": "Provider name to entry.",
                "propertyNames": {"pattern": _NAME},
                "additionalProperties": _ref("Entry"),
            },
            "Problem": PROBLEM,
        },
    }


def _schema(model: type[EntryPatch]) -> Json:
    schema = model.model_json_schema()
    schema["description"] = f"{inspect.getdoc(model)} At most {model.MAX_BYTES} bytes."
    for field in schema["properties"].values():
        field.pop("default", None)
        field.pop("title", None)
    return schema


def _tags(name: str) -> Json:
    schema = {"type": "string", "pattern": preconditions.PATTERN}
    description = "RFC 9110: * or ETags of this API."
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": "*"}


def _problem(status: HTTPStatus) -> Json:
    return {"description": phrase(status), "content": {"application/problem+json": {"schema": _ref("Problem")}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def text() -> str:
    """The document as text, for its file in docs."""
    return json.dumps(document(), indent=2) + "\n"
