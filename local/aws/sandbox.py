"""One process that runs one Lambda function's handler, with the environment and the answers of Lambda's runtime."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.aws.account import process_environment

PROGRAM = Path(__file__).with_name("sandbox_process.py")
_BASICS = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
"""What a handler's process keeps of ours: enough to run Python, nothing that AWS would not have."""


@dataclass(frozen=True)
class Function:
    """What is needed to run one function.

    Attributes
    ----------
    name, arn, handler
        As in AWS.
    code
        Folder with the function's modules.
    environment
        The function's own variables, as (name, value) pairs.
    timeout
        Seconds.
    memory
        MiB; told to the handler, not enforced.
    principal
        Access key id under which its calls are made.
    region
        AWS region.
    log_group
        The log group that its lines go to.
    version
        The published version's number, or $LATEST.
    """

    name: str
    arn: str
    handler: str
    code: Path
    environment: tuple[tuple[str, str], ...]
    timeout: int
    memory: int
    principal: str
    region: str
    log_group: str
    version: str = "$LATEST"

    @property
    def log_stream(self) -> str:
        """The stream of its lines, named as in a group that functions share."""
        return f"{datetime.now(UTC):%Y/%m/%d}/{self.name}[{self.version}]laptop"

    def variables(self, endpoint: str) -> dict[str, str]:
        """The environment of the handler's process: that of Lambda's Python runtime, and where AWS is."""
        return {
            **{name: os.environ[name] for name in _BASICS if name in os.environ},
            "TZ": ":UTC",
            "PYTHONPATH": str(self.code),
            "PYTHONUNBUFFERED": "1",
            **process_environment(endpoint, self.region, self.principal),
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


class Sandbox:
    """One process that runs one function's handler, one event at a time."""

    def __init__(self, function: Function, endpoint: str, log: Path) -> None:
        self.function = function
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=function.code,
                env=function.variables(endpoint),
                start_new_session=True,  # Ctrl-C in the terminal is the parent's to handle
            )

    def call(self, event: Any, request_id: str) -> Answer:
        """Run the handler on `event`. After a timeout or a crash the sandbox is dead and must not be used again."""
        timeout = self.function.timeout
        request = {
            "event": event,
            "request_id": request_id,
            "arn": self.function.arn,
            "deadline": time.time() + timeout,
        }
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            line = self._line(timeout)
        except BrokenPipeError:
            line = b""
        except TimeoutError:
            self.kill()
            text = f"RequestId: {request_id} Error: Task timed out after {timeout:.2f} seconds"
            return Answer(error={"errorMessage": text, "errorType": "Sandbox.Timedout"})
        if not line.endswith(b"\n"):
            self.kill()
            text = f"RequestId: {request_id} Error: Runtime exited with error: {_how_it_ended(self.process.returncode)}"
            return Answer(error={"errorMessage": text, "errorType": "Runtime.ExitError"})
        answer = json.loads(line)
        return Answer(error=answer["error"]) if "error" in answer else Answer(result=answer["result"])

    def _line(self, seconds: float) -> bytes:
        """One line of the process's answers; shorter when the process ended."""
        assert self.process.stdout is not None
        end = time.monotonic() + seconds
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, end - time.monotonic())):
                    raise TimeoutError
                part = os.read(self.process.stdout.fileno(), 1 << 16)
                if not part:
                    break
                line += part
        return line

    def kill(self) -> None:
        """End the process; safe to call twice."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # closing flushes what the dead process did not read
                    stream.close()


def _how_it_ended(returncode: int) -> str:
    """A process's end in the words of Lambda's runtime, which is written in Go."""
    if returncode >= 0:
        return f"exit status {returncode}"
    return f"signal: {'killed' if returncode == -signal.SIGKILL else signal.strsignal(-returncode)}"
