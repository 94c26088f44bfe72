"""Makers of roles, functions, event sources, rules, state machines, REST APIs and Glue jobs."""

from __future__ import annotations

import hashlib
import json
import re

from laptop_cloud.aws.api_gateway import RESOURCE, Proxy
from laptop_cloud.errors import ResourceError
from laptop_cloud.stack.package import LOCAL_FILES
from laptop_cloud.stack.stack import Made, Properties, Stack, known_arguments
from laptop_cloud.stack.template import Resource


def role(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::IAM::Role with its inline and customer managed policies.

    AWS managed policies are not attached. An update does not remove policies.
    """
    iam, made = stack.client("iam"), stack.made.get(resource.logical_id)
    name = stack.name(resource, "RoleName", properties, 64)
    if made is None:
        found = iam.create_role(**known_arguments(iam, "create_role", {**properties, "RoleName": name}))["Role"]
        stack.services.roles[found["Arn"]] = resource.logical_id
        made = Made(name, {"Arn": found["Arn"], "RoleId": found["RoleId"]})
    for policy in properties.get("Policies", []):
        # moto requires a Version; AWS does not, and SAM's policy templates have none.
        document = json.dumps({"Version": "2012-10-17", **policy["PolicyDocument"]})
        iam.put_role_policy(RoleName=name, PolicyName=policy["PolicyName"], PolicyDocument=document)
    for arn in properties.get("ManagedPolicyArns", []):
        if not arn.startswith("arn:aws:iam::aws:"):
            iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    return made


def managed_policy(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::IAM::ManagedPolicy."""
    name = stack.name(resource, "ManagedPolicyName", properties)
    document = json.dumps({"Version": "2012-10-17", **properties["PolicyDocument"]})
    arn = stack.client("iam").create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    return Made(arn, {"PolicyArn": arn})


def function(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::Function, with the folder named by CodeUri as its package. Published versions do not change."""
    client, name = stack.client("lambda"), stack.name(resource, "FunctionName", properties, 64)
    arguments = known_arguments(client, "create_function", {**properties, "FunctionName": name})
    for unsupported in ("LoggingConfig", "KMSKeyArn"):
        arguments.pop(unsupported, None)
    if properties.get("Layers"):
        raise ResourceError(f"{resource.logical_id}: Layers are not supported. Put the modules into CodeUri.")
    if "LogGroup" in properties.get("LoggingConfig", {}):
        stack.services.log_groups[name] = properties["LoggingConfig"]["LogGroup"]
    code = {"ZipFile": stack.content(resource, properties["Code"].get("S3Bucket"), properties["Code"].get("S3Key"))}
    if resource.logical_id not in stack.made:
        made = client.create_function(**{**arguments, "Code": code})
        return Made(name, {"Arn": made["FunctionArn"]})
    client.update_function_code(FunctionName=name, **code)
    client.update_function_configuration(**known_arguments(client, "update_function_configuration", arguments))
    return stack.made[resource.logical_id]


def event_source(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::EventSourceMapping of an SQS queue or a DynamoDB stream."""
    if properties["EventSourceArn"].split(":")[2] not in ("sqs", "dynamodb"):
        raise ResourceError(f"{resource.logical_id}: only SQS queues and DynamoDB streams are supported event sources.")
    client = stack.client("lambda")
    made = client.create_event_source_mapping(**known_arguments(client, "create_event_source_mapping", properties))
    stack.services.add_event_source(made["UUID"])
    return Made(made["UUID"], {"Id": made["UUID"]})


def alias(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Lambda::Alias. RoutingConfig is ignored: every invocation goes to FunctionVersion."""
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
    """AWS::StepFunctions::StateMachine, from a definition file or an inline definition."""
    states, name = stack.client("stepfunctions"), stack.name(resource, "StateMachineName", properties)
    values = {key: str(value) for key, value in properties.get("DefinitionSubstitutions", {}).items()}
    text = properties.get("DefinitionString")
    if text is None:
        location = properties["DefinitionS3Location"]
        text = stack.content(resource, location["Bucket"], location["Key"]).decode()
    # As in CloudFormation, unknown names are left as they are.
    definition = _SUBSTITUTION.sub(lambda match: values.get(match[1], match[0]), text)
    given = {"definition": definition, "roleArn": properties["RoleArn"]}
    if resource.logical_id in stack.made:
        states.update_state_machine(stateMachineArn=stack.made[resource.logical_id].ref, **given)
        return stack.made[resource.logical_id]
    kind = properties.get("StateMachineType", "STANDARD")
    arn = states.create_state_machine(name=name, type=kind, **given)["stateMachineArn"]
    return Made(arn, {"Arn": arn, "Name": name})


_FUNCTION_IN_URI = re.compile(r"functions/(arn:[^/]+)/invocations$")


def rest_api(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::ApiGateway::RestApi whose Body sends every path to one function, with or without an API key."""
    gateway, body = stack.client("apigateway"), properties.get("Body") or {}
    operation = body.get("paths", {}).get(RESOURCE, {}).get("x-amazon-apigateway-any-method", {})
    uri = _FUNCTION_IN_URI.search(str(operation.get("x-amazon-apigateway-integration", {}).get("uri")))
    if len(body.get("paths", {})) != 1 or uri is None:
        raise ResourceError(f"{resource.logical_id}: only APIs with the single route ANY {RESOURCE} are supported.")
    wanted = {name for entry in operation.get("security", body.get("security")) or [] for name in entry}
    if wanted - {"api_key"}:
        raise ResourceError(f"{resource.logical_id} uses the authorizers {wanted}; only API keys are supported.")
    api = gateway.create_rest_api(name=properties.get("Name") or body["info"]["title"])
    # moto deploys only APIs that have a method. This one is never called: requests go to the listener.
    method = {"restApiId": api["id"], "resourceId": api["rootResourceId"], "httpMethod": "ANY"}
    gateway.put_method(**method, authorizationType="NONE")
    gateway.put_integration(**method, type="MOCK")
    responses = body.get("x-amazon-apigateway-gateway-responses", {})
    stack.services.open_api(Proxy(api["id"], uri[1], bool(wanted), responses))
    return Made(api["id"], {"RootResourceId": api["rootResourceId"], "RestApiId": api["id"]})


def glue_job(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """AWS::Glue::Job. A script that is a local file is uploaded, as `sam package` does."""
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


def artifacts(stack: Stack) -> str:
    """Return the name of the deployment's own bucket, and create it if it does not exist."""
    name = f"{stack.template.stack_name}-artifacts"
    stack.client("s3").create_bucket(Bucket=name)
    return name


def _upload(stack: Stack, resource: Resource, location: str) -> str:
    s3, bucket = stack.client("s3"), artifacts(stack)
    content = stack.content(resource, LOCAL_FILES, location.removeprefix(f"s3://{LOCAL_FILES}/"))
    key = hashlib.md5(content, usedforsecurity=False).hexdigest()
    s3.put_object(Bucket=bucket, Key=key, Body=content)
    return f"s3://{bucket}/{key}"
