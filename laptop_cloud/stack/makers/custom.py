"""Maker of custom resources, which a function of the template creates and updates.

The function gets CloudFormation's event and puts its response to the ResponseURL, a presigned S3 URL. Delete requests
are not sent. Source: CloudFormation User Guide, "Custom resource request types" and "Custom resource response objects".
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from laptop_cloud.errors import ResourceError
from laptop_cloud.stack.makers.code import artifacts
from laptop_cloud.stack.stack import Made, Properties, Stack
from laptop_cloud.stack.template import Resource, as_text

_DEFAULT_TIMEOUT_SECONDS = 3600
_MAX_RESPONSE_BYTES = 4096
_POLL_SECONDS = 0.05


def is_custom(resource_type: str) -> bool:
    """Return whether a resource type is a custom resource."""
    return resource_type == "AWS::CloudFormation::CustomResource" or resource_type.startswith("Custom::")


def custom_resource(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """Custom::* and AWS::CloudFormation::CustomResource: Ref is the response's PhysicalResourceId, GetAtt its Data.

    On AWS, a failed function is retried, and the deployment waits up to an hour for a response. Here, a function that
    fails without a response fails the deployment at once.

    Raises
    ------
    ResourceError
        The response is FAILED or invalid, the function failed, or there was no response within ServiceTimeout
        seconds (3600 by default). The message names the resource and the reason.
    """
    named, token = f"{resource.logical_id} ({resource.type})", str(properties.get("ServiceToken"))
    if token.startswith("arn:") and token.split(":")[2] != "lambda":
        raise ResourceError(f"{named}: ServiceToken is {token}. Only functions are supported.")
    timeout = str(properties.get("ServiceTimeout", _DEFAULT_TIMEOUT_SECONDS))
    if not timeout.isdecimal() or not 1 <= int(timeout) <= _DEFAULT_TIMEOUT_SECONDS:
        raise ResourceError(f"{named}: ServiceTimeout is {timeout}. It must be an integer from 1 to 3600.")
    former = stack.made.get(resource.logical_id)
    request = {
        "RequestType": "Update" if former else "Create",
        "ServiceToken": token,
        "StackId": str(stack.ref("AWS::StackId")),
        "RequestId": str(uuid.uuid4()),
        "LogicalResourceId": resource.logical_id,
        "ResourceType": resource.type,
        "ResourceProperties": _scalars_as_text(properties),
    }
    if former:
        request["PhysicalResourceId"] = former.ref
        request["OldResourceProperties"] = _scalars_as_text(stack.properties[resource.logical_id])
    try:
        answer = _validated(_response(stack, token, request, int(timeout)), request)
    except ResourceError as error:
        raise ResourceError(f"{named} could not be {'updated' if former else 'made'}: {error}") from None
    return Made(answer["PhysicalResourceId"], answer.get("Data") or {})


def _scalars_as_text(value: Any) -> Any:
    """Convert every number and boolean to a string, as CloudFormation does."""
    if isinstance(value, dict):
        return {str(key): _scalars_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scalars_as_text(item) for item in value]
    return as_text(value)


def _response(stack: Stack, token: str, request: Properties, timeout: int) -> str:
    """Invoke the function, and return the text that it puts to the ResponseURL within `timeout` seconds."""
    s3, failures = stack.client("s3"), list[str]()
    location = {"Bucket": artifacts(stack), "Key": f"responses/{request['RequestId']}"}
    event = {**request, "ResponseURL": s3.generate_presigned_url("put_object", Params=location)}
    start = time.monotonic()
    threading.Thread(target=_invoke, args=(stack.client("lambda"), token, event, failures), daemon=True).start()
    while True:
        over = time.monotonic() > start + timeout or bool(failures)
        try:
            return str(s3.get_object(**location)["Body"].read().decode("utf-8", errors="replace"))
        except s3.exceptions.NoSuchKey:
            if over:
                break
        time.sleep(_POLL_SECONDS)
    if failures:
        raise ResourceError(f"the function {token} failed without a response: {failures[0]}")
    raise ResourceError(
        f"no response within {timeout} s (ServiceTimeout); the function {token} must PUT one to the ResponseURL"
    )


def _invoke(client: Any, token: str, event: Properties, failures: list[str]) -> None:
    """Invoke the function on the event, ignore its result, and add its error to `failures`."""
    try:
        answer = client.invoke(FunctionName=token, Payload=json.dumps(event).encode())
        payload = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        failures.append(str(error))
        return
    if "FunctionError" in answer:
        failed = json.loads(payload)
        failures.append(f"{failed.get('errorType')}: {failed.get('errorMessage')}")


def _validated(text: str, request: Properties) -> dict[str, Any]:
    """Parse a response, and check that it is a valid SUCCESS."""
    if len(text.encode()) > _MAX_RESPONSE_BYTES:
        raise ResourceError(f"the response is larger than {_MAX_RESPONSE_BYTES} bytes, AWS's limit.")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ResourceError(f"the response is not a JSON object: {text[:200]!r}")
    if answer.get("Status") == "FAILED":
        raise ResourceError(answer.get("Reason") or "the function gave no Reason")
    wanted = {"Status": "SUCCESS", **{name: request[name] for name in ("StackId", "RequestId", "LogicalResourceId")}}
    for name, value in wanted.items():
        if answer.get(name) != value:
            raise ResourceError(f"the response's {name} is {answer.get(name)!r}, not {value!r}.")
    if not answer.get("PhysicalResourceId") or not isinstance(answer.get("Data") or {}, dict):
        raise ResourceError("the response has no PhysicalResourceId, or its Data is not an object.")
    return answer
