"""The values of the template as rows: `Resource.property` -> value, for each way to deploy it.

Free texts are no values: descriptions, the body of the dashboard, saved queries. Neither are generated names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.stack.intrinsics import resolve
from tests.template.reading import template_with, written
from tools.iam import EVERYTHING, Names

KINESIS = f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream/things"
DEPLOYMENTS: dict[str, dict[str, str]] = {
    "dev": {},
    "prod": {**EVERYTHING, "AlarmEmail": "a@b.c", "PermissionsBoundaryArn": "arn:aws:iam::1:policy/b"},
    "key": {"MessageOrder": "key"},
    "glue": {"BookmarkMode": "glue", "Job": "standardize"},
    "own": {
        "ChangeLogDir": "s3://theirs/log",
        "ConfigApiUrl": "https://config",
        "ConfigApiKeySecretArn": "arn:aws:secretsmanager:key",
        "TargetArn": f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:changes",
        "SourceStreamArn": KINESIS,
        "ProviderAttribute": "tenant",
        "SourceKeyArns": f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/theirs",
        "Job": "mine",
    },
}
"""Name -> parameters. Together they take each branch of each condition."""
TEXTS = {"Description", "AlarmDescription", "DashboardBody", "QueryString", "Label", "Version", "PolicyName", "Columns"}
"""Texts, and the columns, which another test compares with the model."""
SHORTER = re.compile(
    r"(^|\.)(Environment\.Variables|DefaultArguments|(Policies\.\d+\.)?(PolicyDocument|KeyPolicy)\.Statement)\."
)
"""Parts of a path that are left out."""
READ = {"ChangeLogDir"}
"""Parameters whose value is taken apart, so that it must be a real one."""
GENERATED = {
    "AWS::Lambda::Function": {"Code", "Tags"},
    "AWS::IAM::Role": {"Tags"},
    "AWS::StepFunctions::StateMachine": {"Tags", "DefinitionS3Location"},
    "AWS::ApiGateway::RestApi": {"Body"},
}
"""Properties that the expansion makes: of files, of SAM, and the routes, which the OpenAPI document describes."""
KEPT = ("DeletionPolicy", "UpdateReplacePolicy", "DependsOn")
IDENTIFIED_BY = ("Sid", "Id", "AttributeName", "IndexName", "Name", "Key")
OPERATORS = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
}

Values = dict[str, dict[str, Any]]
"""Logical id -> path of a property -> value."""


class Symbols(Names):
    """References keep their names: ``<Env>`` is a parameter, ``RunLedger.Arn`` an attribute of a resource."""

    def ref(self, logical_id: str) -> Any:
        """A pseudo parameter's value, the name of a parameter, or the logical id."""
        if logical_id.startswith("AWS::"):
            return f"<{logical_id.removeprefix('AWS::')}>"
        symbolic = logical_id in written()["Parameters"] and logical_id not in READ
        return f"<{logical_id}>" if symbolic else self._template.parameter(logical_id) or _stable(logical_id)

    def attribute(self, logical_id: str, name: str) -> Any:
        """The names of both."""
        return f"{_stable(logical_id)}.{name}"


def _stable(logical_id: str) -> str:
    """Return a logical id without the hash that SAM appends to those of versions and deployments."""
    return re.sub(r"(Version|Deployment)[0-9a-f]{10}$", r"\1", logical_id)


@cache
def values(deployment: str) -> Values:
    """The values of a deployment."""
    template = template_with(**DEPLOYMENTS[deployment])
    found: Values = {}
    for logical_id, resource in template.resources.items():
        left_out = TEXTS | GENERATED.get(resource.type, set())
        properties = resolve(resource.properties, Symbols(template, None))
        rows = found.setdefault(_stable(logical_id), {})
        if resource.type == "AWS::CloudWatch::Alarm":
            rows["raised"] = _alarm(properties)
        kept = {key: value for key, value in properties.items() if key not in left_out}
        rows.update({_short(path): value for path, value in _leaves(kept)})
        source = written()["Resources"].get(logical_id, {})
        rows.update({name: source[name] for name in KEPT if name in source})
    found["Outputs"] = {name: resolve(value, Symbols(template, None)) for name, value in template.outputs().items()}
    return found


def _short(path: str) -> str:
    return SHORTER.sub(r"\1", path).replace("AssumeRolePolicyDocument.Statement.0", "AssumedBy")


def parameter_values() -> dict[str, str]:
    """Parameter -> its default and its limits."""
    return {name: _parameter(rules) for name, rules in written()["Parameters"].items()}


def _parameter(rules: Mapping[str, Any]) -> str:
    text = str(rules["Default"])
    if "MinValue" in rules:
        text += f", {rules['MinValue']} to {rules['MaxValue']}"
    if "AllowedValues" in rules:
        text += " of " + ", ".join(map(str, rules["AllowedValues"]))
    return text + (f" matching {rules['AllowedPattern']}" if "AllowedPattern" in rules else "")


def _alarm(properties: dict[str, Any]) -> str:
    """The rule of an alarm as a sentence; its properties are removed."""
    names = ("ComparisonOperator", "Threshold", "EvaluationPeriods", "TreatMissingData")
    operator, threshold, periods, missing = (properties.pop(name) for name in names)
    if "Metrics" in properties:
        first, *rest = properties.pop("Metrics")
        assert not any(one["ReturnData"] for one in rest), "an alarm watches one expression"
        stats = {one["Id"]: one["MetricStat"] for one in rest}
        terms = [f"{name} = {_metric(one['Stat'], one['Period'], one['Metric'])}" for name, one in stats.items()]
        shown = f"{first['Expression']} with {', '.join(terms)}"
    else:
        metric = {name: properties.pop(name) for name in ("Namespace", "MetricName", "Dimensions")}
        shown = _metric(properties.pop("Statistic"), properties.pop("Period"), metric)
    return f"{shown} {OPERATORS[operator]} {threshold} in {periods}, missing is {missing}"


def _metric(statistic: str, period: int, metric: Mapping[str, Any]) -> str:
    where = ", ".join(f"{one['Name']}={one['Value']}" for one in metric["Dimensions"])
    return f"{statistic} of {metric['Namespace']} {metric['MetricName']} ({where}) per {period} s"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and "Effect" in value:
        yield path, _statement(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in TEXTS:
                yield from _leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for place, item in enumerate(value):
            names = [item[name] for name in IDENTIFIED_BY if isinstance(item, dict) and name in item]
            inner = {k: v for k, v in item.items() if v != names[0]} if names and "Effect" not in item else item
            yield from _leaves(inner, f"{path}.{names[0] if names else place}")
    else:
        yield path, value


def _statement(statement: dict[str, Any]) -> str:
    """A statement of a policy as a sentence."""
    parts = [statement["Effect"], _listed(statement.get("Principal")), _listed(statement["Action"])]
    parts += ["on", _listed(statement["Resource"])] if "Resource" in statement else []
    parts += ["if", _listed(statement["Condition"])] if "Condition" in statement else []
    return " ".join(part for part in parts if part)


def _listed(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_listed(item)}" for key, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
