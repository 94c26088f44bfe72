"""Makers of what runs: roles, functions, state machines, Glue jobs."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from local.errors import ResourceError
from local.resources.stack import Made, Stack, known_arguments
from local.template import LOCAL_FILES, Resource

Properties = dict[str, Any]


def role(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::IAM::Role with its policies. AWS's own managed policies are named, but their text is not here."""
    iam = stack.client("iam")
    name = stack.name(resource, "RoleName", properties)[:64]
    arguments = known_arguments(iam, "create_role", {**properties, "RoleName": name})
    arguments.pop("Tags", None)
    made = iam.create_role(**arguments)["Role"]
    for policy in properties.get("Policies", []):
        _put_policy(iam, name, policy)
    for arn in properties.get("ManagedPolicyArns", []):
        if not arn.startswith("arn:aws:iam::aws:"):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    stack.roles[made["Arn"]] = resource.logical_id
    return Made(name, {"Arn": made["Arn"], "RoleId": made["RoleId"]})


def managed_policy(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::IAM::ManagedPolicy."""
    name = stack.name(resource, "ManagedPolicyName", properties)
    document = json.dumps({"Version": "2012-10-17", **properties["PolicyDocument"]})
    arn = stack.client("iam").create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    return Made(arn, {"PolicyArn": arn})


def role_policy(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::IAM::Policy and AWS::IAM::RolePolicy: an inline policy of roles made elsewhere."""
    iam = stack.client("iam")
    for name in properties.get("Roles", [properties.get("RoleName")]):
        _put_policy(iam, name, properties)
    return Made(properties["PolicyName"], {"Id": properties["PolicyName"]})


def _put_policy(iam: Any, role_name: str, policy: Properties) -> None:
    # moto insists on a Version; AWS does not, and SAM's policy templates have none.
    document = json.dumps({"Version": "2012-10-17", **policy["PolicyDocument"]})
    iam.put_role_policy(RoleName=role_name, PolicyName=policy["PolicyName"], PolicyDocument=document)


def function(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::Function: its package is the folder that CodeUri names."""
    client = stack.client("lambda")
    name = stack.name(resource, "FunctionName", properties)[:64]
    folder = stack.file(_local_key(resource, properties["Code"]))
    arguments = known_arguments(client, "create_function", {**properties, "FunctionName": name})
    for foreign in ("Tags", "LoggingConfig", "Layers", "KMSKeyArn"):
        arguments.pop(foreign, None)
    if properties.get("Layers"):
        raise ResourceError(
            f"{resource.logical_id} has Layers, which the laptop cloud does not know: put the modules into CodeUri."
        )
    arguments["Code"] = {"ZipFile": package(folder)}
    made = client.create_function(**arguments)
    if "ReservedConcurrentExecutions" in properties:
        reserved = int(properties["ReservedConcurrentExecutions"])
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=reserved)
    return Made(name, {"Arn": made["FunctionArn"]})


def invoke_config(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::EventInvokeConfig."""
    client = stack.client("lambda")
    arguments = known_arguments(client, "put_function_event_invoke_config", properties)
    arguments.pop("Qualifier", None)
    client.put_function_event_invoke_config(**arguments)
    return Made(stack.generated_name(resource.logical_id))


def version(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::Version, which `AutoPublishAlias` adds to a function: the function as it is now."""
    client = stack.client("lambda")
    arguments = known_arguments(client, "publish_version", properties)
    arguments.pop("CodeSha256", None)  # it guards against another deployment in between
    made = client.publish_version(**arguments)
    return Made(made["FunctionArn"], {"FunctionArn": made["FunctionArn"], "Version": made["Version"]})


def alias(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::Alias; without RoutingConfig: every invocation goes to FunctionVersion."""
    client = stack.client("lambda")
    plain = {name: value for name, value in properties.items() if name != "RoutingConfig"}
    arn = client.create_alias(**known_arguments(client, "create_alias", plain))["AliasArn"]
    return Made(arn, {"AliasArn": arn})


def package(folder: Path) -> bytes:
    """A function's package: the folder's files as a zip, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes())
    return buffer.getvalue()


def _local_key(resource: Resource, location: Properties) -> str:
    bucket, key = location.get("S3Bucket", location.get("Bucket")), location.get("S3Key", location.get("Key"))
    if bucket != LOCAL_FILES:
        raise ResourceError(
            f"{resource.logical_id} takes its code from s3://{bucket}/{key}: name a local folder or file."
        )
    return str(key)


_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9_]+)\}")


def state_machine(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::StepFunctions::StateMachine: its definition file, DefinitionSubstitutions put in as text."""
    name = stack.name(resource, "StateMachineName", properties)[:80]
    definition = _definition(stack, resource, properties)
    values = {key: str(value) for key, value in properties.get("DefinitionSubstitutions", {}).items()}
    # As CloudFormation does: names it does not know stay as they are.
    definition = _SUBSTITUTION.sub(lambda match: values.get(match[1], match[0]), definition)
    arn = stack.client("stepfunctions").create_state_machine(
        name=name,
        definition=definition,
        roleArn=properties["RoleArn"],
        type=properties.get("StateMachineType", "STANDARD"),
    )["stateMachineArn"]
    return Made(arn, {"Arn": arn, "Name": name})


def _definition(stack: Stack, resource: Resource, properties: Properties) -> str:
    if "DefinitionS3Location" in properties:
        return stack.file(_local_key(resource, properties["DefinitionS3Location"])).read_text(encoding="utf-8")
    if "DefinitionString" in properties:
        return str(properties["DefinitionString"])
    return json.dumps(properties["Definition"])


def glue_job(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Glue::Job: its script is uploaded as `sam package` would, and ScriptLocation says where to."""
    glue = stack.client("glue")
    name = stack.name(resource, "Name", properties)
    arguments = known_arguments(glue, "create_job", {**properties, "Name": name})
    arguments.pop("Tags", None)
    location = arguments["Command"]["ScriptLocation"]
    if not location.startswith("s3://"):
        arguments["Command"]["ScriptLocation"] = _upload(stack, location)
    glue.create_job(**arguments)
    return Made(name)


def _upload(stack: Stack, location: str) -> str:
    s3 = stack.client("s3")
    bucket = f"{stack.account.stack_name}-artifacts".lower()
    content = stack.file(location).read_bytes()
    key = hashlib.md5(content, usedforsecurity=False).hexdigest()
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return f"s3://{bucket}/{key}"
