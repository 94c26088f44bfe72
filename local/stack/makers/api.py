"""Makers of REST APIs whose methods are Lambda functions, with their stages, keys and usage plans."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from local.aws.api_gateway import Route
from local.errors import ResourceError
from local.stack.stack import Made, Properties, Stack
from local.stack.template import Resource

_METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "x-amazon-apigateway-any-method"}
_FUNCTION_IN_URI = re.compile(r"functions/(arn:[^/]+)/invocations$")


def rest_api(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::RestApi, defined by its Body."""
    gateway = stack.client("apigateway")
    body = properties.get("Body") or {}
    api = gateway.create_rest_api(name=properties.get("Name") or body["info"]["title"])
    # moto deploys no API without a method, and this is one. Requests go by the routes.
    method = {"restApiId": api["id"], "resourceId": api["rootResourceId"], "httpMethod": "ANY"}
    gateway.put_method(**method, authorizationType="NONE")
    gateway.put_integration(**method, type="MOCK")
    routes = list(_routes(resource.logical_id, body))
    _put_gateway_responses(gateway, api["id"], body.get("x-amazon-apigateway-gateway-responses", {}))
    stack.services.open_api(api["id"], routes)
    return Made(api["id"], {"RootResourceId": api["rootResourceId"], "RestApiId": api["id"]})


def _routes(logical_id: str, body: Properties) -> Iterator[Route]:
    for path, methods in body.get("paths", {}).items():
        for method, operation in methods.items():
            if method not in _METHODS:
                continue
            integration = operation.get("x-amazon-apigateway-integration", {})
            match = _FUNCTION_IN_URI.search(str(integration.get("uri", "")))
            if integration.get("type", "").lower() != "aws_proxy" or match is None:
                raise ResourceError(
                    f"{logical_id} {method.upper()} {path}: only Lambda proxy integrations are known here."
                )
            name = "ANY" if method.startswith("x-amazon") else method.upper()
            yield Route(name, path, match[1], _key_required(logical_id, body, operation))


def _key_required(logical_id: str, body: Properties, operation: Properties) -> bool:
    schemes = {**body.get("securityDefinitions", {}), **body.get("components", {}).get("securitySchemes", {})}
    required = False
    requirements: list[Properties] = operation.get("security", body.get("security")) or []
    for requirement in requirements:
        for name in requirement:
            scheme = schemes.get(name, {})
            if scheme.get("name") != "x-api-key" or "x-amazon-apigateway-authtype" in scheme:
                raise ResourceError(f"{logical_id} uses the authorizer {name}: only API keys are known here.")
            required = True
    return required


def _put_gateway_responses(gateway: Any, api_id: str, responses: Properties) -> None:
    """What the API answers by itself, where the template says so."""
    for kind, response in responses.items():
        arguments = {"restApiId": api_id, "responseType": kind}
        for name in ("responseParameters", "responseTemplates"):
            if name in response:
                arguments[name] = response[name]
        if "statusCode" in response:
            arguments["statusCode"] = str(response["statusCode"])
        gateway.put_gateway_response(**arguments)


def deployment(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::Deployment; its own StageName is one that SAM never uses."""
    made = stack.client("apigateway").create_deployment(restApiId=properties["RestApiId"])
    return Made(made["id"], {"DeploymentId": made["id"]})


def stage(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::Stage."""
    name = properties["StageName"]
    stack.client("apigateway").create_stage(
        restApiId=properties["RestApiId"], stageName=name, deploymentId=properties["DeploymentId"]
    )
    return Made(name)


def api_key(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::ApiKey."""
    arguments = {"name": stack.name(resource, "Name", properties), "enabled": _true(properties.get("Enabled"))}
    if "Value" in properties:
        arguments["value"] = properties["Value"]
    made = stack.client("apigateway").create_api_key(**arguments)
    return Made(made["id"], {"APIKeyId": made["id"]})


def _true(value: Any) -> bool:
    return str(value).lower() == "true"


def usage_plan(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::UsagePlan; throttling and quotas are not played."""
    stages = [{"apiId": entry["ApiId"], "stage": entry["Stage"]} for entry in properties.get("ApiStages", [])]
    name = stack.name(resource, "UsagePlanName", properties)
    made = stack.client("apigateway").create_usage_plan(name=name, apiStages=stages)
    return Made(made["id"], {"Id": made["id"]})


def usage_plan_key(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::UsagePlanKey."""
    stack.client("apigateway").create_usage_plan_key(
        usagePlanId=properties["UsagePlanId"], keyId=properties["KeyId"], keyType=properties["KeyType"]
    )
    return Made(f"{properties['KeyId']}:{properties['UsagePlanId']}")
