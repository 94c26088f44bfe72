"""Deploys a template as CloudFormation does: creates new resources, updates changed ones, and rolls back on failure."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from laptop_cloud.errors import LaptopCloudError, ResourceError
from laptop_cloud.stack.makers import LEFT_OUT, check_types, is_changeable, maker
from laptop_cloud.stack.stack import Made, Properties, Stack
from laptop_cloud.stack.template import Resource, Template


def create(stack: Stack) -> None:
    """Make every resource of the stack's template, each after the resources it refers to.

    Raises
    ------
    UnsupportedResourceError
        See `laptop_cloud.stack.makers.check_types`.
    ResourceError
        A resource could not be made; the message names it and gives the reason.
    """
    check_types(stack.template)
    _apply(stack)
    _register(stack)


def update(stack: Stack, template: Template) -> None:
    """Update the stack to a template whose text or files have changed.

    Resources that the new template no longer has are kept, as with `DeletionPolicy: Retain`.

    Raises
    ------
    ResourceError
        A resource could not be made or changed. The resources updated before it were rolled back.
    """
    check_types(template)
    before, stack.template = stack.template, template
    try:
        _apply(stack)
    except LaptopCloudError as failure:
        stack.template = before
        try:
            _apply(stack)
        except LaptopCloudError as again:
            raise ResourceError(f"{failure} The rollback failed too: {again}") from failure
        raise ResourceError(f"{failure} The stack was rolled back.") from failure
    _register(stack)


def _register(stack: Stack) -> None:
    """Make DescribeStacks return the outputs, and ListStackResources the resources.

    The stack is registered before the first request, because moto's CloudFormation imports the models of thirty
    services, which takes three seconds.
    """
    outputs = {name: {"Value": value} for name, value in stack.outputs().items()}
    body = json.dumps({"Resources": {}, "Outputs": outputs})
    resources: Any = {
        name: SimpleNamespace(
            logical_resource_id=name, physical_resource_id=stack.made[name].ref, cf_resource_type=resource.type
        )
        for name, resource in stack.template.resources.items()
        if resource.type not in LEFT_OUT
    }

    def register() -> None:
        from moto.cloudformation.models import cloudformation_backends

        backend = cloudformation_backends[ACCOUNT_ID][REGION]
        backend.stacks.clear()
        backend.create_stack(stack.template.stack_name, body, {}).resource_map = resources

    stack.services.before_requests("cloudformation", register)


def _apply(stack: Stack) -> None:
    """Make or update, in order, every resource that differs from the stack's template."""
    for resource in stack.template.resources.values():
        name, properties = resource.logical_id, stack.resolve(resource.properties)
        if name in stack.made and stack.properties[name] == properties:
            continue
        try:
            stack.made[name] = _made(stack, resource, properties)
        finally:  # after a failed update, the rollback must update this resource again
            stack.properties[name] = properties


def _made(stack: Stack, resource: Resource, properties: Properties) -> Made:
    if resource.type in LEFT_OUT:
        return Made(stack.generated_name(resource.logical_id))
    make = maker(resource.type)
    if make is None or (resource.logical_id in stack.made and not is_changeable(resource.type)):
        raise ResourceError(f"{resource.logical_id}: the laptop cloud cannot update an existing {resource.type}.")
    try:
        return make(stack, resource, properties)
    except (ClientError, BotoCoreError, KeyError) as error:
        raise ResourceError(f"{resource.logical_id} ({resource.type}) could not be made: {error!r}") from error
