"""One process that runs one Lambda function's handler, with the environment and the answers of Lambda's runtime."""

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
"""What a handler's process keeps of ours: enough to run Python, nothing that AWS would not have."""


def _basics() -> dict[str, str]:
    return {name: os.environ[name] for name in _BASICS if name in os.environ}


@dataclass(frozen=True)
class Function:
    """What is needed to run one function."""

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
    """MiB; told to the handler, not enforced."""
    principal: str
    """Access key id under which its calls are made."""
    log_group: str
    version: str = "$LATEST"

    @property
    def log_stream(self) -> str:
        """The stream of its lines, named as in a group that functions share."""
        return f"{datetime.now(UTC):%Y/%m/%d}/{self.name}[{self.version}]laptop"

    def variables(self, endpoint: str) -> dict[str, str]:
        """The environment of the handler's process: that of Lambda's Python runtime, and where AWS is."""
        return {
            **_basics(),
            "TZ": ":UTC",
            "PYTHONPATH": str(self.code),
            "PYTHONUNBUFFERED": "1",
            **process_environment(endpoint, self.principal),
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": self.log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.log_stream,
            # What `sam local` sets; Powertools then leaves out X-Ray, which has no daemon here.
            "AWS_SAM_LOCAL": "true",
            "LAMBDA_TASK_ROOT": str(self.code),
            "_HANDLER": self.handler,
            **dict(self.environment),
        }


@dataclass(frozen=True)
class Answer:
    """How an invocation ended: `error` is None, or AWS's error object."""

    result: Any = None
    error: dict[str, Any] | None = None

    def payload(self) -> bytes:
        """What Invoke answers as its payload."""
        return json.dumps(self.error if self.error is not None else self.result).encode()


class SandboxServer:
    """Forks sandboxes off a process that has imported what most functions import, which saves most of their start.

    It belongs to no laptop cloud, and ends with this process.
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
                start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
            )

    def fork(self, code: Path, environment: dict[str, str], log: Path, own_socket: socket.socket) -> int:
        """Start a process that works in `code` and answers on `own_socket`; its id."""
        request = {"code": str(code), "environment": environment, "log": str(log)}
        return self._ask(request, [own_socket.fileno()])

    def wait(self, pid: int) -> int:
        """Wait for the end of a process; its exit status, negative for a signal."""
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
    """One process that runs one function's handler, one event at a time."""

    def __init__(self, function: Function, endpoint: str, log: Path) -> None:
        self.function = function
        self.log = log
        self._socket, theirs = socket.socketpair()
        with theirs:
            self.pid = _server().fork(function.code.resolve(), function.variables(endpoint), log.resolve(), theirs)
        self._returncode: int | None = None
        self._ending = threading.Lock()

    def call(self, event: Any, request_id: str) -> Answer:
        """Run the handler on `event`. After a timeout or a crash the sandbox is dead and must not be used again."""
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
            text = f"RequestId: {request_id} Error: Runtime exited with error: {_how_it_ended(self.kill())}"
            return Answer(error={"errorMessage": text, "errorType": "Runtime.ExitError"})
        answer = json.loads(line)
        return Answer(error=answer["error"]) if "error" in answer else Answer(result=answer["result"])

    def _ask(self, request: bytes, seconds: float) -> bytes:
        """The line that answers a request; shorter when the process ended."""
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
        """Whether it can take another event; to be asked while it has none."""
        if self._returncode is not None:
            return False
        self._socket.settimeout(0)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:  # it says nothing, and has not gone
            return True
        except ConnectionError:
            return False

    def kill(self) -> int:
        """End the process, if it has not ended; its exit status, negative for a signal. Safe to call twice."""
        with self._ending:  # it can be asked for only once how a process ended
            if self._returncode is None:
                os.kill(self.pid, signal.SIGKILL)
                self._returncode = _server().wait(self.pid)
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)  # not closed: somebody may be waiting for its answer
            return self._returncode


def _how_it_ended(returncode: int) -> str:
    """A process's end in the words of Lambda's runtime, which is written in Go."""
    if returncode >= 0:
        return f"exit status {returncode}"
    return f"signal: {'killed' if returncode == -signal.SIGKILL else signal.strsignal(-returncode)}"
