"""Runs Lambda handlers, each in its own process, with one JSON request per line on a socket and one JSON response.

Started with "fork" and the number of a socket's file descriptor, it imports common modules, and forks a process for
each {"code", "environment", "log"} that arrives with a socket. Started with "serve", it is such a process.

A request is {"event", "request_id", "arn", "deadline" (seconds since 1970)}. A response is {"result"} or {"error"}; the
error has AWS's form {"errorMessage", "errorType", "requestId", "stackTrace"}. The handler's output goes to the
function's log.
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
"""Modules that are imported once for all processes. None of them reads its environment when it is imported."""

SERVICES = ("dynamodb", "lambda", "s3", "secretsmanager", "sqs", "stepfunctions")
"""AWS services whose models botocore reads once for all processes, which halves the start of most handlers."""

SOCKET = 3
"""File descriptor of a process's own socket."""


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
        """Return the milliseconds until the function's timeout."""
        return max(0, int((self._deadline - time.time()) * 1000))


def load_handler(name: str) -> Any:
    """Return the callable that a template's `Handler` names, for example "app.handler"."""
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(module.replace("/", ".")), function)


def failure(error: BaseException, request_id: str) -> dict[str, Any]:
    """Convert an exception to the form in which AWS Lambda reports it."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def serve() -> None:
    """Answer requests until the socket is closed."""
    # A duplicate: the socket itself must stay open until the process ends, when its exit status is read.
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
        # As on AWS, any exception of a handler is its response.
        except BaseException as error:  # noqa: BLE001 - see above
            traceback.print_exc()
            answer = json.dumps({"error": failure(error, request["request_id"])})
        sys.stdout.flush()
        requests.write(answer + "\n")
        requests.flush()


def fork_on_request(control: socket.socket) -> None:
    """Fork a process for each request with a socket; wait for the end of the process that any other request names.

    The response is a number: the process id, or the exit code. When the laptop cloud's process has ended, the forks are
    killed, because a busy fork would notice that only after its handler returns.
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
    """Read botocore's service models before forking, so that all processes share them."""
    import botocore.session

    share_botocore_loader()
    loader = botocore.session.create_loader(None)
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(name)
    for service in SERVICES:
        for kind in ("service-2", "endpoint-rule-set-1"):
            loader.load_service_model(service, kind)


def share_botocore_loader() -> None:
    """Let all boto3 sessions of this process share botocore's loader.

    Otherwise, each session reads and parses the service models again, which takes 20 to 200 ms per service.
    """
    import botocore.session

    botocore.session.create_loader = cache(botocore.session.create_loader)


def become(request: dict[str, Any], own_socket: int) -> None:
    """Turn a new fork into a function's process, with its own session, output, environment, folder and path."""
    os.setsid()  # Ctrl-C in the terminal must not reach it
    log = os.open(request["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for there, here in ((log, 1), (log, 2), (own_socket, SOCKET)):
        os.dup2(there, here)
        os.set_inheritable(here, True)
    code, environment = request["code"], request["environment"]
    os.chdir(code)
    if needs_new_interpreter(code, environment):
        command = [sys.executable, "-P", __file__, "serve"]
        os.execve(sys.executable, command, environment)  # noqa: S606 - needs no shell
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.path.insert(0, code)
    serve()


def needs_new_interpreter(code: str, environment: dict[str, str]) -> bool:
    """Return whether a function needs a Python without imported modules.

    It does if its package contains one of them, if it sets variables that Python reads at its start, and on macOS,
    whose frameworks fail in a forked process.
    """
    imported = {name.partition(".")[0] for name in sys.modules}
    copies = imported & {name.partition(".")[0] for name in os.listdir(code)}  # noqa: PTH208 - pathlib is slow to import
    of_python = {name for name in environment if name.startswith("PYTHON")} - {"PYTHONPATH", "PYTHONUNBUFFERED"}
    return bool(copies or of_python) or sys.platform == "darwin"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        fork_on_request(socket.socket(fileno=int(sys.argv[2])))
