"""The roles of the template and what each may do, held against the calls that were really made.

    python -m tools.iam documents template.yaml     every policy document as JSON, for parliament

The laptop cloud writes down each AWS call with its principal, action and resource; `missing` tells which of them AWS
would have refused, `unused` what a role may do and never did. Conditions are not evaluated: a call here has none of
the context that AWS would compare, so a statement with a condition counts as if it held.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.stack.intrinsics import resolve
from local.stack.template import Resource, Template

EVERYTHING = {"Profile": "prod", "ApiLogsRole": "create"}
"""The parameters with which the template has every role and policy that it can have."""
AWS_MANAGED: dict[str, tuple[str, ...]] = {
    "service-role/AWSLambdaBasicExecutionRole": ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
    "AWSXrayWriteOnlyAccess": (
        "xray:PutTraceSegments",
        "xray:PutTelemetryRecords",
        "xray:GetSamplingRules",
        "xray:GetSamplingTargets",
        "xray:GetSamplingStatisticSummaries",
    ),
    "service-role/AmazonAPIGatewayPushToCloudWatchLogs": (
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:DescribeLogGroups",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
        "logs:GetLogEvents",
        "logs:FilterLogEvents",
    ),
}
"""What AWS's own policies allow, all of it on any resource. Source: the AWS Managed Policy Reference Guide."""

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


class PolicyError(Exception):
    """A role has a policy that cannot be read."""


@dataclass(frozen=True)
class Call:
    """One AWS call as the laptop cloud wrote it down."""

    principal: str
    service: str
    action: str
    resource: str | None = None

    @property
    def permission(self) -> str:
        """The IAM action, such as "dynamodb:GetItem"."""
        return f"{self.service}:{self.action}"


@dataclass(frozen=True)
class Statement:
    """One statement of a role, resolved."""

    effect: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]

    def covers(self, permission: str, arn: str | None) -> bool:
        """Whether it speaks of this action on this resource; a resource that is not known counts as any."""
        if not any(_matches(pattern.lower(), permission.lower()) for pattern in self.actions):
            return False
        return arn is None or any(_matches(pattern, arn) for pattern in self.resources)


Grants = dict[str, list[Statement]]
"""Logical id of a role -> what it may do."""


def _matches(pattern: str, text: str) -> bool:
    wild = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, text) is not None


def grants(template: Template, physical_id: Callable[[str], str] | None = None) -> Grants:
    """What every role of the template may do.

    Parameters
    ----------
    template
        Expanded, with the parameter values to look at.
    physical_id
        What `Ref` gives for a resource in a stack that exists; without, each logical id is the resource's name.

    Raises
    ------
    PolicyError
        A role has a managed policy that is neither the template's nor in `AWS_MANAGED`.
    """
    lookups = Names(template, physical_id)
    return {
        logical_id: _statements(template, resource, lookups)
        for logical_id, resource in template.resources.items()
        if resource.type == "AWS::IAM::Role"
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


def missing(calls: Iterable[Call], granted: Grants, region: str, account: str) -> list[str]:
    """Calls that AWS would refuse, one line a kind; principals that are no role of the template do not count."""
    refused = set()
    for call in calls:
        statements = granted.get(call.principal)
        if statements is None:
            continue
        arn = arn_of(call, region, account)
        covering = [statement for statement in statements if statement.covers(call.permission, arn)]
        if not covering or any(statement.effect == "Deny" for statement in covering):
            refused.add(f"{call.principal} may not {call.permission} on {arn}")
    return sorted(refused)


def unused(calls: Iterable[Call], granted: Grants) -> set[tuple[str, str]]:
    """Pairs of role and action that are allowed and were never used; a wildcard is used by whatever it covers."""
    made = {(call.principal, call.permission) for call in calls}
    return {
        (role, action)
        for role, statements in granted.items()
        for statement in statements
        if statement.effect == "Allow"
        for action in statement.actions
        if not any(role == principal and _matches(action.lower(), used.lower()) for principal, used in made)
    }


def read_calls(path: Path) -> list[Call]:
    """The calls in an api_calls.jsonl of the laptop cloud."""
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [Call(**{name: line[name] for name in ("principal", "service", "action", "resource")}) for line in lines]


def arn_of(call: Call, region: str, account: str) -> str | None:
    """The ARN of what a call names, or None when the record does not say."""
    named = call.resource
    if named is None or named.startswith("arn:"):
        return named
    forms = {
        "dynamodb": f"arn:aws:dynamodb:{region}:{account}:table/{named}",
        "glue": f"arn:aws:glue:{region}:{account}:job/{named}",
        "lambda": f"arn:aws:lambda:{region}:{account}:function:{named}",
        "s3": f"arn:aws:s3:::{named}",
        "sqs": f"arn:aws:sqs:{region}:{account}:{named.rpartition('/')[2]}",
    }
    return forms.get(call.service)


class Names:
    """Lookups that give every reference of a policy a name or an ARN."""

    def __init__(self, template: Template, physical_id: Callable[[str], str] | None) -> None:
        self._template = template
        self._physical_id = physical_id

    def ref(self, logical_id: str) -> Any:
        """A parameter's value, or what the resource is called."""
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
        """An ARN, or the name where that is asked for."""
        resource = self._template.resources[logical_id]
        called = str(self.ref(logical_id))
        if name in ("Name", "QueueName", "TopicName"):
            return called.rpartition(":" if called.startswith("arn:") else "/")[2]
        if called.startswith("arn:"):
            return called
        if resource.type not in _NAMED_BY:
            return self._arn(resource.type.split("::")[1].lower(), called)
        account = self._template.account
        plain = called.rpartition("/")[2] if called.startswith("http") else called
        return "arn:aws:" + _NAMED_BY[resource.type].format(region=account.region, account=account.account_id, id=plain)

    def condition(self, name: str) -> bool:
        """Whether the template's condition holds."""
        return self._template.condition(name)

    def dynamic_reference(self, service: str, reference: str) -> str:
        """Leave a secret unread; no policy needs one."""
        return f"{{{{resolve:{service}:{reference}}}}}"

    def _arn(self, service: str, name: str) -> str:
        account = self._template.account
        kind = {"states": "stateMachine:", "secretsmanager": "secret:"}.get(service, "")
        return f"arn:aws:{service}:{account.region}:{account.account_id}:{kind}{name}"


def _statements(template: Template, role: Resource, lookups: Names) -> list[Statement]:
    properties = resolve(role.properties, lookups)
    found = [s for policy in properties.get("Policies", []) for s in _of_document(policy["PolicyDocument"])]
    for policy in properties.get("ManagedPolicyArns", []):
        if policy in template.resources:
            found += _of_document(resolve(template.resources[policy].properties, lookups)["PolicyDocument"])
        elif (name := str(policy).partition(":policy/")[2]) in AWS_MANAGED:
            found.append(Statement("Allow", AWS_MANAGED[name], ("*",)))
        else:
            raise PolicyError(f"{role.logical_id} has {policy}: add what it allows to tools.iam.AWS_MANAGED")
    return found


def _of_document(document: Mapping[str, Any]) -> list[Statement]:
    return [
        Statement(statement["Effect"], _listed(statement["Action"]), _listed(statement["Resource"]))
        for statement in _listed(document["Statement"])
    ]


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def main() -> int:
    """Print the policy documents of the prod profile, which has all there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["documents"])
    parser.add_argument("template", type=Path)
    options = parser.parse_args()
    json.dump(documents(Template.load(options.template, EVERYTHING)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
