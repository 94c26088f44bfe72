"""Starts MiniStack, with a repair for each place where it differs from AWS. Runs in MiniStack's own Python.

`tests.judges.deployment.cloud` starts it and sets its environment. The product has no such repairs. After an update of
MiniStack, remove a repair and run `make judge-deploy` to find out whether it is still needed.
"""

from __future__ import annotations

import os
import re
import socket
import string
import sys
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator
from ministack.services import apigateway_v1, glue, s3
from ministack.services.cloudformation import engine, provisioners, stacks

API = re.compile(r"https://(\w+)\.execute-api\.[\w-]+\.amazonaws\.com")
LOCAL_API = rf"http://127.0.0.1:{os.environ['GATEWAY_PORT']}/_aws/execute-api/\1"
ANY_METHOD = "x-amazon-apigateway-any-method"


def loopback_only(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse to listen on other addresses, whatever part of MiniStack tries to."""
    if event == "socket.bind" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        host = arguments[1][0]
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise PermissionError(f"MiniStack may only listen on loopback, not on {host}")


def repair_api_gateway() -> None:
    """Routes with any method, answers without a body, and an address of the API that needs no DNS."""
    # The importer of OpenAPI documents ignores the extension for a route with any method.
    apigateway_v1._OPENAPI_HTTP_METHODS.add(ANY_METHOD)
    import_operation = apigateway_v1._import_operation

    def with_any_method(api: str, resource: str, method: str, *rest: Any) -> None:
        import_operation(api, resource, "ANY" if method.lower() == ANY_METHOD else method, *rest)

    apigateway_v1._import_operation = with_any_method
    # A function's answer with the body null ends in an exception.
    send_response = app._send_response

    async def send(send: Any, status: int, headers: Any, body: Any, **rest: Any) -> None:
        await send_response(send, status, headers, b"" if body is None else body, **rest)

    app._send_response = send
    # The template's address is AWS's, which this machine must not ask for.
    resolve = engine._resolve_refs

    def with_local_address(value: Any, *rest: Any) -> Any:
        found = resolve(value, *rest)
        return API.sub(LOCAL_API, found) if isinstance(found, str) else found

    engine._resolve_refs = stacks._resolve_refs = with_local_address


def repair_secrets() -> None:
    """Ref is the ARN, which roles and outputs contain; a password has the length and the characters of its options."""
    generate = provisioners._sm_secret_string

    def with_options(properties: dict[str, Any]) -> str:
        wanted = dict(properties["GenerateSecretString"])
        wanted["PasswordLength"] = int(wanted["PasswordLength"])  # a Number parameter is a string
        wanted["ExcludeCharacters"] = string.punctuation if wanted["ExcludePunctuation"] else ""
        return str(generate({"GenerateSecretString": wanted}))

    provisioners._sm_secret_string = with_options
    handlers = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    create, delete = handlers["create"], handlers["delete"]

    def create_with_arn(*arguments: Any) -> tuple[str, dict[str, str]]:
        _, attributes = create(*arguments)
        return attributes["Arn"], attributes

    def delete_by_arn(arn: str, *rest: Any) -> None:
        delete(arn.rpartition(":")[2][:-7], *rest)  # the name ends before a hyphen and six characters

    handlers |= {"create": create_with_arn, "delete": delete_by_arn}


def repair_glue() -> None:
    """A job keeps its number of concurrent runs."""
    provisioners._GLUE_JOB_DEFAULTS["ExecutionProperty"] = {}
    create_job = glue._create_job

    def with_concurrent_runs(data: dict[str, Any]) -> Any:
        answer = create_job(data)
        runs = int(data["ExecutionProperty"]["MaxConcurrentRuns"])
        glue._jobs[data["Name"]]["ExecutionProperty"] = {"MaxConcurrentRuns": runs}
        return answer

    glue._create_job = with_concurrent_runs


def repair_permissions() -> None:
    """Batches of messages need the permission for one message, and TLS counts as given."""
    # There is no action sqs:SendMessageBatch. Source: "Actions, resources, and condition keys for Amazon SQS".
    action_of = iam_actions.extract_iam_action

    def without_batch(service: str, *rest: Any) -> Any:
        action = action_of(service, *rest)
        return action.removesuffix("Batch") if action and service == "sqs" else action

    iam_actions.extract_iam_action = without_batch
    # The connections on loopback have no TLS, which the policies of bucket and queues require.
    iam_evaluator.EvalContext.secure_transport = property(lambda context: True, lambda context, value: None)


def repair_the_rest() -> None:
    """Saved queries, and times of objects."""
    # AWS::Logs::QueryDefinition is unknown, which refuses the template. Nothing reads a saved query.
    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = {
        "create": lambda logical_id, properties, stack: (logical_id, {}),
        "update": lambda physical_id, old, new, stack: (physical_id, {}),
        "delete": lambda physical_id, properties: None,
    }
    # LastModified in a listing has whole seconds on S3, as in the answer to HEAD.
    now = s3.now_iso
    s3.now_iso = lambda: re.sub(r"\.\d+Z$", ".000Z", now())


if __name__ == "__main__":
    sys.addaudithook(loopback_only)
    repair_api_gateway()
    repair_secrets()
    repair_glue()
    repair_permissions()
    repair_the_rest()
    app.main()
