"""Makers of resources that one call of the AWS API makes: what is called, and what Ref and Fn::GetAtt give."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.stack.stack import Made, Properties, Stack, known_arguments, required_arguments
from laptop_cloud.stack.template import Resource


@dataclass(frozen=True)
class Plain:
    """How one resource type is made; calling it makes one.

    Attributes
    ----------
    service, operation
        The call. It takes the properties that it knows by the same name.
    named
        The property that names the resource; "" when it has no name.
    argument
        What the operation calls the name, if otherwise.
    longest
        Characters of a generated name.
    ref, attributes
        What Ref and Fn::GetAtt give: formats of the properties, the call's answer, name, region and account.
    then
        Operations that are called afterwards where the properties have what they require.
    without
        Properties that the operation knows, and must not get here.
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
        """Make it, or change it if the operation is one that does both."""
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
    # Its StageName is one that SAM never uses.
    "AWS::ApiGateway::Deployment": Plain(
        "apigateway", "create_deployment", ref="{id}", attributes={"DeploymentId": "{id}"}, without=("StageName",)
    ),
    "AWS::ApiGateway::Stage": Plain("apigateway", "create_stage", ref="{StageName}"),
    # Its throttling and quota are not played.
    "AWS::ApiGateway::UsagePlan": Plain(
        "apigateway", "create_usage_plan", "UsagePlanName", "Name", ref="{id}", attributes={"Id": "{id}"}
    ),
    "AWS::ApiGateway::UsagePlanKey": Plain("apigateway", "create_usage_plan_key", ref="{KeyId}:{UsagePlanId}"),
    # It is there to be read, and does not fire.
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
    # CodeSha256 guards against another deployment in between.
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
