"""Runs Lambda handlers, each in a process of its own: one JSON request a line on a socket, one JSON answer a line back.

Started with "fork" and the number of a socket's file descriptor, it imports what most functions import, and forks a
process for each {"code", "environment", "log"} that comes with a socket. Started with "serve", it is such a process.

A request is {"event", "request_id", "arn", "deadline" (seconds since 1970)}; an answer is {"result"} or {"error"}. The
error has the shape that AWS gives: {"errorMessage", "errorType", "requestId", "stackTrace"}. What the handler prints
goes to the function's log.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from functools import cache
from typing import Any

COMMON = ("boto3", "pydantic", "requests")
"""Imported once for all. None of them looks at its environment when it is imported."""

SERVICES = ("dynamodb", "lambda", "s3", "secretsmanager", "sqs", "stepfunctions")
"""AWS services whose models botocore reads once for all: half of the time that most handlers take to start."""

SOCKET = 3
"""File descriptor of a process's socket."""


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
    """Answer requests until the socket is closed."""
    # A copy: the socket itself stays open until the process has ended, whose exit status is asked for then.
    requests = socket.socket(fileno=os.dup(SOCKET)).makefile("rw", encoding="utf-8")
    handler = None
    for line in requests:
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
        requests.write(answer + "\n")
        requests.flush()


def fork_on_request(control: socket.socket) -> None:
    """Fork a process for each request that comes with a socket, and wait for the end of those that are named.

    The answer is a number: the process's id, or how it ended. When the laptop cloud's process is gone, the forks are
    killed: one that is busy would not notice before its handler returns.
    """
    for name in COMMON:
        importlib.import_module(name)
    read_service_models()
    gc.freeze()
    lines = control.makefile("rw", encoding="utf-8")
    forks: set[int] = set()
    while True:
        _, sockets, _, _ = socket.recv_fds(control, 1, 1)
        line = lines.readline()
        if not line:
            for pid in forks:
                os.kill(pid, signal.SIGKILL)
            return
        request = json.loads(line)
        if sockets:
            number = os.fork()
            if number == 0:
                lines.close()
                control.close()
                become(request, sockets[0])
                return
            os.close(sockets[0])
            forks.add(number)
        else:
            number = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
            forks.discard(request["wait"])
        lines.write(f"{number}\n")
        lines.flush()


def read_service_models() -> None:
    """Let the processes to come share what botocore has read."""
    import botocore.session

    botocore.session.create_loader = cache(botocore.session.create_loader)
    loader = botocore.session.create_loader(None)
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(name)
    for service in SERVICES:
        for kind in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model(service, kind)


def become(request: dict[str, Any], own_socket: int) -> None:
    """Make this new process one of the function's: session, output, environment, folder and path are its own."""
    os.setsid()  # Ctrl-C in the terminal is not for it to handle
    log = os.open(request["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for there, here in ((log, 1), (log, 2), (own_socket, SOCKET)):
        os.dup2(there, here)
        os.set_inheritable(here, True)
    code, environment = request["code"], request["environment"]
    os.chdir(code)
    if brings_its_own(code, environment):
        command = [sys.executable, "-P", __file__, "serve"]
        os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.path.insert(0, code)
    serve()


def brings_its_own(code: str, environment: dict[str, str]) -> bool:
    """Whether a function needs a Python in which nothing has been imported: it has a copy of a module that has been, or
    variables that Python reads when it starts. And macOS's frameworks do not take a fork that is no new program.
    """
    imported = {name.partition(".")[0] for name in sys.modules}
    copies = imported & {name.partition(".")[0] for name in os.listdir(code)}  # noqa: PTH208 - pathlib takes time
    of_python = {name for name in environment if name.startswith("PYTHON")} - {"PYTHONPATH", "PYTHONUNBUFFERED"}
    return bool(copies or of_python) or sys.platform == "darwin"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        fork_on_request(socket.socket(fileno=int(sys.argv[2])))
