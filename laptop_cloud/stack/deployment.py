"""Deploys a template as CloudFormation would: makes what is new, updates what changed, goes back when that fails."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from laptop_cloud.aws.account import ACCOUNT_ID, REGION, STACK_NAME
from laptop_cloud.errors import LaptopCloudError, ResourceError
from laptop_cloud.stack.makers import LEFT_OUT, check_types, is_changeable, maker
from laptop_cloud.stack.stack import Made, Properties, Stack
from laptop_cloud.stack.template import Resource, Template


def create(stack: Stack) -> None:
    """Make every resource of the stack's template, each after those it refers to.

    Raises
    ------
    UnsupportedResourceError
        See `laptop_cloud.stack.makers.check_types`.
    ResourceError
        A resource was refused; names it and the reason.
    """
    check_types(stack.template)
    _apply(stack)
    _register(stack)


def update(stack: Stack, template: Template) -> None:
    """Make the stack what a changed template, or one with changed files, says.

    What the new template no longer has stays where it is, as what AWS keeps by DeletionPolicy: Retain does.

    Raises
    ------
    ResourceError
        A resource was refused. Those that were updated before it are again as the template before said.
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
        raise ResourceError(f"{failure} The stack was rolled back to what it was before.") from failure
    _register(stack)


def _register(stack: Stack) -> None:
    """Let `aws cloudformation` answer: describe-stacks with the outputs, list-stack-resources with the resources.

    Only when it is asked, because moto's CloudFormation imports the models of thirty services: three seconds.
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
        backend.create_stack(STACK_NAME, body, {}).resource_map = resources

    stack.services.before_requests("cloudformation", register)


def _apply(stack: Stack) -> None:
    """Make or update, in order, whatever is not as the stack's template says."""
    for resource in stack.template.resources.values():
        name, properties = resource.logical_id, stack.resolve(resource.properties)
        if name in stack.made and stack.properties[name] == properties:
            continue
        try:
            stack.made[name] = _made(stack, resource, properties)
        finally:  # when an update has failed, a rollback updates again what may be half done
            stack.properties[name] = properties


def _made(stack: Stack, resource: Resource, properties: Properties) -> Made:
    if resource.type in LEFT_OUT:
        return Made(stack.generated_name(resource.logical_id))
    make = maker(resource.type)
    if make is None or (resource.logical_id in stack.made and not is_changeable(resource.type)):
        raise ResourceError(f"{resource.logical_id}: the laptop cloud cannot change an {resource.type} that is there.")
    try:
        return make(stack, resource, properties)
    except (ClientError, BotoCoreError, KeyError) as error:
        raise ResourceError(f"{resource.logical_id} ({resource.type}) was refused: {error!r}") from error
