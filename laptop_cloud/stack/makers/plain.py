"""Makers of resources that a single API call makes: the call, and the values of Ref and Fn::GetAtt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.stack.stack import Made, Properties, Stack, known_arguments, required_arguments
from laptop_cloud.stack.template import Resource


@dataclass(frozen=True)
class Plain:
    """A maker of one resource type; calling it makes a resource.

    Attributes
    ----------
    service, operation
        The API call. It gets the properties that it accepts under the same name.
    named
        The property that names the resource; "" if it has no name.
    argument
        The operation's argument for the name, if it differs from the property.
    longest
        Maximum length of a generated name, in characters.
    ref, attributes
        Values of Ref and Fn::GetAtt: format strings of the properties, the call's response, name, region and account.
    then
        Operations that are called afterwards if the properties contain their required arguments.
    without
        Properties that are not passed to the operation.
    """

    service: str
    operation: str
    named: str = ""
    argument: str = ""
    longest: int = 80
    ref: str = "{name}"
    attributes: dict[str, str] = field(default_factory=dict)
    then: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def __call__(self, stack: Stack, resource: Resource, properties: Properties) -> Made:
        """Make the resource, or update it if the operation does both."""
        client = stack.client(self.service)
        name = stack.name(resource, self.named, properties, self.longest)
        given = {key: value for key, value in properties.items() if key not in self.without}
        if self.named:
            given[self.argument or self.named] = name
        answer: dict[str, Any] = getattr(client, self.operation)(**known_arguments(client, self.operation, given))
        for operation in self.then:
            arguments = known_arguments(client, operation, given)
            if required_arguments(client, operation) <= set(arguments):
                getattr(client, operation)(**arguments)
        known = {**given, **answer, "region": REGION, "account": ACCOUNT_ID, "name": name}
        return Made(self.ref.format_map(known), {key: text.format_map(known) for key, text in self.attributes.items()})


MAKERS = {
    "AWS::ApiGateway::ApiKey": Plain(
        "apigateway", "create_api_key", "Name", ref="{id}", attributes={"APIKeyId": "{id}"}, without=("StageKeys",)
    ),
    # SAM gives deployments a placeholder StageName, which would create another stage.
    "AWS::ApiGateway::Deployment": Plain(
        "apigateway", "create_deployment", ref="{id}", attributes={"DeploymentId": "{id}"}, without=("StageName",)
    ),
    "AWS::ApiGateway::Stage": Plain("apigateway", "create_stage", ref="{StageName}"),
    # Throttling and quotas are not emulated.
    "AWS::ApiGateway::UsagePlan": Plain(
        "apigateway", "create_usage_plan", "UsagePlanName", "Name", ref="{id}", attributes={"Id": "{id}"}
    ),
    "AWS::ApiGateway::UsagePlanKey": Plain("apigateway", "create_usage_plan_key", ref="{KeyId}:{UsagePlanId}"),
    # Alarms are stored, but never evaluated.
    "AWS::CloudWatch::Alarm": Plain(
        "cloudwatch",
        "put_metric_alarm",
        "AlarmName",
        attributes={"Arn": "arn:aws:cloudwatch:{region}:{account}:alarm:{name}"},
    ),
    "AWS::CloudWatch::Dashboard": Plain("cloudwatch", "put_dashboard", "DashboardName"),
    "AWS::Glue::Database": Plain("glue", "create_database", ref="{DatabaseInput[Name]}"),
    "AWS::Glue::Table": Plain("glue", "create_table", ref="{TableInput[Name]}"),
    "AWS::KMS::Alias": Plain("kms", "create_alias", ref="{AliasName}"),
    "AWS::KMS::Key": Plain(
        "kms",
        "create_key",
        ref="{KeyMetadata[KeyId]}",
        attributes={"Arn": "{KeyMetadata[Arn]}", "KeyId": "{KeyMetadata[KeyId]}"},
    ),
    "AWS::Lambda::EventInvokeConfig": Plain("lambda", "put_function_event_invoke_config", without=("Qualifier",)),
    # CodeSha256 guards against a concurrent deployment, which cannot happen here.
    "AWS::Lambda::Version": Plain(
        "lambda",
        "publish_version",
        ref="{FunctionArn}",
        attributes={"FunctionArn": "{FunctionArn}", "Version": "{Version}"},
        without=("CodeSha256",),
    ),
    "AWS::Logs::LogGroup": Plain(
        "logs",
        "create_log_group",
        "LogGroupName",
        attributes={"Arn": "arn:aws:logs:{region}:{account}:log-group:{name}:*"},
        then=("put_retention_policy",),
    ),
    "AWS::SNS::Topic": Plain(
        "sns",
        "create_topic",
        "TopicName",
        "Name",
        ref="{TopicArn}",
        attributes={"TopicArn": "{TopicArn}", "TopicName": "{name}"},
    ),
    "AWS::Scheduler::Schedule": Plain(
        "scheduler", "create_schedule", "Name", longest=64, attributes={"Arn": "{ScheduleArn}"}
    ),
}
