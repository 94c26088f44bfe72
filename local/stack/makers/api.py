"""Maker of REST APIs whose methods are a Lambda function."""

from __future__ import annotations

import re

from local.aws.api_gateway import RESOURCE, Proxy
from local.errors import ResourceError
from local.stack.stack import Made, Properties, Stack
from local.stack.template import Resource

_FUNCTION_IN_URI = re.compile(r"functions/(arn:[^/]+)/invocations$")


def rest_api(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::RestApi, defined by its Body: one function behind every path, with or without an API key."""
    gateway, body = stack.client("apigateway"), properties.get("Body") or {}
    operation = body.get("paths", {}).get(RESOURCE, {}).get("x-amazon-apigateway-any-method", {})
    uri = _FUNCTION_IN_URI.search(str(operation.get("x-amazon-apigateway-integration", {}).get("uri")))
    if len(body.get("paths", {})) != 1 or uri is None:
        raise ResourceError(f"{resource.logical_id}: only an API of ANY {RESOURCE} is known here.")
    wanted = {name for entry in operation.get("security", body.get("security")) or [] for name in entry}
    if wanted - {"api_key"}:
        raise ResourceError(f"{resource.logical_id} uses the authorizers {wanted}: only API keys are known here.")
    api = gateway.create_rest_api(name=properties.get("Name") or body["info"]["title"])
    # moto deploys no API without a method, and this is one. Requests go to the listener.
    method = {"restApiId": api["id"], "resourceId": api["rootResourceId"], "httpMethod": "ANY"}
    gateway.put_method(**method, authorizationType="NONE")
    gateway.put_integration(**method, type="MOCK")
    responses = body.get("x-amazon-apigateway-gateway-responses", {})
    stack.services.open_api(Proxy(api["id"], uri[1], bool(wanted), responses))
    return Made(api["id"], {"RootResourceId": api["rootResourceId"], "RestApiId": api["id"]})
