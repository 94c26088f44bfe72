"""Runs one Lambda handler in a process of its own: one JSON request a line on stdin, one JSON answer a line on stdout.

A request is {"event", "request_id", "arn", "deadline" (seconds since 1970)}; an answer is {"result"} or {"error"}. The
error has the shape that AWS gives: {"errorMessage", "errorType", "requestId", "stackTrace"}. What the handler prints
goes to stderr, which the parent sends to the function's log.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
from typing import Any


class Context:
    """The second argument of a handler, as AWS Lambda's Python runtime documents it."""

    identity = None
    client_context = None

    def __init__(self, request_id: str, arn: str, deadline: float) -> None:
        self.aws_request_id = request_id
        self.invoked_function_arn = arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout."""
        return max(0, int((self._deadline - time.time()) * 1000))


def load_handler(name: str) -> Any:
    """The callable behind a template's `Handler`, for example "dispatch.handler"."""
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), function)


def failure(error: BaseException, request_id: str) -> dict[str, Any]:
    """An exception in the shape in which AWS Lambda reports it."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def serve() -> None:
    """Answer requests until stdin is closed."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    handler = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            handler = handler or load_handler(os.environ["_HANDLER"])
            context = Context(request["request_id"], request["arn"], request["deadline"])
            answer = json.dumps({"result": handler(request["event"], context)})
        except SystemExit:
            raise
        # Whatever a handler raises is its answer, as on AWS.
        except BaseException as error:  # noqa: BLE001 - said above
            traceback.print_exc()
            answer = json.dumps({"error": failure(error, request["request_id"])})
        sys.stdout.flush()
        answers.write(answer + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
