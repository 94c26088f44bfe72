"""Maker of custom resources: a function of the template answers, as it would answer CloudFormation.

The function gets CloudFormation's event and puts its answer to the ResponseURL, a presigned address of S3. Only Create
and Update are played: the laptop cloud is thrown away whole, without Delete.
Source: CloudFormation User Guide, "Custom resource request types" and "Custom resource response objects".
"""

from __future__ import annotations

import json
import math
import threading
import time
import uuid
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from laptop_cloud.errors import ResourceError
from laptop_cloud.stack.makers.code import artifacts
from laptop_cloud.stack.stack import Made, Properties, Stack, as_text
from laptop_cloud.stack.template import Resource

_DEFAULT_TIMEOUT_SECONDS = 3600
_MAX_ANSWER_BYTES = 4096
_LOOK_SECONDS = 0.05


def is_custom(resource_type: str) -> bool:
    """Whether the type is that of a custom resource."""
    return resource_type == "AWS::CloudFormation::CustomResource" or resource_type.startswith("Custom::")


def custom_resource(stack: Stack, resource: Resource, properties: Properties) -> Made:
    """Custom::* and AWS::CloudFormation::CustomResource: Ref is the answer's PhysicalResourceId, GetAtt its Data.

    CloudFormation has the function tried again when it fails. Here a function that fails without an answer ends the
    deployment at once: nobody wants to wait an hour for a crash.

    Raises
    ------
    ResourceError
        The answer is FAILED or is not a valid answer, the function failed, or no answer came within ServiceTimeout
        seconds (3600 without one). Names the resource and the reason.
    """
    named, token = f"{resource.logical_id} ({resource.type})", str(properties.get("ServiceToken"))
    if token.startswith("arn:") and token.split(":")[2] != "lambda":
        raise ResourceError(f"{named}: the laptop cloud can ask functions only, and its ServiceToken is {token}.")
    timeout = str(properties.get("ServiceTimeout", _DEFAULT_TIMEOUT_SECONDS))
    if not timeout.isdecimal() or not 1 <= int(timeout) <= _DEFAULT_TIMEOUT_SECONDS:
        raise ResourceError(f"{named}: ServiceTimeout is {timeout}, and must be a whole number from 1 to 3600.")
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
        answer = _read(_asked(stack, token, request, int(timeout)), request)
    except ResourceError as error:
        raise ResourceError(f"{named} was not {'updated' if former else 'made'}: {error}") from None
    return Made(answer["PhysicalResourceId"], answer.get("Data") or {})


def _scalars_as_text(value: Any) -> Any:
    """Properties as CloudFormation sends them: every number and boolean is text."""
    if isinstance(value, dict):
        return {str(key): _scalars_as_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scalars_as_text(item) for item in value]
    return as_text(value)


def _asked(stack: Stack, token: str, request: Properties, timeout: int) -> str:
    """The text that the function puts to the ResponseURL within `timeout` seconds."""
    s3, failures = stack.client("s3"), list[str]()
    place = {"Bucket": artifacts(stack), "Key": f"answers/{request['RequestId']}"}
    event = {**request, "ResponseURL": s3.generate_presigned_url("put_object", Params=place)}
    start = time.monotonic()
    threading.Thread(target=_invoke, args=(stack.client("lambda"), token, event, failures), daemon=True).start()
    while True:
        over = time.monotonic() > start + timeout or bool(failures)
        try:
            return str(s3.get_object(**place)["Body"].read().decode("utf-8", errors="replace"))
        except s3.exceptions.NoSuchKey:
            if over:
                break
        time.sleep(_LOOK_SECONDS)
    if failures:
        waited = math.ceil(time.monotonic() - start)
        raise ResourceError(
            f"no answer came within {waited} s, and none will, because its function {token} failed: {failures[0]}"
        )
    raise ResourceError(
        f"no answer came within {timeout} s (ServiceTimeout). "
        f"Its function {token} must put one to the ResponseURL of its event."
    )


def _invoke(client: Any, token: str, event: Properties, failures: list[str]) -> None:
    """Run the function on the event; what it returns does not count, that it failed does."""
    try:
        answer = client.invoke(FunctionName=token, Payload=json.dumps(event).encode())
        payload = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        failures.append(str(error))
        return
    if "FunctionError" in answer:
        failed = json.loads(payload)
        failures.append(f"{failed.get('errorType')}: {failed.get('errorMessage')}")


def _read(text: str, request: Properties) -> dict[str, Any]:
    """The answer, once it is known to be a valid SUCCESS."""
    if len(text.encode()) > _MAX_ANSWER_BYTES:
        raise ResourceError(f"the answer has more than the {_MAX_ANSWER_BYTES} bytes that AWS takes.")
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise ResourceError(f"the answer is not a JSON object: {text[:200]!r}")
    if answer.get("Status") == "FAILED":
        raise ResourceError(answer.get("Reason") or "its function gave no Reason")
    wanted = {"Status": "SUCCESS", **{name: request[name] for name in ("StackId", "RequestId", "LogicalResourceId")}}
    for name, value in wanted.items():
        if answer.get(name) != value:
            raise ResourceError(f"the answer's {name} is {answer.get(name)!r}, not {value!r}.")
    if not answer.get("PhysicalResourceId") or not isinstance(answer.get("Data") or {}, dict):
        raise ResourceError("the answer has no PhysicalResourceId, or its Data is no object of names and values.")
    return answer
