"""The policy documents of the template, with every name and ARN filled in, as JSON for parliament.

python -m tools.iam template.yaml
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.stack.intrinsics import resolve
from laptop_cloud.stack.template import Template

EVERYTHING = {
    "Profile": "prod",
    "ApiLogsRole": "create",
    "SourceStreamArn": f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/things/stream/1",
    "ProviderAttribute": "tenant",
    "VpcSubnetIds": "subnet-0a1b2c3d,subnet-4e5f6a7b",
    "VpcSecurityGroupIds": "sg-0a1b2c3d,sg-4e5f6a7b",
    "VpcAvailabilityZone": f"{REGION}a",
}
"""Parameters with which the template has all of its roles, and the roles all of their permissions."""
_NAMED_BY = {
    "AWS::DynamoDB::Table": "dynamodb:{region}:{account}:table/{id}",
    "AWS::Glue::Job": "glue:{region}:{account}:job/{id}",
    "AWS::IAM::Role": "iam::{account}:role/{id}",
    "AWS::Lambda::Function": "lambda:{region}:{account}:function:{id}",
    "AWS::Logs::LogGroup": "logs:{region}:{account}:log-group:{id}:*",
    "AWS::KMS::Key": "kms:{region}:{account}:key/{id}",
    "AWS::S3::Bucket": "s3:::{id}",
    "AWS::SQS::Queue": "sqs:{region}:{account}:{id}",
}


def documents(template: Template) -> dict[str, Any]:
    """Every policy document of the template by name: of roles, of managed policies, and resource policies."""
    lookups = Names(template, None)
    found: dict[str, Any] = {}
    for logical_id, resource in template.resources.items():
        properties = resolve(resource.properties, lookups)
        for policy in properties.get("Policies", []):
            found[f"{logical_id}.{policy['PolicyName']}"] = policy["PolicyDocument"]
        if resource.type == "AWS::IAM::ManagedPolicy":
            found[logical_id] = properties["PolicyDocument"]
    return found


class Names:
    """Lookups that resolve every reference in a policy to a name or an ARN."""

    def __init__(self, template: Template, physical_id: Callable[[str], str] | None) -> None:
        self._template = template
        self._physical_id = physical_id

    def ref(self, logical_id: str) -> Any:
        """A parameter's value, or the resource's name."""
        value = self._template.parameter(logical_id)
        if value is not None:
            return value
        resource = self._template.resources[logical_id]
        if resource.type == "AWS::IAM::ManagedPolicy":
            return logical_id
        if self._physical_id is not None:
            return self._physical_id(logical_id)
        if resource.type in ("AWS::StepFunctions::StateMachine", "AWS::SecretsManager::Secret", "AWS::SNS::Topic"):
            return self._arn(resource.type.split("::")[1].lower().replace("stepfunctions", "states"), logical_id)
        return logical_id

    def attribute(self, logical_id: str, name: str) -> Any:
        """An ARN, or the name if the attribute is a name."""
        resource = self._template.resources[logical_id]
        called = str(self.ref(logical_id))
        if name in ("Name", "QueueName", "TopicName"):
            return called.rpartition(":" if called.startswith("arn:") else "/")[2]
        if called.startswith("arn:"):
            return called
        if resource.type not in _NAMED_BY:
            return self._arn(resource.type.split("::")[1].lower(), called)
        plain = called.rpartition("/")[2] if called.startswith("http") else called
        return "arn:aws:" + _NAMED_BY[resource.type].format(region=REGION, account=ACCOUNT_ID, id=plain)

    def condition(self, name: str) -> bool:
        """Whether the template's condition is true."""
        return self._template.condition(name)

    def dynamic_reference(self, service: str, reference: str) -> str:
        """Leave a secret unread; no policy needs one."""
        return f"{{{{resolve:{service}:{reference}}}}}"

    def _arn(self, service: str, name: str) -> str:
        kind = {"states": "stateMachine:", "secretsmanager": "secret:"}.get(service, "")
        return f"arn:aws:{service}:{REGION}:{ACCOUNT_ID}:{kind}{name}"


def main(template: Path) -> None:
    """Print the policy documents of the prod profile, which has all policies."""
    print(json.dumps(documents(Template.load(template, EVERYTHING))))


if __name__ == "__main__":
    typer.run(main)
