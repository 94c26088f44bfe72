"""Makes a template's resources by API calls.

moto's CloudFormation is not used: it skips Glue jobs, schedules and policies without a word, and ignores where code and
definitions lie. Here a type is made, or knowingly left out, or an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import ResourceError, UnsupportedResourceError
from local.resources import api, compute, custom, data, operations
from local.resources.left_out import LEFT_OUT
from local.resources.stack import Made, Stack
from local.template import Resource

Maker = Callable[[Stack, Resource, dict[str, Any]], Made]

MAKERS: dict[str, Maker] = {
    "AWS::ApiGateway::ApiKey": api.api_key,
    "AWS::ApiGateway::Deployment": api.deployment,
    "AWS::ApiGateway::RestApi": api.rest_api,
    "AWS::ApiGateway::Stage": api.stage,
    "AWS::ApiGateway::UsagePlan": api.usage_plan,
    "AWS::ApiGateway::UsagePlanKey": api.usage_plan_key,
    custom.TYPE: custom.custom_resource,
    "AWS::CloudWatch::Alarm": operations.alarm,
    "AWS::CloudWatch::Dashboard": operations.dashboard,
    "AWS::DynamoDB::Table": data.table,
    "AWS::Events::Rule": operations.rule,
    "AWS::Glue::Job": compute.glue_job,
    "AWS::IAM::ManagedPolicy": compute.managed_policy,
    "AWS::IAM::Policy": compute.role_policy,
    "AWS::IAM::Role": compute.role,
    "AWS::IAM::RolePolicy": compute.role_policy,
    "AWS::KMS::Alias": data.key_alias,
    "AWS::KMS::Key": data.key,
    "AWS::Lambda::Alias": compute.alias,
    "AWS::Lambda::EventInvokeConfig": compute.invoke_config,
    "AWS::Lambda::Function": compute.function,
    "AWS::Lambda::Version": compute.version,
    "AWS::Logs::LogGroup": operations.log_group,
    "AWS::S3::Bucket": data.bucket,
    "AWS::SNS::Topic": data.topic,
    "AWS::SQS::Queue": data.queue,
    "AWS::Scheduler::Schedule": operations.schedule,
    "AWS::Scheduler::ScheduleGroup": operations.schedule_group,
    "AWS::SecretsManager::Secret": data.secret,
    "AWS::StepFunctions::StateMachine": compute.state_machine,
}


def check_types(resources: dict[str, Resource]) -> None:
    """Refuse a template before anything of it is made.

    Raises
    ------
    UnsupportedResourceError
        A type is neither made nor knowingly left out.
    """
    for resource in resources.values():
        if _maker(resource.type) is None and resource.type not in LEFT_OUT:
            raise UnsupportedResourceError(resource.logical_id, resource.type)


def make_all(stack: Stack) -> None:
    """Make every resource of the stack's template, each after those it refers to, and register the outputs.

    Raises
    ------
    UnsupportedResourceError
        See `check_types`.
    ResourceError
        A resource was refused; names it and the reason.
    """
    check_types(stack.template.resources)
    for resource in stack.template.resources.values():
        stack.made[resource.logical_id] = _make(stack, resource)
    _register_outputs(stack)


def _make(stack: Stack, resource: Resource) -> Made:
    if resource.type in LEFT_OUT:
        return Made(stack.generated_name(resource.logical_id))
    maker = _maker(resource.type)
    if maker is None:
        raise UnsupportedResourceError(resource.logical_id, resource.type)
    try:
        return maker(stack, resource, stack.resolve(resource.properties))
    except (ClientError, BotoCoreError, KeyError, FileNotFoundError) as error:
        raise ResourceError(f"{resource.logical_id} ({resource.type}) was refused: {error!r}") from error


def _maker(resource_type: str) -> Maker | None:
    return custom.custom_resource if custom.is_custom(resource_type) else MAKERS.get(resource_type)


def _register_outputs(stack: Stack) -> None:
    """Let `aws cloudformation describe-stacks` give the outputs, as after a deployment."""
    outputs = {name: {"Value": value} for name, value in stack.outputs().items()}
    body = json.dumps({"Resources": {}, "Outputs": outputs})
    stack.client("cloudformation").create_stack(StackName=stack.account.stack_name, TemplateBody=body)
