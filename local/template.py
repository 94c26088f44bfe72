"""template.yaml as the laptop cloud reads it: expanded from SAM, parameters filled in, in creation order. No AWS calls.

aws-sam-translator expands `AWS::Serverless::*` exactly as AWS does on deployment. It accepts only S3 locations for
code and definitions, which `sam package` would have put there; here each local path becomes an address in an imaginary
bucket, LOCAL_FILES, and `local_path` turns such an address back into a path.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from local.errors import ParameterError, TemplateError
from local.intrinsics import Lookups, references, resolve
from local.parameters import ParameterValue, parameter_values

LOCAL_FILES = "local-files"
"""The imaginary bucket whose keys are paths relative to the template's folder."""

_PATH_PROPERTIES = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Serverless::StateMachine": "DefinitionUri",
    "AWS::Serverless::Api": "DefinitionUri",
}


@dataclass(frozen=True)
class Account:
    """Where the stack pretends to be: pseudo parameters come from here."""

    account_id: str = "123456789012"
    region: str = "us-east-1"
    stack_name: str = "glue-fanout-dev"

    def pseudo_parameters(self) -> dict[str, Any]:
        """Pseudo parameter name -> value."""
        return {
            "AWS::AccountId": self.account_id,
            "AWS::Region": self.region,
            "AWS::StackName": self.stack_name,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackId": f"arn:aws:cloudformation:{self.region}:{self.account_id}:stack/{self.stack_name}/laptop",
            "AWS::NotificationARNs": [],
        }


@dataclass(frozen=True)
class Resource:
    """One resource to be made: its properties still hold intrinsic functions."""

    logical_id: str
    type: str
    properties: dict[str, Any]


class Template:
    """One template with one set of parameter values.

    Attributes
    ----------
    root
        The template's folder; paths in the template are relative to it.
    parameters
        Parameter name -> value, overrides applied and checked.
    resources
        Logical id -> resource, those with a false condition left away, in an order in which every resource
        comes after those it refers to.

    Examples
    --------
    >>> template = Template.load(Path("template.yaml"), {"Env": "dev"})
    >>> template.resources["ChangesQueue"].type
    'AWS::SQS::Queue'
    """

    def __init__(
        self, document: Mapping[str, Any], root: Path, parameters: Mapping[str, ParameterValue], account: Account
    ) -> None:
        self._document = document
        self.root = root
        self.account = account
        self.parameters = dict(parameters)
        self._pseudo = account.pseudo_parameters()
        self._check_rules()
        self.resources = self._in_creation_order()

    @classmethod
    def load(
        cls, path: Path, overrides: Mapping[str, object] | None = None, account: Account | None = None
    ) -> Template:
        """Read and expand the template at `path`.

        Raises
        ------
        TemplateError
            Not there, not YAML, or refused by aws-sam-translator.
        ParameterError
            See `local.parameters.parameter_values`.
        """
        account = account or Account()
        try:
            source = yaml_parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise TemplateError(f"There is no template at {path}.") from None
        if not isinstance(source, dict) or not source.get("Resources"):
            raise TemplateError(f"{path} is not a CloudFormation template: it has no Resources.")
        values = parameter_values(source.get("Parameters", {}), overrides or {})
        return cls(expand(source, values, account.region), path.resolve().parent, values, account)

    def condition(self, name: str) -> bool:
        """Whether the condition holds; conditions refer to parameters and other conditions only."""
        try:
            expression = self._document["Conditions"][name]
        except KeyError:
            raise TemplateError(f"The template has no condition {name}.") from None
        return bool(resolve(expression, _ParameterLookups(self)))

    def mapping(self, name: str, top: str, second: str) -> Any:
        """Value of Fn::FindInMap."""
        try:
            return self._document["Mappings"][name][top][second]
        except KeyError:
            raise TemplateError(f"The template has no mapping {name}.{top}.{second}.") from None

    def parameter(self, name: str) -> Any:
        """Value of a parameter or pseudo parameter; None when there is none of that name."""
        return self.parameters.get(name, self._pseudo.get(name))

    def outputs(self) -> dict[str, Any]:
        """Output name -> its unresolved value, those with a false condition left away."""
        declared = self._document.get("Outputs", {})
        return {
            name: output["Value"]
            for name, output in declared.items()
            if "Condition" not in output or self.condition(output["Condition"])
        }

    def local_path(self, bucket: str, key: str) -> Path | None:
        """The local file or folder behind a code location, or None when it really lies in S3."""
        return self.root / key if bucket == LOCAL_FILES else None

    def _check_rules(self) -> None:
        """Rules: what CloudFormation demands of parameters that belong together."""
        lookups = _ParameterLookups(self)
        for name, rule in self._document.get("Rules", {}).items():
            if "RuleCondition" in rule and not resolve(rule["RuleCondition"], lookups):
                continue
            for assertion in rule["Assertions"]:
                if not resolve(assertion["Assert"], lookups):
                    raise ParameterError(f"Rule {name}: {assertion.get('AssertDescription', assertion['Assert'])}")

    def _in_creation_order(self) -> dict[str, Resource]:
        wanted: dict[str, Mapping[str, Any]] = {
            logical_id: body
            for logical_id, body in self._document["Resources"].items()
            if "Condition" not in body or self.condition(body["Condition"])
        }
        needs = {logical_id: self._needs(body) & set(wanted) - {logical_id} for logical_id, body in wanted.items()}
        ordered: dict[str, Resource] = {}
        while len(ordered) < len(wanted):
            ready = [
                logical_id for logical_id in wanted if logical_id not in ordered and needs[logical_id] <= set(ordered)
            ]
            if not ready:
                raise TemplateError(f"Circular references between {', '.join(sorted(set(wanted) - set(ordered)))}.")
            for logical_id in ready:
                body = wanted[logical_id]
                ordered[logical_id] = Resource(logical_id, body["Type"], dict(body.get("Properties", {})))
        return ordered

    def _needs(self, body: Mapping[str, Any]) -> set[str]:
        named = body.get("DependsOn", [])
        properties = self._live_branches(body.get("Properties", {}))
        return references(properties) | set([named] if isinstance(named, str) else named)

    def _live_branches(self, value: Any) -> Any:
        """`value` with each Fn::If replaced by the branch that is taken: the other may name a resource not made."""
        if isinstance(value, list):
            return [self._live_branches(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {"Fn::If"}:
            name, when_true, when_false = value["Fn::If"]
            return self._live_branches(when_true if self.condition(name) else when_false)
        return {key: self._live_branches(item) for key, item in value.items()}


class _ParameterLookups(Lookups):
    """Lookups for conditions, in which CloudFormation allows no resources."""

    def __init__(self, template: Template) -> None:
        self._template = template

    def ref(self, logical_id: str) -> Any:
        value = self._template.parameter(logical_id)
        if value is None:
            raise TemplateError(f"A condition refers to {logical_id}, which is no parameter.")
        return value

    def attribute(self, logical_id: str, name: str) -> Any:
        raise TemplateError(f"A condition refers to {logical_id}.{name}: conditions may name parameters only.")

    def condition(self, name: str) -> bool:
        return self._template.condition(name)

    def mapping(self, name: str, top: str, second: str) -> Any:
        return self._template.mapping(name, top, second)

    def dynamic_reference(self, service: str, reference: str) -> str:
        raise TemplateError("A condition holds a dynamic reference: CloudFormation does not resolve those there.")


class _Region:
    """aws-sam-translator asks the session it is given for its region, and for nothing else."""

    def __init__(self, region_name: str) -> None:
        self.region_name = region_name


def expand(source: Mapping[str, Any], values: Mapping[str, ParameterValue], region: str) -> dict[str, Any]:
    """Expand a SAM template to plain CloudFormation, offline.

    Raises
    ------
    TemplateError
        Aws-sam-translator refuses the template; its reasons are in the message.
    """
    packaged = copy.deepcopy(dict(source))
    folder = packaged.get("Globals", {}).get("Function", {})
    if "CodeUri" in folder:
        folder["CodeUri"] = _packaged(folder["CodeUri"])
    for body in packaged["Resources"].values():
        name = _PATH_PROPERTIES.get(body.get("Type"))
        properties = body.get("Properties", {})
        if name in properties:
            properties[name] = _packaged(properties[name])
    texts = {name: ",".join(value) if isinstance(value, list) else value for name, value in values.items()}
    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns that AWS's own feature toggles are not here
    try:
        # The empty mapping: names of AWS managed policies are found in the list that the translator brings along.
        return dict(Translator({}, Parser(), boto_session=_Region(region)).translate(packaged, texts))
    except InvalidDocumentException as error:
        reasons = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"aws-sam-translator refuses the template: {reasons}") from error


def _packaged(location: Any) -> Any:
    if isinstance(location, str) and not location.startswith(("s3://", "https://")):
        return f"s3://{LOCAL_FILES}/{location.removeprefix('./').rstrip('/') or '.'}"
    return location
