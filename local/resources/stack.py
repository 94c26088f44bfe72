"""The stack in the making: what is there already, what it is called, and what references to it mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.errors import ResourceError, TemplateError
from local.intrinsics import Lookups, resolve
from local.template import Resource, Template

ClientFactory = Callable[[str], Any]


@dataclass(frozen=True)
class Made:
    """A resource that is there: what `Ref` gives, and what `Fn::GetAtt` gives by attribute name."""

    ref: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """One method of a REST API with the function that it invokes.

    Attributes
    ----------
    method
        HTTP method, or ANY.
    path
        The resource's path, for example "/providers/{name}".
    function_arn
        The Lambda function behind it.
    key_required
        Whether a request needs an API key.
    """

    method: str
    path: str
    function_arn: str
    key_required: bool


class Stack(Lookups):
    """Makes a template's resources known to each other.

    Parameters
    ----------
    template
        What is to be made.
    client
        Service name -> boto3 client.
    open_api
        REST API id and its routes -> URL under which the API is reachable on this machine.
    """

    def __init__(self, template: Template, client: ClientFactory, open_api: Callable[[str, list[Route]], str]) -> None:
        self.template = template
        self.account = template.account
        self.client = client
        self.made: dict[str, Made] = {}
        self.roles: dict[str, str] = {}
        self._open_api = open_api
        self._api_urls: dict[str, str] = {}

    def resolve(self, value: Any) -> Any:
        """`value` with every reference replaced, and API Gateway's addresses by those of this machine."""
        return self._on_this_machine(resolve(value, self))

    def name(self, resource: Resource, property_name: str, properties: dict[str, Any]) -> str:
        """The template's explicit name, else one as CloudFormation makes it: stack, logical id, something unique."""
        explicit = properties.get(property_name)
        return str(explicit) if explicit else self.generated_name(resource.logical_id)

    def generated_name(self, logical_id: str) -> str:
        """A name in CloudFormation's style; the same at each start, so that logs and notes stay valid."""
        unique = hashlib.sha256(f"{self.account.stack_name}/{logical_id}".encode()).hexdigest()[:8]
        return f"{self.account.stack_name}-{logical_id}-{unique}"

    def file(self, location: str) -> Path:
        """The local file behind a path or code location of the template.

        Raises
        ------
        ResourceError
            There is nothing there.
        """
        path = self.template.root / location.removeprefix("./")
        if not path.exists():
            raise ResourceError(f"The template names {location}, but there is no {path}.")
        return path

    def open_api(self, api_id: str, routes: list[Route]) -> None:
        """Make a REST API reachable; its address in the template's values becomes that of this machine."""
        self._api_urls[api_id] = self._open_api(api_id, routes)

    def api_urls(self) -> dict[str, str]:
        """REST API id -> URL on this machine."""
        return dict(self._api_urls)

    def outputs(self) -> dict[str, str]:
        """The template's outputs, resolved."""
        return {name: str(self.resolve(value)) for name, value in self.template.outputs().items()}

    def ref(self, logical_id: str) -> Any:
        """See `local.intrinsics.Lookups`."""
        if logical_id in self.made:
            return self.made[logical_id].ref
        value = self.template.parameter(logical_id)
        if value is None:
            raise TemplateError(f"Ref {logical_id}: no such parameter or resource, or its condition is false.")
        return value

    def attribute(self, logical_id: str, name: str) -> Any:
        """See `local.intrinsics.Lookups`."""
        if logical_id not in self.made:
            raise TemplateError(f"Fn::GetAtt {logical_id}.{name}: no such resource, or its condition is false.")
        attributes = self.made[logical_id].attributes
        if name not in attributes:
            known = ", ".join(sorted(attributes)) or "none"
            raise TemplateError(f"Fn::GetAtt {logical_id}.{name}: the laptop cloud knows its attributes {known}.")
        return attributes[name]

    def condition(self, name: str) -> bool:
        """See `local.intrinsics.Lookups`."""
        return self.template.condition(name)

    def mapping(self, name: str, top: str, second: str) -> Any:
        """See `local.intrinsics.Lookups`."""
        return self.template.mapping(name, top, second)

    def dynamic_reference(self, service: str, reference: str) -> str:
        """See `local.intrinsics.Lookups`; a secret's text, or one key of it."""
        if service != "secretsmanager":
            raise TemplateError(f"{{{{resolve:{service}:{reference}}}}}: only secretsmanager is known here.")
        secret_id, _, rest = reference.partition(":SecretString")
        text = str(self.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"])
        key = rest.removeprefix(":").split(":")[0]
        return str(json.loads(text)[key]) if key else text

    def _on_this_machine(self, value: Any) -> Any:
        """The one place where https://{api}.execute-api.{region}.amazonaws.com becomes http://127.0.0.1:{port}."""
        if isinstance(value, dict):
            return {key: self._on_this_machine(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._on_this_machine(item) for item in value]
        if isinstance(value, str) and ".execute-api." in value:
            for api_id, url in self._api_urls.items():
                value = value.replace(f"https://{api_id}.execute-api.{self.account.region}.amazonaws.com", url)
        return value


def known_arguments(client: Any, operation: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Those of a resource's properties that the API operation takes under the same name, in the API's types.

    CloudFormation's properties mostly are the operation's arguments; numbers and booleans may come as text.
    """
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
    return dict(_typed(properties, model.input_shape))


def _typed(value: Any, shape: Any) -> Any:
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {name: _typed(item, shape.members[name]) for name, item in value.items() if name in shape.members}
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


def as_text(value: Any) -> str:
    """A number, boolean or text as CloudFormation writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
