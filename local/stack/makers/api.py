"""Makers of REST APIs whose methods are Lambda functions, with their stages, keys and usage plans."""

from __future__ import annotations

import re
from typing import Any

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
