"""Makes a template's resources by API calls.

moto's CloudFormation is not used: it skips Glue jobs, schedules and policies without a word, and ignores where code and
definitions lie. Here a type is made, or knowingly left out, or an error.
"""

from __future__ import annotations

from collections.abc import Callable

from laptop_cloud.errors import UnsupportedResourceError
from laptop_cloud.stack.makers import code, custom, data, plain
from laptop_cloud.stack.stack import Made, Properties, Stack
from laptop_cloud.stack.template import Resource, Template

Maker = Callable[[Stack, Resource, Properties], Made]

MAKERS: dict[str, Maker] = {
    **plain.MAKERS,
    "AWS::ApiGateway::RestApi": code.rest_api,
    "AWS::DynamoDB::Table": data.table,
    "AWS::Events::Rule": code.rule,
    "AWS::Glue::Job": code.glue_job,
    "AWS::IAM::ManagedPolicy": code.managed_policy,
    "AWS::IAM::Role": code.role,
    "AWS::Lambda::Alias": code.alias,
    "AWS::Lambda::EventSourceMapping": code.event_source,
    "AWS::Lambda::Function": code.function,
    "AWS::S3::Bucket": data.bucket,
    "AWS::SQS::Queue": data.queue,
    "AWS::SecretsManager::Secret": data.secret,
    "AWS::StepFunctions::StateMachine": code.state_machine,
}

CHANGEABLE = {
    *(name for name, maker in plain.MAKERS.items() if maker.operation.startswith("put_")),
    *("AWS::Events::Rule", "AWS::Glue::Job", "AWS::IAM::Role", "AWS::Lambda::Alias", "AWS::Lambda::Function"),
    "AWS::StepFunctions::StateMachine",
}
"""Types whose makers also make a resource that is there what a changed template says."""

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


def is_changeable(resource_type: str) -> bool:
    """Whether the maker of a type can also change what is there."""
    return custom.is_custom(resource_type) or resource_type in CHANGEABLE
