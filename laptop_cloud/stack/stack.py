"""The stack: the resources that were made, their names, and the values of references to them."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from laptop_cloud.aws.account import REGION
from laptop_cloud.aws.services import Services
from laptop_cloud.errors import ResourceError, TemplateError
from laptop_cloud.stack.intrinsics import Lookups, resolve
from laptop_cloud.stack.package import LOCAL_FILES
from laptop_cloud.stack.template import Resource, Template, as_text

Properties = dict[str, Any]
"""A resource's properties with every reference resolved."""


@dataclass(frozen=True)
class Made:
    """A resource that was made: the value of `Ref`, and the values of `Fn::GetAtt` by attribute name."""

    ref: str
    attributes: dict[str, Any] = field(default_factory=dict)


class Stack(Lookups):
    """The resources of a template, which can refer to each other.

    Attributes
    ----------
    made
        Logical id -> the resource.
    properties
        Logical id -> the properties of the last attempt to make or update the resource.
    """

    def __init__(self, services: Services, template: Template) -> None:
        self.services = services
        self.template = template
        self.client = services.client
        self.made: dict[str, Made] = {}
        self.properties: dict[str, Properties] = {}

    def resolve(self, value: Any) -> Any:
        """Replace every reference in `value`, and API Gateway URLs by URLs on this machine."""
        return self._on_this_machine(resolve(value, self))

    def name(self, resource: Resource, property_name: str, properties: Properties, longest: int = 80) -> str:
        """Return the resource's explicit name, or a generated one."""
        explicit = properties.get(property_name)
        return str(explicit) if explicit else self.generated_name(resource.logical_id, longest)

    def generated_name(self, logical_id: str, longest: int = 80) -> str:
        """Generate a name like CloudFormation's, from stack and logical id, which is the same at each start."""
        stack_name = self.template.stack_name
        digest = hashlib.sha256(f"{stack_name}/{logical_id}".encode()).digest()
        unique = base64.b32encode(digest).decode()[:12]
        return f"{f'{stack_name}-{logical_id}'[: longest - 13]}-{unique}"

    def content(self, resource: Resource, bucket: str, key: str) -> bytes:
        """Return the content of a local file that a resource names, or of a local folder as a zip.

        Raises
        ------
        ResourceError
            The resource names an S3 object, or the file does not exist.
        """
        if bucket != LOCAL_FILES:
            raise ResourceError(
                f"{resource.logical_id} names s3://{bucket}/{key}. Name a local file or folder instead."
            )
        content = self.template.package.content(key)
        if content is None:
            path = key.rpartition("@")[0]
            raise ResourceError(f"{resource.logical_id}: no {path} found in the template's folder.")
        return content

    def outputs(self) -> dict[str, str]:
        """Return the template's outputs."""
        return {name: str(self.resolve(value)) for name, value in self.template.outputs().items()}

    def ref(self, logical_id: str) -> Any:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        if logical_id in self.made:
            return self.made[logical_id].ref
        value = self.template.parameter(logical_id)
        if value is None:
            raise TemplateError(f"Ref {logical_id}: unknown parameter or resource, or its condition is false.")
        return value

    def attribute(self, logical_id: str, name: str) -> Any:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        if logical_id not in self.made:
            raise TemplateError(f"Fn::GetAtt {logical_id}.{name}: unknown resource, or its condition is false.")
        attributes = self.made[logical_id].attributes
        if name not in attributes:
            known = ", ".join(sorted(attributes)) or "none"
            raise TemplateError(f"Fn::GetAtt {logical_id}.{name}: the laptop cloud supports the attributes {known}.")
        return attributes[name]

    def condition(self, name: str) -> bool:
        """See `laptop_cloud.stack.intrinsics.Lookups`."""
        return self.template.condition(name)

    def dynamic_reference(self, service: str, reference: str) -> str:
        """See `laptop_cloud.stack.intrinsics.Lookups`; only secrets are supported."""
        if service != "secretsmanager":
            raise TemplateError(f"{{{{resolve:{service}:{reference}}}}}: only secretsmanager is supported.")
        secret_id = reference.removesuffix(":SecretString")
        return str(self.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"])

    def _on_this_machine(self, value: Any) -> Any:
        """Replace https://{api}.execute-api.{region}.amazonaws.com by http://127.0.0.1:{port}."""
        if isinstance(value, dict):
            return {key: self._on_this_machine(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._on_this_machine(item) for item in value]
        if isinstance(value, str) and ".execute-api." in value:
            for api_id, url in self.services.api_urls.items():
                value = value.replace(f"https://{api_id}.execute-api.{REGION}.amazonaws.com", url)
        return value


def known_arguments(client: Any, operation: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Select the properties that an API operation takes under the same name, converted to the API's types.

    Most properties in CloudFormation have the name of an argument, except for its case. Numbers and booleans may be
    strings.
    """
    plain = {name: value for name, value in properties.items() if name != "Tags"}
    return dict(_typed(plain, _input(client, operation)))


def required_arguments(client: Any, operation: str) -> set[str]:
    """Return the names of an API operation's required arguments."""
    return set(_input(client, operation).required_members)


def _input(client: Any, operation: str) -> Any:
    return client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape


def _typed(value: Any, shape: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        names = {name.lower(): name for name in shape.members}
        known = {names[name.lower()]: item for name, item in value.items() if name.lower() in names}
        return {name: _typed(item, shape.members[name]) for name, item in known.items()}
    if kind == "list" and isinstance(value, list):
        return [_typed(item, shape.member) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {name: _typed(item, shape.value) for name, item in value.items()}
    if kind in ("integer", "long"):
        return int(value)
    if kind in ("double", "float"):
        return float(value)
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind == "string":
        return json.dumps(value) if isinstance(value, (dict, list)) else as_text(value)
    return value
