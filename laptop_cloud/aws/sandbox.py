"""A process that runs one Lambda function's handler, with the environment and the responses of Lambda's runtime."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from laptop_cloud.aws.account import process_environment

PROGRAM = Path(__file__).with_name("sandbox_process.py")
_BASICS = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
"""Variables that a handler's process inherits: enough to run Python, and none that Lambda would not have."""


def _basics() -> dict[str, str]:
    return {name: os.environ[name] for name in _BASICS if name in os.environ}


@dataclass(frozen=True)
class Function:
    """Everything that is needed to run one function."""

    name: str
    arn: str
    handler: str
    code: Path
    """Folder with the function's modules."""
    environment: tuple[tuple[str, str], ...]
    """The function's own variables."""
    timeout: int
    """Seconds."""
    memory: int
    """MiB; visible to the handler, but not enforced."""
    access_key_id: str
    """Of its calls."""
    log_group: str
    version: str = "$LATEST"

    @property
    def log_stream(self) -> str:
        """The function's log stream, named as in a log group that several functions share."""
        return f"{datetime.now(UTC):%Y/%m/%d}/{self.name}[{self.version}]laptop"

    def variables(self, endpoint: str) -> dict[str, str]:
        """Return the environment of the handler's process: that of Lambda's Python runtime, and AWS's endpoint."""
        return {
            **_basics(),
            "TZ": ":UTC",
            "PYTHONPATH": str(self.code),
            "PYTHONUNBUFFERED": "1",
            **process_environment(endpoint, self.access_key_id),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": self.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            # Set by `sam local` too. Powertools then skips X-Ray, which has no daemon here.
            "AWS_SAM_LOCAL": "true",
            "LAMBDA_TASK_ROOT": str(self.code),
            "_HANDLER": self.handler,
            **dict(self.environment),
        }


@dataclass(frozen=True)
class Answer:
    """The result of an invocation; `error` is AWS's error object, or None."""

    result: Any = None
    error: dict[str, Any] | None = None

    def payload(self) -> bytes:
        """Return the payload of Invoke's response."""
        return json.dumps(self.error if self.error is not None else self.result).encode()


class SandboxServer:
    """Forks sandboxes from a process that has imported common modules, which saves most of their start.

    All laptop clouds of this process share it, and it ends with this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        self._lines = self._control.makefile("rw", encoding="utf-8")
        with theirs:
            subprocess.Popen(
                [sys.executable, "-P", str(PROGRAM), "fork", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**_basics(), "PYTHONUNBUFFERED": "1", "TZ": ":UTC"},
                start_new_session=True,  # Ctrl-C in the terminal must reach only the parent
            )

    def fork(self, code: Path, environment: dict[str, str], log: Path, own_socket: socket.socket) -> int:
        """Start a process that runs in `code` and responds on `own_socket`; returns its id."""
        request = {"code": str(code), "environment": environment, "log": str(log)}
        return self._ask(request, [own_socket.fileno()])

    def wait(self, pid: int) -> int:
        """Wait for the end of a process; returns its exit status, negative for a signal."""
        return self._ask({"wait": pid}, [])

    def _ask(self, request: dict[str, Any], sockets: list[int]) -> int:
        with self._lock:
            socket.send_fds(self._control, [b" "], sockets)
            self._lines.write(json.dumps(request) + "\n")
            self._lines.flush()
            return int(self._lines.readline())


@cache
def _server() -> SandboxServer:
    return SandboxServer()


class Sandbox:
    """A process that runs one function's handler, one event at a time."""

    def __init__(self, function: Function, endpoint: str, log: Path) -> None:
        self.function = function
        self.log = log
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.pid = _server().fork(function.code.resolve(), function.variables(endpoint), log.resolve(), theirs)
        self._returncode: int | None = None
        self._ending = threading.Lock()

    def call(self, event: Any, request_id: str) -> Answer:
        """Run the handler on `event`. After a timeout or a crash, the sandbox cannot be used again."""
        timeout = self.function.timeout
        request = {
            "event": event,
            "request_id": request_id,
            "arn": self.function.arn,
            "deadline": time.time() + timeout,
        }
        try:
            line = self._ask(json.dumps(request).encode() + b"\n", timeout)
        except ConnectionError:
            line = b""
        except TimeoutError:
            self.kill()
            text = f"RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds"
            return Answer(error={"errorMessage": text, "errorType": "Sandbox.Timedout"})
        if not line.endswith(b"\n"):
            text = f"RequestId: {request_id} Error: Runtime exited with error: {_exit_reason(self.kill())}"
            return Answer(error={"errorMessage": text, "errorType": "Runtime.ExitError"})
        answer = json.loads(line)
        return Answer(error=answer["error"]) if "error" in answer else Answer(result=answer["result"])

    def _ask(self, request: bytes, seconds: float) -> bytes:
        """Send a request, and return the line that responds to it; incomplete if the process ended."""
        end, line = time.monotonic() + seconds, b""
        self._socket.settimeout(seconds)
        self._socket.sendall(request)
        while not line.endswith(b"\n"):
            self._socket.settimeout(max(0.001, end - time.monotonic()))
            part = self._socket.recv(1 << 16)
            if not part:
                break
            line += part
        return line

    def alive(self) -> bool:
        """Return whether the sandbox can take another event. Must not be called during `call`."""
        if self._returncode is not None:
            return False
        self._socket.settimeout(0)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:  # no data, and the connection is open
            return True
        except ConnectionError:
            return False

    def kill(self) -> int:
        """End the process if it is alive; returns its exit status, negative for a signal. Safe to call twice."""
        with self._ending:  # the exit status of a process can be read only once
            if self._returncode is None:
                os.kill(self.pid, signal.SIGKILL)
                self._returncode = _server().wait(self.pid)
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # not closed: another thread may be reading from it
            return self._returncode


def _exit_reason(returncode: int) -> str:
    """Describe a process's exit as Lambda's runtime does, which is written in Go."""
    if returncode >= 0:
        return f"exit status {returncode}"
    return f"signal: {'killed' if returncode == -signal.SIGKILL else signal.strsignal(-returncode)}"
