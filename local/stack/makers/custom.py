"""Maker of custom resources: a function of the template answers, as it would answer CloudFormation.

The function gets CloudFormation's event and puts its answer to the ResponseURL, which here is a listener on this
machine's loopback address. Only Create and Update are played: the laptop cloud is thrown away whole, without Delete.
Source: CloudFormation User Guide, "Custom resource request types" and "Custom resource response objects".
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from local.errors import ResourceError
from local.stack.stack import Made, Properties, Stack, as_text
from local.stack.template import Resource

_DEFAULT_TIMEOUT_SECONDS = 3600
_MAX_ANSWER_BYTES = 4096
_GRACE_SECONDS = 1.0
"""How long an answer may still be on its way after the function that sent it has failed."""

Inbox = queue.Queue[tuple[str, str]]
"""What comes of a request: ("answer", its text) or ("failure", why the function failed)."""


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
        answer = _read(_asked(stack.client("lambda"), token, request, int(timeout)), request)
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


def _asked(client: Any, token: str, request: Properties, timeout: int) -> str:
    """The text that the function puts to the ResponseURL within `timeout` seconds."""
    inbox, failure, start = Inbox(), "", time.monotonic()
    end = start + timeout
    with _response_url(inbox) as url:
        event = {**request, "ResponseURL": url}
        threading.Thread(target=_invoke, args=(client, token, event, inbox), daemon=True).start()
        while True:
            try:
                kind, text = inbox.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if kind == "answer":
                return text
            failure, end = text, min(end, time.monotonic() + _GRACE_SECONDS)
    if failure:
        waited = math.ceil(time.monotonic() - start)
        raise ResourceError(
            f"no answer came within {waited} s, and none will, because its function {token} failed: {failure}"
        )
    raise ResourceError(
        f"no answer came within {timeout} s (ServiceTimeout). "
        f"Its function {token} must put one to the ResponseURL of its event."
    )


@contextmanager
def _response_url(inbox: Inbox) -> Iterator[str]:
    """An address that takes the answer, until the block is left."""
    path = f"/{uuid.uuid4()}"

    class Listener(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == path:
                inbox.put(("answer", body.decode("utf-8", errors="replace")))
            self.send_response(200 if self.path == path else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base class calls it
            """What the function does is in its own log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="answers", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}"
    finally:
        server.shutdown()
        server.server_close()


def _invoke(client: Any, token: str, event: Properties, inbox: Inbox) -> None:
    """Run the function on the event; what it returns does not count, that it failed does."""
    try:
        answer = client.invoke(FunctionName=token, Payload=json.dumps(event).encode())
        payload = answer["Payload"].read()
    except (ClientError, BotoCoreError) as error:
        inbox.put(("failure", str(error)))
        return
    if "FunctionError" in answer:
        failed = json.loads(payload)
        inbox.put(("failure", f"{failed.get('errorType')}: {failed.get('errorMessage')}"))


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
