"""Real Lambda handlers, each concurrent invocation in a warm process of its own, as on AWS.

Names, handlers, environments, timeouts and reserved concurrency are read from the functions that were made from the
template. What AWS answers when a handler fails, times out or is throttled is answered here too.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import uuid
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moto.core.exceptions import JsonRESTError

from local.aws.sandbox import Answer, Function, Sandbox


class TooManyRequestsError(JsonRESTError):
    """AWS's answer when a function's reserved concurrency is used up."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


@dataclass
class _Pool:
    """The sandboxes of one function. A changed environment or code is another function here, as on AWS."""

    idle: list[Sandbox] = field(default_factory=list)
    busy: list[Sandbox] = field(default_factory=list)


class FunctionRunner:
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
        Queue ARN and body -> None; takes events that could not be delivered.
    retry_seconds
        Pauses before the second and third try of an asynchronous invocation (AWS: 60 and 120).
    """

    def __init__(
        self,
        endpoint: str,
        logs: Path,
        code: Path,
        principal: Callable[[str], str],
        send_message: Callable[[str, str], None],
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
            self._send_message(destination, json.dumps(record))
