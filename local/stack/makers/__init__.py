"""Makes a template's resources by API calls.

moto's CloudFormation is not used: it skips Glue jobs, schedules and policies without a word, and ignores where code and
definitions lie. Here a type is made, or knowingly left out, or an error.
"""

from __future__ import annotations

from collections.abc import Callable

from local.errors import UnsupportedResourceError
from local.stack.makers import api, code, custom, data, operations
from local.stack.stack import Made, Properties, Stack
from local.stack.template import Resource, Template

Maker = Callable[[Stack, Resource, Properties], Made]

MAKERS: dict[str, Maker] = {
    "AWS::ApiGateway::ApiKey": api.api_key,
    "AWS::ApiGateway::Deployment": api.deployment,
    "AWS::ApiGateway::RestApi": api.rest_api,
    "AWS::ApiGateway::Stage": api.stage,
    "AWS::ApiGateway::UsagePlan": api.usage_plan,
    "AWS::ApiGateway::UsagePlanKey": api.usage_plan_key,
    "AWS::CloudWatch::Alarm": operations.alarm,
    "AWS::CloudWatch::Dashboard": operations.dashboard,
    "AWS::DynamoDB::Table": data.table,
    "AWS::Events::Rule": operations.rule,
    "AWS::Glue::Database": data.catalog_database,
    "AWS::Glue::Job": code.glue_job,
    "AWS::Glue::Table": data.catalog_table,
    "AWS::IAM::ManagedPolicy": code.managed_policy,
    "AWS::IAM::Role": code.role,
    "AWS::KMS::Alias": data.key_alias,
    "AWS::KMS::Key": data.key,
    "AWS::Lambda::Alias": code.alias,
    "AWS::Lambda::EventInvokeConfig": code.invoke_config,
    "AWS::Lambda::EventSourceMapping": code.event_source,
    "AWS::Lambda::Function": code.function,
    "AWS::Lambda::Version": code.version,
    "AWS::Logs::LogGroup": operations.log_group,
    "AWS::S3::Bucket": data.bucket,
    "AWS::SNS::Topic": data.topic,
    "AWS::SQS::Queue": data.queue,
    "AWS::Scheduler::Schedule": operations.schedule,
    "AWS::SecretsManager::Secret": data.secret,
    "AWS::StepFunctions::StateMachine": code.state_machine,
}

UPDATERS: dict[str, Maker] = {
    "AWS::CloudWatch::Alarm": operations.alarm,
    "AWS::CloudWatch::Dashboard": operations.dashboard,
    "AWS::Events::Rule": operations.rule,
    "AWS::Glue::Job": code.glue_job,
    "AWS::IAM::Role": code.update_role,
    "AWS::Lambda::Alias": code.alias,
    "AWS::Lambda::EventInvokeConfig": code.invoke_config,
    "AWS::Lambda::Function": code.update_function,
    "AWS::StepFunctions::StateMachine": code.state_machine,
}
"""How a resource that is there becomes what a changed template says; other types cannot be changed here."""

LEFT_OUT: dict[str, str] = {
    "AWS::ApiGateway::Account": "sets the account's role for API Gateway's own logs, of which there are none here",
    "AWS::CloudFormation::WaitConditionHandle": "does nothing",
    "AWS::Glue::SecurityConfiguration": "encryption with KMS is not played here",
    "AWS::Lambda::Permission": "says which services may invoke a function; access control is not played here",
    "AWS::Logs::QueryDefinition": "saved searches of CloudWatch's console, which is not here",
    "AWS::Logs::ResourcePolicy": "access control is not played here",
    "AWS::S3::BucketPolicy": "access control is not played here",
    "AWS::SNS::Subscription": "alarms do not fire here, so nobody is told",
    "AWS::SNS::TopicPolicy": "access control is not played here",
    "AWS::SQS::QueuePolicy": "access control is not played here",
    "AWS::SecretsManager::ResourcePolicy": "access control is not played here",
}
"""Resource types that the laptop cloud knowingly does not make, each with the reason."""


def check_types(template: Template) -> None:
    """Refuse a template before anything of it is made.

    Raises
    ------
    UnsupportedResourceError
        A type is neither made nor knowingly left out.
    """
    for resource in template.resources.values():
        if resource.type not in LEFT_OUT and maker(resource.type) is None:
            raise UnsupportedResourceError(resource.logical_id, resource.type)


def maker(resource_type: str) -> Maker | None:
    """What makes resources of a type."""
    return custom.custom_resource if custom.is_custom(resource_type) else MAKERS.get(resource_type)


def updater(resource_type: str) -> Maker | None:
    """What changes resources of a type that are there."""
    return custom.custom_resource if custom.is_custom(resource_type) else UPDATERS.get(resource_type)
