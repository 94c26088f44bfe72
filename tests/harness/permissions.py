"""Compares the permissions of the template's roles with the recorded AWS calls.

The laptop cloud records each AWS call with its principal, action and resource. `missing` finds calls that AWS would
reject, `unused` finds permissions that were never used. Conditions are not evaluated, because a recorded call has no
context to compare: a statement with a condition counts as if the condition were true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laptop_cloud.stack.intrinsics import resolve
from laptop_cloud.stack.template import Resource, Template
from tools.iam import Names

AWS_MANAGED: dict[str, tuple[str, ...]] = {
    "service-role/AWSLambdaBasicExecutionRole": ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
    "service-role/AWSLambdaVPCAccessExecutionRole": (
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    ),
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
"""AWS managed policy -> actions that it allows on any resource. Source: the AWS Managed Policy Reference Guide."""


class PolicyError(Exception):
    """A role has a policy that cannot be read."""


@dataclass(frozen=True)
class Call:
    """One AWS call, as the laptop cloud recorded it."""

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
        """Whether it applies to this action on this resource; an unknown resource counts as any."""
        if not any(_matches(pattern.lower(), permission.lower()) for pattern in self.actions):
            return False
        return arn is None or any(_matches(pattern, arn) for pattern in self.resources)


Grants = dict[str, list[Statement]]
"""Logical id of a role -> its statements."""


def _matches(pattern: str, text: str) -> bool:
    wild = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(wild, text) is not None


def grants(template: Template, physical_id: Callable[[str], str] | None = None) -> Grants:
    """Return the statements of every role of the template.

    Parameters
    ----------
    template
        Expanded, with the parameter values to look at.
    physical_id
        The physical ids of an existing stack's resources; by default each logical id is the resource's name.

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


def missing(calls: Iterable[Call], granted: Grants, region: str, account: str) -> list[str]:
    """Return the calls that AWS would reject, one line per kind, of principals that are roles of the template."""
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
    """Return pairs of role and action that are allowed and never used; any action that it covers uses a wildcard."""
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
    """Read the calls in an api_calls.jsonl of the laptop cloud."""
    lines = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return [Call(**{name: line[name] for name in ("principal", "service", "action", "resource")}) for line in lines]


def arn_of(call: Call, region: str, account: str) -> str | None:
    """Return the ARN of a call's resource, or None if the record has none."""
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


def _statements(template: Template, role: Resource, lookups: Names) -> list[Statement]:
    properties = resolve(role.properties, lookups)
    found = [s for policy in properties.get("Policies", []) for s in _of_document(policy["PolicyDocument"])]
    for policy in properties.get("ManagedPolicyArns", []):
        if policy in template.resources:
            found += _of_document(resolve(template.resources[policy].properties, lookups)["PolicyDocument"])
        elif (name := str(policy).partition(":policy/")[2]) in AWS_MANAGED:
            found.append(Statement("Allow", AWS_MANAGED[name], ("*",)))
        else:
            raise PolicyError(f"{role.logical_id} has {policy}: add what it allows to AWS_MANAGED")
    return found


def _of_document(document: Mapping[str, Any]) -> list[Statement]:
    return [
        Statement(statement["Effect"], _listed(statement["Action"]), _listed(statement["Resource"]))
        for statement in _listed(document["Statement"])
    ]


def _listed(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)
