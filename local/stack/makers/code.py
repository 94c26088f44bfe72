"""Makers of what runs, and of what starts it: roles, functions, rules, state machines, Glue jobs."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from local.errors import ResourceError
from local.stack.package import LOCAL_FILES
from local.stack.stack import Made, Properties, Stack, known_arguments
from local.stack.template import Resource


def role(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::IAM::Role with its policies. AWS's own managed policies are named, but their text is not here."""
    iam = stack.client("iam")
    name = stack.name(resource, "RoleName", properties, 64)
    arguments = known_arguments(iam, "create_role", {**properties, "RoleName": name})
    made = iam.create_role(**arguments)["Role"]
    _set_policies(iam, name, properties)
    stack.services.roles[made["Arn"]] = resource.logical_id
    return Made(name, {"Arn": made["Arn"], "RoleId": made["RoleId"]})


def update_role(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """The role with other policies; one that the template no longer has stays."""
    made = stack.made[resource.logical_id]
    _set_policies(stack.client("iam"), made.ref, properties)
    return made


def _set_policies(iam: Any, role_name: str, properties: Properties) -> None:
    for policy in properties.get("Policies", []):
        # moto insists on a Version; AWS does not, and SAM's policy templates have none.
        document = json.dumps({"Version": "2012-10-17", **policy["PolicyDocument"]})
        iam.put_role_policy(RoleName=role_name, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in properties.get("ManagedPolicyArns", []):
        if not arn.startswith("arn:aws:iam::aws:"):
            iam.attach_role_policy(RoleName=role_name, PolicyArn=arn)


def managed_policy(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::IAM::ManagedPolicy."""
    name = stack.name(resource, "ManagedPolicyName", properties)
    document = json.dumps({"Version": "2012-10-17", **properties["PolicyDocument"]})
    arn = stack.client("iam").create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    return Made(arn, {"PolicyArn": arn})


def function(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::Function: its package is the folder that CodeUri names."""
    client, arguments = stack.client("lambda"), _function_arguments(stack, resource, properties)
    made = client.create_function(**arguments)
    return Made(arguments["FunctionName"], {"Arn": made["FunctionArn"]})


def update_function(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """The function with another code or configuration; published versions stay as they are."""
    client, arguments = stack.client("lambda"), _function_arguments(stack, resource, properties)
    client.update_function_code(FunctionName=arguments["FunctionName"], **arguments.pop("Code"))
    client.update_function_configuration(**known_arguments(client, "update_function_configuration", arguments))
    return stack.made[resource.logical_id]


def _function_arguments(stack: Stack, resource: Resource, properties: Properties) -> Properties:
    name = stack.name(resource, "FunctionName", properties, 64)
    arguments = known_arguments(stack.client("lambda"), "create_function", {**properties, "FunctionName": name})
    for foreign in ("LoggingConfig", "KMSKeyArn"):
        arguments.pop(foreign, None)
    if properties.get("Layers"):
        raise ResourceError(
            f"{resource.logical_id} has Layers, which the laptop cloud does not know: put the modules into CodeUri."
        )
    if "LogGroup" in properties.get("LoggingConfig", {}):
        stack.services.log_groups[name] = properties["LoggingConfig"]["LogGroup"]
    code = properties["Code"]
    return {**arguments, "Code": {"ZipFile": stack.content(resource, code.get("S3Bucket"), code.get("S3Key"))}}


def event_source(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::EventSourceMapping, of a queue or of a table's stream."""
    if properties["EventSourceArn"].split(":")[2] not in ("sqs", "dynamodb"):
        raise ResourceError(f"{resource.logical_id}: only queues and tables' streams are known here as event sources.")
    client = stack.client("lambda")
    made = client.create_event_source_mapping(**known_arguments(client, "create_event_source_mapping", properties))
    stack.services.add_event_source(made["UUID"])
    return Made(made["UUID"], {"Id": made["UUID"]})


def alias(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::Alias; without RoutingConfig: every invocation goes to FunctionVersion."""
    client = stack.client("lambda")
    change = client.update_alias if resource.logical_id in stack.made else client.create_alias
    plain = {name: value for name, value in properties.items() if name != "RoutingConfig"}
    arn = change(**known_arguments(client, "create_alias", plain))["AliasArn"]
    return Made(arn, {"AliasArn": arn})


def rule(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Events::Rule with its targets."""
    events = stack.client("events")
    name = stack.name(resource, "Name", properties, 64)
    arguments = known_arguments(events, "put_rule", {**properties, "Name": name})
    arn = events.put_rule(**arguments)["RuleArn"]
    targets = known_arguments(events, "put_targets", {"Targets": properties.get("Targets", [])})["Targets"]
    if targets:
        events.put_targets(Rule=name, Targets=targets)
    return Made(name, {"Arn": arn})


_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


def state_machine(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::StepFunctions::StateMachine: its definition file, DefinitionSubstitutions put in as text."""
    states, name = stack.client("stepfunctions"), stack.name(resource, "StateMachineName", properties)
    values = {key: str(value) for key, value in properties.get("DefinitionSubstitutions", {}).items()}
    # As CloudFormation does: names it does not know stay as they are.
    location = properties["DefinitionS3Location"]
    text = stack.content(resource, location["Bucket"], location["Key"]).decode()
    definition = _SUBSTITUTION.sub(lambda match: values.get(match[1], match[0]), text)
    given = {"definition": definition, "roleArn": properties["RoleArn"]}
    if resource.logical_id in stack.made:
        states.update_state_machine(stateMachineArn=stack.made[resource.logical_id].ref, **given)
        return stack.made[resource.logical_id]
    kind = properties.get("StateMachineType", "STANDARD")
    arn = states.create_state_machine(name=name, type=kind, **given)["stateMachineArn"]
    return Made(arn, {"Arn": arn, "Name": name})


def glue_job(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Glue::Job: a script that is a local file is uploaded, as `sam package` would."""
    glue, name = stack.client("glue"), stack.name(resource, "Name", properties)
    arguments = known_arguments(glue, "create_job", {**properties, "Name": name})
    location = arguments["Command"]["ScriptLocation"]
    if location.startswith(f"s3://{LOCAL_FILES}/"):
        arguments["Command"]["ScriptLocation"] = _upload(stack, resource, location)
    if resource.logical_id in stack.made:
        glue.update_job(**known_arguments(glue, "update_job", {"JobName": name, "JobUpdate": arguments}))
    else:
        glue.create_job(**arguments)
    return Made(name)


def _upload(stack: Stack, resource: Resource, location: str) -> str:
    s3, bucket = stack.client("s3"), f"{stack.account.stack_name}-artifacts"
    content = stack.content(resource, LOCAL_FILES, location.removeprefix(f"s3://{LOCAL_FILES}/"))
    key = hashlib.md5(content, usedforsecurity=False).hexdigest()
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return f"s3://{bucket}/{key}"
