"""Records every AWS API call with its principal, for tests of the roles' policies.

Each line is a JSON object: {"principal", "service", "action", "resource"}. `action` is the IAM action of the call;
`resource` is what the request names (a queue's URL, a table's name, bucket/key, an ARN), or null.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from laptop_cloud.aws.services import Application

Watcher = Callable[[str, dict[str, str | None], int], None]
"""Called with "before" or "after", the recorded call, and the caller's TCP port."""

_CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/aws4_request")
_RESOURCE = re.compile(
    r'"(?:QueueUrl|TableName|SecretId|JobName|FunctionName|stateMachineArn|executionArn|KeyId|logGroupName)"'
    r'\s*:\s*"([^"]+)"'
)
_INDEX = re.compile(r'"IndexName"\s*:\s*"([^"]+)"')  # for IAM, an index is a separate resource
_IAM_ACTIONS = {
    ("sqs", "SendMessageBatch"): "SendMessage",
    ("sqs", "DeleteMessageBatch"): "DeleteMessage",
    ("sqs", "ChangeMessageVisibilityBatch"): "ChangeMessageVisibility",
}


def call_log(path: Path) -> Callable[[Application], Application]:
    """Return an `around` for a laptop cloud that writes every call to a file, replacing its content."""
    lock = threading.Lock()
    path.unlink(missing_ok=True)

    def write(when: str, call: dict[str, str | None], port: int) -> None:
        if when == "before":
            with lock, path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(call) + "\n")

    return watching(write)


def watching(watch: Watcher) -> Callable[[Application], Application]:
    """Return an `around` for a laptop cloud that calls `watch` before each call is executed and before its answer is
    sent. If `watch` raises ConnectionAbortedError, the caller gets no answer.
    """

    def around(application: Application) -> Application:
        def watched(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
            if not match:
                return application(environ, start_response)
            call, port = describe(match[1], match[2], environ), int(environ.get("REMOTE_PORT") or 0)
            watch("before", call, port)
            answer = application(environ, start_response)
            watch("after", call, port)
            return answer

        return watched

    return around


def describe(principal: str, service: str, environ: dict[str, Any]) -> dict[str, str | None]:
    """Return the record of one call. Reads the body and restores it."""
    resource: str | None
    if service == "s3":
        action, resource = _s3(environ)
    elif service == "lambda":
        action, resource = _lambda(environ)
    elif "HTTP_X_AMZ_TARGET" in environ:
        action = str(environ["HTTP_X_AMZ_TARGET"]).rpartition(".")[2]
        body = _body(environ)
        found = _RESOURCE.search(body)
        resource = found[1] if found else None
        if resource and (index := _INDEX.search(body)):
            resource = f"{resource}/index/{index[1]}"
    elif environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        form = parse_qs(_body(environ))
        action, resource = form.get("Action", ["?"])[0], None
    else:
        action, resource = f"{environ['REQUEST_METHOD']}", unquote(environ.get("PATH_INFO", ""))
    action = _IAM_ACTIONS.get((service, action), action)
    return {"principal": principal, "service": service, "action": action, "resource": resource}


def _body(environ: dict[str, Any]) -> str:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return bytes(body).decode("utf-8", "replace")


def _s3(environ: dict[str, Any]) -> tuple[str, str]:
    method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
    bucket, _, key = unquote(environ.get("PATH_INFO", "")).lstrip("/").partition("/")
    if not key:
        action = {"PUT": "CreateBucket", "DELETE": "DeleteBucket", "POST": "DeleteObject"}.get(method, "ListBucket")
        return (action if bucket else "ListAllMyBuckets"), bucket
    by_method = {"PUT": "PutObject", "POST": "PutObject", "DELETE": "DeleteObject"}
    action = by_method.get(method, "GetObject")
    if "tagging" in query:
        action += "Tagging"
    if "versionId=" in query and action == "GetObject":
        action = "GetObjectVersion"
    return action, f"{bucket}/{key}"


def _lambda(environ: dict[str, Any]) -> tuple[str, str | None]:
    path = unquote(environ.get("PATH_INFO", ""))
    if path.rstrip("/").endswith("/account-settings"):
        return "GetAccountSettings", None
    match = re.search(r"/functions/([^/]+)/invocations$", path)
    return ("InvokeFunction", match[1]) if match else (f"{environ['REQUEST_METHOD']}", path)
