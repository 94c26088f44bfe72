"""Runs Lambda functions, each concurrent invocation in its own warm process, as on AWS.

Names, handlers, environments and timeouts are those of moto's functions. A handler that fails or times out and an
invocation that is throttled get AWS's responses.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import uuid
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import JsonRESTError

from laptop_cloud.aws.logs import LogWriter
from laptop_cloud.aws.sandbox import Answer, Function, Sandbox

if TYPE_CHECKING:
    from laptop_cloud.aws.services import Services

RETRY_SECONDS = 1.0
"""Pause before the first retry of an asynchronous invocation; twice that before the second (AWS: 60 and 120)."""
KEPT_PROCESSES = 20
"""Maximum of busy and idle processes together; each takes about 50 MB."""


class TooManyRequestsError(JsonRESTError):
    """The account's concurrency is used up."""

    code = 429

    def __init__(self) -> None:
        super().__init__("TooManyRequestsException", "Rate Exceeded.")


class FunctionRunner:
    """Runs moto's functions.

    Parameters
    ----------
    services
        The services that the functions call.
    workdir
        Folder of the handlers' output, logs/{function}.log, and of unpacked packages, functions/.
    concurrency
        Maximum of concurrent invocations in the account.
    """

    def __init__(self, services: Services, workdir: Path, log_writer: LogWriter, concurrency: int) -> None:
        self.concurrency = concurrency
        self._services = services
        self._workdir = workdir
        self._log_writer = log_writer
        self._lock = threading.Lock()
        self._busy: list[Sandbox] = []
        self._idle: list[Sandbox] = []  # in the order of their last use
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
            The response's headers; x-amz-function-error is set if the handler failed.

        Raises
        ------
        TooManyRequestsError
            The account's concurrency is used up.
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
        """Run the handler of one of moto's functions on `event`, within the account's concurrency."""
        sandbox = self._take(self.function(made))
        try:
            return sandbox.call(event, request_id)
        finally:
            self._give_back(sandbox)
            self._log_writer.put(sandbox.function.log_group, sandbox.function.log_stream, sandbox.log)

    def function(self, made: Any) -> Function:
        """Return everything that is needed to run one of moto's functions."""
        variables = tuple(sorted((name, str(value)) for name, value in (made.environment_vars or {}).items()))
        return Function(
            name=made.function_name,
            arn=made.function_arn,
            handler=made.handler,
            code=self._unpack(made.code_bytes),
            environment=variables,
            timeout=int(made.timeout),
            memory=int(made.memory_size),
            access_key_id=self._services.access_key_id(self._services.principal(made.role)),
            log_group=self._services.log_groups.get(made.function_name, f"/aws/lambda/{made.function_name}"),
            version=str(made.version),
        )

    def pids(self) -> list[int]:
        """Return the ids of the processes that are alive."""
        with self._lock:
            return [box.pid for box in (*self._busy, *(box for box in self._idle if box.alive()))]

    def stop(self) -> None:
        """End every process."""
        self._stopped.set()
        with self._lock:
            for sandbox in (*self._busy, *self._idle):
                sandbox.kill()

    def _take(self, function: Function) -> Sandbox:
        """Take a warm process of the function, or start one, which may end the process that was idle longest.

        As on AWS, a process is not reused after the function's environment or code has changed.
        """
        with self._lock:
            if len(self._busy) >= self.concurrency or self._stopped.is_set():
                raise TooManyRequestsError
            for sandbox in [box for box in self._idle if not box.alive()]:
                self._idle.remove(sandbox)
                sandbox.kill()
            for sandbox in reversed(self._idle):
                if sandbox.function == function:
                    self._idle.remove(sandbox)
                    break
            else:
                if self._idle and len(self._busy) + len(self._idle) >= KEPT_PROCESSES:
                    self._idle.pop(0).kill()
                sandbox = Sandbox(function, self._services.endpoint, self._workdir / "logs" / f"{function.name}.log")
            self._busy.append(sandbox)
            return sandbox

    def _give_back(self, sandbox: Sandbox) -> None:
        with self._lock:
            self._busy.remove(sandbox)
            if sandbox.alive() and not self._stopped.is_set():
                self._idle.append(sandbox)

    def _unpack(self, package: bytes) -> Path:
        digest = hashlib.sha256(package).hexdigest()
        with self._lock:
            if digest not in self._unpacked:
                folder = self._workdir / "functions" / digest[:16]
                with zipfile.ZipFile(io.BytesIO(package)) as archive:
                    archive.extractall(folder)
                self._unpacked[digest] = folder
            return self._unpacked[digest]

    def _invoke_async(self, made: Any, event: Any) -> None:
        """Invoke asynchronously: retry at most twice, then send the event to the on-failure destination.

        Source: Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation".
        """
        settings = made.event_invoke_config[-1].config if made.event_invoke_config else {}
        tries = 1 + int(settings.get("MaximumRetryAttempts", 2))
        request_id = str(uuid.uuid4())
        answer = Answer()
        for attempt in range(tries):
            if attempt and self._stopped.wait(attempt * RETRY_SECONDS):
                return
            answer = self._try(made, event, request_id)
            if answer.error is None:
                return
        self._undelivered(made, settings, event, request_id, tries, answer)

    def _try(self, made: Any, event: Any, request_id: str) -> Answer:
        while not self._stopped.is_set():
            try:
                return self.call(made, event, request_id)
            except TooManyRequestsError:  # AWS keeps a throttled event, and retries for up to six hours
                self._stopped.wait(RETRY_SECONDS)
        return Answer()

    def _undelivered(
        self, made: Any, settings: Mapping[str, Any], event: Any, request_id: str, tries: int, answer: Answer
    ) -> None:
        error = answer.error or {}
        published = made.version != "$LATEST"  # then the ARN ends with the version
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
            self._services.send_to_queue(destination, json.dumps(record))
