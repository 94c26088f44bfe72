"""Makes a template's resources by AWS API calls.

moto's CloudFormation is not used: it silently skips Glue jobs, schedules and policies, and ignores the locations of
code and definitions. Here, each resource type is made, deliberately left out, or rejected.
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
"""Types whose makers can also update an existing resource."""

LEFT_OUT: dict[str, str] = {
    "AWS::ApiGateway::Account": "sets the role for API Gateway's access logs, which are not written",
    "AWS::CloudFormation::WaitConditionHandle": "has no effect without a wait condition",
    "AWS::Glue::Connection": "jobs run on this machine, without a network of their own",
    "AWS::Glue::SecurityConfiguration": "encryption is not emulated",
    "AWS::Lambda::Permission": "access control is not emulated",
    "AWS::Logs::QueryDefinition": "a saved query of the CloudWatch console",
    "AWS::Logs::ResourcePolicy": "access control is not emulated",
    "AWS::S3::BucketPolicy": "access control is not emulated",
    "AWS::SNS::Subscription": "topics exist, but deliver nothing",
    "AWS::SNS::TopicPolicy": "access control is not emulated",
    "AWS::SQS::QueuePolicy": "access control is not emulated",
    "AWS::SecretsManager::ResourcePolicy": "access control is not emulated",
}
"""Resource types that the laptop cloud deliberately does not make, each with the reason."""


def check_types(template: Template) -> None:
    """Reject a template with unsupported resource types before any resource is made.

    Raises
    ------
    UnsupportedResourceError
        A type is neither made nor deliberately left out.
    """
    for resource in template.resources.values():
        if resource.type not in LEFT_OUT and maker(resource.type) is None:
            raise UnsupportedResourceError(resource.logical_id, resource.type)


def maker(resource_type: str) -> Maker | None:
    """Return the function that makes resources of a type, or None if the type is not supported."""
    return custom.custom_resource if custom.is_custom(resource_type) else MAKERS.get(resource_type)


def is_changeable(resource_type: str) -> bool:
    """Return whether the maker of a type can also update an existing resource."""
    return custom.is_custom(resource_type) or resource_type in CHANGEABLE
