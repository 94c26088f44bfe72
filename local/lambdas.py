"""Real Lambda handlers, each concurrent invocation in a warm process of its own, as on AWS.

Names, handlers, environments, timeouts and reserved concurrency are read from the functions that were made from the
template. What AWS answers when a handler fails, times out or is throttled is answered here too.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.core.exceptions import JsonRESTError

BOOTSTRAP = Path(__file__).with_name("lambda_bootstrap.py")
_BASICS = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR")
"""What a handler's process keeps of ours: enough to run Python, nothing that AWS would not have."""


class TooManyRequestsError(JsonRESTError):
    """AWS's answer when a function's reserved concurrency is used up."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


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
    version: str = "$LATEST"

    def process_environment(self, endpoint: str) -> dict[str, str]:
        """The environment of the handler's process: that of Lambda's Python runtime, and where AWS is."""
        log_group = f"/aws/lambda/{self.name}"
        return {
            **{name: os.environ[name] for name in _BASICS if name in os.environ},
            "TZ": ":UTC",
            "PYTHONPATH": str(self.code),
            "PYTHONUNBUFFERED": "1",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": self.principal,
            "AWS_SECRET_ACCESS_KEY": "laptop",
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_FUNCTION_VERSION": self.version,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": log_group,
            "AWS_LAMBDA_LOG_STREAM_NAME": "laptop",
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
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(BOOTSTRAP)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=function.code,
                env=function.process_environment(endpoint),
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


@dataclass
class _Pool:
    """The sandboxes of one function. A changed environment or code is another function here, as on AWS."""

    idle: list[Sandbox] = field(default_factory=list)
    busy: list[Sandbox] = field(default_factory=list)


class LambdaRunner:
    """Runs the functions that moto holds.

    Parameters
    ----------
    endpoint
        URL of the laptop cloud.
    logs
        Folder; {function}.log in it takes what a handler prints.
    code
        Folder for unpacked function packages.
    principal
        Role ARN -> access key id.
    send_message
        Queue ARN, body, text attributes -> None; takes events that could not be delivered.
    retry_seconds
        Pauses before the second and third try of an asynchronous invocation (AWS: 60 and 120).
    """

    def __init__(
        self,
        endpoint: str,
        logs: Path,
        code: Path,
        principal: Callable[[str], str],
        send_message: Callable[[str, str, dict[str, str]], None],
        retry_seconds: tuple[float, ...] = (1.0, 2.0),
    ) -> None:
        self._endpoint = endpoint
        self._logs = logs
        self._code = code
        self._principal = principal
        self._send_message = send_message
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._pools: dict[Function, _Pool] = defaultdict(_Pool)
        self._running: dict[str, int] = defaultdict(int)
        self._unpacked: dict[str, Path] = {}
        self._stopped = threading.Event()

    def invoke(self, made: Any, payload: bytes, invocation_type: str, headers: dict[str, str]) -> bytes:
        """Lambda's Invoke for one of moto's functions.

        Parameters
        ----------
        made
            Moto's function.
        payload
            The event as JSON.
        invocation_type
            RequestResponse, Event or DryRun.
        headers
            The answer's headers; x-amz-function-error is set when the handler failed.

        Raises
        ------
        TooManyRequestsError
            The reserved concurrency is used up.
        """
        event = json.loads(payload or b"{}")
        if invocation_type == "DryRun":
            return b""
        if invocation_type == "Event":
            threading.Thread(target=self._invoke_async, args=(made, event), daemon=True).start()
            return b""
        answer = self.call(made, event, str(uuid.uuid4()))
        if answer.error is not None:
            headers["x-amz-function-error"] = "Unhandled"
        return answer.payload()

    def call(self, made: Any, event: Any, request_id: str) -> Answer:
        """Run the handler of one of moto's functions on `event`, within its reserved concurrency."""
        function = self.function(made)
        self._enter(function.name, made.reserved_concurrency)
        try:
            sandbox = self._take(function)
            answer = sandbox.call(event, request_id)
            self._give_back(sandbox)
            return answer
        finally:
            with self._lock:
                self._running[function.name] -= 1

    def function(self, made: Any) -> Function:
        """What is needed to run one of moto's functions."""
        variables = tuple(sorted((name, str(value)) for name, value in (made.environment_vars or {}).items()))
        return Function(
            name=made.function_name,
            arn=made.function_arn,
            handler=made.handler,
            code=self._unpack(made.code_bytes),
            environment=variables,
            timeout=int(made.timeout),
            memory=int(made.memory_size),
            principal=self._principal(made.role),
            region=made.region,
            version=str(made.version),
        )

    def pids(self) -> list[int]:
        """Processes that are alive."""
        with self._lock:
            sandboxes = [box for pool in self._pools.values() for box in (*pool.idle, *pool.busy)]
        return [box.process.pid for box in sandboxes if box.process.poll() is None]

    def stop(self) -> None:
        """End every process."""
        self._stopped.set()
        with self._lock:
            pools, self._pools = list(self._pools.values()), defaultdict(_Pool)
        for pool in pools:
            for sandbox in (*pool.idle, *pool.busy):
                sandbox.kill()

    def _enter(self, name: str, reserved: int | str | None) -> None:
        with self._lock:
            if reserved is not None and self._running[name] >= int(reserved):
                raise TooManyRequestsError
            self._running[name] += 1

    def _take(self, function: Function) -> Sandbox:
        with self._lock:
            pool = self._pools[function]
            sandbox = None
            while pool.idle and sandbox is None:
                sandbox = pool.idle.pop()
                if sandbox.process.poll() is not None:  # died while it was frozen: AWS would not use it either
                    sandbox.kill()
                    sandbox = None
            if sandbox is None:
                sandbox = Sandbox(function, self._endpoint, self._logs / f"{function.name}.log")
            pool.busy.append(sandbox)
            return sandbox

    def _give_back(self, sandbox: Sandbox) -> None:
        with self._lock:
            pool = self._pools[sandbox.function]
            if sandbox in pool.busy:
                pool.busy.remove(sandbox)
            if sandbox.process.poll() is None and not self._stopped.is_set():
                pool.idle.append(sandbox)

    def _unpack(self, package: bytes) -> Path:
        digest = hashlib.sha256(package).hexdigest()
        with self._lock:
            if digest not in self._unpacked:
                folder = self._code / digest[:16]
                with zipfile.ZipFile(io.BytesIO(package)) as archive:
                    archive.extractall(folder)
                self._unpacked[digest] = folder
            return self._unpacked[digest]

    def _invoke_async(self, made: Any, event: Any) -> None:
        """As AWS invokes asynchronously: tried again at most twice, then sent to the destination or dead-letter queue.

        Source: Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation".
        """
        settings = made.event_invoke_config[-1].config if made.event_invoke_config else {}
        tries = 1 + int(settings.get("MaximumRetryAttempts", 2))
        request_id = str(uuid.uuid4())
        answer = Answer()
        for attempt in range(tries):
            if attempt and self._stopped.wait(self._retry_seconds[min(attempt, len(self._retry_seconds)) - 1]):
                return
            answer = self._try(made, event, request_id)
            if answer.error is None:
                return
        self._undelivered(made, settings, event, request_id, tries, answer)

    def _try(self, made: Any, event: Any, request_id: str) -> Answer:
        while not self._stopped.is_set():
            try:
                return self.call(made, event, request_id)
            except TooManyRequestsError:  # AWS keeps a throttled event and tries for up to six hours
                self._stopped.wait(self._retry_seconds[0])
        return Answer()

    def _undelivered(
        self, made: Any, settings: Mapping[str, Any], event: Any, request_id: str, tries: int, answer: Answer
    ) -> None:
        error = answer.error or {}
        published = made.version != "$LATEST"  # and its number ends its ARN
        destination = settings.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        if destination:
            record = {
                "version": "1.0",
                "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "requestContext": {
                    "requestId": request_id,
                    "functionArn": made.function_arn if published else f"{made.function_arn}:$LATEST",
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": tries,
                },
                "requestPayload": event,
                "responseContext": {
                    "statusCode": 200,
                    "executedVersion": str(made.version),
                    "functionError": "Unhandled",
                },
                "responsePayload": error,
            }
            self._send_message(destination, json.dumps(record), {})
        queue = made.dead_letter_config.get("TargetArn")
        if queue:
            attributes = {"RequestID": request_id, "ErrorCode": "200", "ErrorMessage": error.get("errorMessage", "")}
            self._send_message(queue, json.dumps(event), attributes)
