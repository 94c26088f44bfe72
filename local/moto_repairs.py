"""What moto 5.2.5 does differently from AWS and this project depends on, put right.

One function a repair; its docstring says what stock moto does and what AWS does. tests/local/test_moto_repairs.py
shows for each that the fault is still there without the repair, so that a newer moto tells us which ones can go.

moto's state and classes are global to the process, so repairs are applied once a process. What they need from the
running laptop cloud they ask of the `Hooks` it connects.
"""

from __future__ import annotations

import json
import os
import threading
import time
import types
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from moto import backends
from moto.awslambda.models import LambdaFunction
from moto.awslambda.responses import LambdaResponse
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.core.responses import ActionResult
from moto.core.serialize import JSONSerializer
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.responses import DynamoHandler
from moto.glue import models as glue_models
from moto.glue.responses import GlueResponse
from moto.sqs.models import Message, Queue, SQSBackend
from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback as sync_tasks,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_glue as glue_tasks,
)
from moto.stepfunctions.parser.asl.utils import boto_client
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend import execution as executions
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

SYNC_POLL_SECONDS = 0.2
"""How often a `.sync` task looks at its job run; AWS is said to look once a minute, moto every 0.5 s."""


class Hooks(Protocol):
    """What the repairs ask of the running laptop cloud."""

    def invoke_function(
        self, function: LambdaFunction, payload: bytes, invocation_type: str, headers: dict[str, str]
    ) -> bytes:
        """Run a Lambda function; sets x-amz-function-error in `headers` when its handler failed."""

    def job_run_started(self, job: glue_models.FakeJob, run: glue_models.FakeJobRun) -> None:
        """A job run was accepted: run its script."""

    def stop_job_run(self, job_name: str, run_id: str) -> bool:
        """Stop a job run; False when it is not running."""

    def execution_changed(self, execution: executions.Execution) -> None:
        """An execution reached a new status."""

    def principal(self, role_arn: str) -> str:
        """The access key id under which a role's calls are made."""


class _NoHooks:
    """Before a laptop cloud is connected there is nothing to run functions or jobs."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"no laptop cloud is connected, so nothing can do {name}")


@dataclass
class _State:
    """Of the process, as moto's classes are."""

    hooks: Hooks
    applied: bool = False


_state = _State(_NoHooks())


def connect(hooks: Hooks | None) -> None:
    """Send what the repairs catch to `hooks` from now on; None disconnects."""
    _state.hooks = hooks if hooks is not None else _NoHooks()


def apply_all() -> None:
    """Apply every repair; a second call does nothing."""
    if not _state.applied:
        for repair in REPAIRS:
            repair()
        _state.applied = True


def lambda_functions_run() -> None:
    """Stock: without Docker, Invoke answers with its own payload. AWS: it runs the handler."""

    def invoke(
        self: LambdaSimpleBackend,
        function_name: str,
        qualifier: str | None,
        body: Any,
        headers: Any,
        response_headers: dict[str, str],
    ) -> bytes:
        function = self.get_function(function_name, qualifier)
        sent = {str(name).lower(): value for name, value in dict(headers or {}).items()}
        kind = sent.get("x-amz-invocation-type", "RequestResponse")
        payload = body.encode() if isinstance(body, str) else body or b"{}"
        return _state.hooks.invoke_function(function, payload, kind, response_headers)

    LambdaSimpleBackend.invoke = invoke


def lambda_qualifiers() -> None:
    """Stock: Invoke ignores its Qualifier, and looks for one in the event. AWS: it is the version or alias to run."""
    real_invoke = LambdaResponse.invoke

    def invoke(self: LambdaResponse) -> Any:
        self.querystring["qualifier"] = self.querystring.get("Qualifier") or ["$LATEST"]
        return real_invoke(self)

    LambdaResponse.invoke = invoke


def lambda_dead_letter_queues() -> None:
    """Stock: a function's DeadLetterConfig is forgotten. AWS: it says where undeliverable events go."""
    real_init = LambdaFunction.__init__

    def init(self: LambdaFunction, account_id: str, spec: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        real_init(self, account_id, spec, *args, **kwargs)
        self.dead_letter_config = spec.get("DeadLetterConfig") or {}

    LambdaFunction.__init__ = init


def glue_job_runs_run() -> None:
    """Stock: a job run succeeds after two looks, whatever its script does. AWS: it runs the script.

    Also, two StartJobRun calls at once can both pass the check of MaxConcurrentRuns: it is made under a lock here.
    """
    real_start = glue_models.FakeJob.start_job_run
    lock = threading.Lock()

    def start_job_run(self: glue_models.FakeJob, *args: Any, **kwargs: Any) -> str:
        with lock:
            run_id = real_start(self, *args, **kwargs)
            run = self.job_runs[-1]
            _state.hooks.job_run_started(self, run)
        return str(run_id)

    glue_models.FakeJob.start_job_run = start_job_run


def glue_batch_stop_job_run() -> None:
    """Stock: BatchStopJobRun is not implemented. AWS: it stops the runs, and lists those that it could not stop."""

    def batch_stop_job_run(self: GlueResponse) -> ActionResult:
        job_name = self._get_param("JobName")
        stopped, errors = [], []
        for run_id in self._get_param("JobRunIds"):
            self.glue_backend.get_job_run(job_name, run_id)
            named = {"JobName": job_name, "JobRunId": run_id}
            if _state.hooks.stop_job_run(job_name, run_id):
                stopped.append(named)
            else:
                detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": "The job run is not running."}
                errors.append({**named, "ErrorDetail": detail})
        return ActionResult({"SuccessfulSubmissions": stopped, "Errors": errors})

    GlueResponse.batch_stop_job_run = batch_stop_job_run


def step_functions_clients() -> None:
    """Stock: each task builds a boto3 client of its own on localhost:5000 or MOTO_PORT, as access key "ak". That is
    slow, races on boto3's default session, and hides who calls. AWS: tasks call as the state machine's role.
    """
    real_client_for = boto_client.boto_client_for
    lock = threading.Lock()
    clients: dict[tuple[str, ...], Any] = {}

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        role = getattr(state_credentials, "role_arn", "")
        principal = _state.hooks.principal(role)
        key = (region, service, principal, os.environ.get("MOTO_PORT", ""))
        with lock:
            if key not in clients:
                client = real_client_for(region, service, state_credentials)
                client._request_signer._credentials.access_key = principal
                clients[key] = client
            return clients[key]

    boto_client.boto_client_for = client_for
    # The task modules imported the function by name.
    for module in _modules_using(real_client_for):
        module.boto_client_for = client_for


def _modules_using(function: Callable[..., Any]) -> list[Any]:
    import sys

    prefix = "moto.stepfunctions.parser"
    loaded = [module for name, module in sys.modules.items() if name.startswith(prefix)]
    return [module for module in loaded if getattr(module, function.__name__, None) is function]


def glue_sync_tasks() -> None:
    """Stock: every `glue:startJobRun.sync` fails, because it looks for a task token that such tasks do not have; and
    nothing stops the job run when the state times out or the execution is stopped.
    AWS: the task waits for the run, and Step Functions stops the run when the execution is aborted.
    """
    sync_tasks._DELAY_SECONDS_SYNC_CONDITION_CHECK = SYNC_POLL_SECONDS

    def wait_for_run(
        self: glue_tasks.StateTaskServiceGlue,
        env: Any,
        resource_runtime_part: Any,
        normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        started = env.stack[-1]
        resolver = self._build_sync_resolver(env, resource_runtime_part, normalised_parameters, state_credentials)
        outcome = self._eval_sync(
            env=env,
            sync_resolver=resolver,
            timeout_seconds=None,
            callback_endpoint=None,
            heartbeat_endpoint=None,
        )
        if outcome is None:  # no longer running: the state timed out, or the execution was stopped
            _state.hooks.stop_job_run(started["JobName"], started["JobRunId"])
        env.stack.append(outcome)

    glue_tasks.StateTaskServiceGlue._eval_integration_pattern = wait_for_run


def glue_times_in_milliseconds() -> None:
    """Stock: a job run's times reach the state machine as datetime objects, which then break DescribeExecution.
    AWS: they are numbers, milliseconds since 1970.
    """
    real_client = glue_tasks.StateTaskServiceGlue._get_glue_client

    class Client:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            return getattr(self._client, name)

        def get_job_run(self, **arguments: Any) -> dict[str, Any]:
            run = self._client.get_job_run(**arguments)["JobRun"]
            return {"JobRun": {key: _milliseconds(value) for key, value in run.items()}}

    def client(**arguments: Any) -> Client:
        return Client(real_client(**arguments))

    glue_tasks.StateTaskServiceGlue._get_glue_client = staticmethod(client)


def _milliseconds(value: Any) -> Any:
    return int(value.timestamp() * 1000) if hasattr(value, "timestamp") else value


def execution_output_is_json() -> None:
    """Stock: a text output comes back without its quotes, a datetime in the output is an internal error, and the
    status turns SUCCEEDED before the output is there. AWS: the output is a JSON document, there as soon as the status.
    """
    communication = executions.BaseExecutionWorkerCommunication
    real_reflect: Any = communication._reflect_execution_status

    def reflect(self: executions.BaseExecutionWorkerCommunication) -> None:
        worker: Any = self.execution.exec_worker
        if not isinstance(worker.env.program_state(), executions.ProgramEnded):
            real_reflect(self)
            return
        self.execution.output = to_json_str(worker.env.states.get_input(), separators=(",", ":"))
        aside: Any = types.SimpleNamespace(execution=types.SimpleNamespace(exec_worker=worker))
        real_reflect(aside)
        self.execution.stop_date = aside.execution.stop_date
        self.execution.exec_status = aside.execution.exec_status

    communication._reflect_execution_status = reflect


def execution_status_events() -> None:
    """Stock: Step Functions tells EventBridge nothing. AWS: each change of an execution's status is an event."""
    communication = executions.BaseExecutionWorkerCommunication
    real_terminated = communication.terminated
    real_start = executions.Execution.start

    def terminated(self: executions.BaseExecutionWorkerCommunication) -> None:
        real_terminated(self)
        _state.hooks.execution_changed(self.execution)

    def start(self: executions.Execution) -> None:
        self.exec_status = executions.ExecutionStatus.RUNNING
        _state.hooks.execution_changed(self)
        real_start(self)

    communication.terminated = terminated
    executions.Execution.start = start


def states_runtime_is_not_caught() -> None:
    """Stock: Retry and Catch on States.ALL also match States.Runtime. AWS: nothing but its own name matches it, nor
    States.DataLimitExceeded (Step Functions Developer Guide, "Error names").
    """
    real_body = ErrorEqualsDecl._eval_body
    terminal = ("States.Runtime", "States.DataLimitExceeded")

    def body(self: ErrorEqualsDecl, env: Any) -> None:
        name = env.stack[-1].error_name
        if name in terminal and name not in [listed.error_name for listed in self.error_names]:
            env.stack[-1] = False
        else:
            real_body(self, env)

    ErrorEqualsDecl._eval_body = body


def unnamed_executions() -> None:
    """Stock: StartExecution without a name makes ...:None, and the second one collides. AWS: it makes up a name."""
    real_start = StepFunctionsParserBackend.start_execution

    def start_execution(
        self: StepFunctionsParserBackend, state_machine_arn: str, name: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        return real_start(self, state_machine_arn, name or str(uuid.uuid4()), *args, **kwargs)

    StepFunctionsParserBackend.start_execution = start_execution


def one_start_at_a_time() -> None:
    """Stock: two StartExecution calls with one name can both find it free. AWS: the second gets the first one's."""
    real_start = StepFunctionsParserBackend.start_execution
    lock = threading.Lock()

    def start_execution(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> Any:
        with lock:
            return real_start(self, *args, **kwargs)

    StepFunctionsParserBackend.start_execution = start_execution


def dynamodb_writes_are_atomic() -> None:
    """Stock: no lock, so concurrent ADDs and conditional writes can be lost. AWS: each write is atomic."""
    real_call = DynamoHandler.call_action
    lock = threading.RLock()

    def call_action(self: DynamoHandler) -> Any:
        with lock:
            return real_call(self)

    DynamoHandler.call_action = call_action


def sqs_messages_are_received_once() -> None:
    """Stock: no lock, so two consumers at once can get the same message. AWS: it is invisible to the second.

    Waiting for messages happens outside the lock, or one consumer's long poll would hold up all others.
    """
    real_receive = SQSBackend.receive_message
    lock = threading.Lock()

    def receive_message(
        self: SQSBackend, queue_name: str, count: int, wait_seconds_timeout: int, *how: Any, **named: Any
    ) -> list[Message]:
        deadline = time.monotonic() + (wait_seconds_timeout or 0)
        while True:
            with lock:
                messages: list[Message] = real_receive(self, queue_name, count, 0, *how, **named)
            if messages or time.monotonic() >= deadline:
                return messages
            time.sleep(0.05)

    SQSBackend.receive_message = receive_message


def sqs_cost_does_not_grow() -> None:
    """Stock: each send, receive and delete walks the whole queue several times, reading the clock twice a message:
    28 messages a second at a depth of 1,700. AWS: the depth of a queue costs nothing.

    An attribute is worked out when somebody asks for it (the three counters are attributes too), a receive stops at
    the first visible messages, and a delete looks only among the messages in flight.
    """

    def delete_message(self: Queue, receipt_handle: str) -> None:
        if receipt_handle in self.deleted_messages:
            return
        for message in list(self.pending_messages):
            if message.had_receipt_handle(receipt_handle):
                self.pending_messages.discard(message)
                self.deleted_messages.update(handle for handle in message.all_receipt_handles if handle)
                self._messages.remove(message)
                return
        real_delete(self, receipt_handle)

    real_delete = Queue.delete_message
    Queue._messages = property(_stored_messages, _store_messages)
    Queue.delete_message = delete_message
    Queue.messages = property(lambda self: _Visible(self._messages))
    Queue.attributes = property(_Attributes)


def _stored_messages(queue: Queue) -> _Messages:
    stored: _Messages = queue.__dict__["_stored_messages"]
    return stored


def _store_messages(queue: Queue, messages: Iterable[Message]) -> None:
    queue.__dict__["_stored_messages"] = _Messages(messages)


class _Messages:
    """The messages of a queue, in order; removing one costs the same however many there are."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._by_id: dict[str, Message] = {message.id: message for message in messages}

    def append(self, message: Message) -> None:
        self._by_id[message.id] = message

    def remove(self, message: Message) -> None:
        self._by_id.pop(message.id, None)

    def __iter__(self) -> Iterator[Message]:
        return iter(list(self._by_id.values()))  # a copy: other threads add and remove meanwhile

    def __len__(self) -> int:
        return len(self._by_id)

    def __bool__(self) -> bool:
        return bool(self._by_id)


class _Visible:
    """The messages that may be received now, looked at one by one as somebody asks for them."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def __iter__(self) -> Iterator[Message]:
        return (message for message in self._messages if message.visible and not message.delayed)

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self)


_COUNTERS: dict[str, Callable[[Message], bool]] = {
    "ApproximateNumberOfMessages": lambda message: message.visible and not message.delayed,
    "ApproximateNumberOfMessagesDelayed": lambda message: message.delayed,
    "ApproximateNumberOfMessagesNotVisible": lambda message: not message.visible,
}


class _Attributes(Mapping[str, Any]):
    """A queue's attributes, each worked out when it is read; moto reads one or two of them at every call."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def __getitem__(self, name: str) -> Any:
        if name not in list(self):
            raise KeyError(name)
        if name in _COUNTERS:
            return sum(1 for message in self._queue._messages if _COUNTERS[name](message))
        value = getattr(self._queue, _snake_case(name))
        if name == "RedrivePolicy":
            return json.dumps(value) if value else None
        return str(value).lower() if isinstance(value, bool) else value

    def __iter__(self) -> Iterator[str]:
        yield from Queue.BASE_ATTRIBUTES
        if self._queue.fifo_queue:
            yield from Queue.FIFO_ATTRIBUTES
        if self._queue.kms_master_key_id:
            yield from Queue.KMS_ATTRIBUTES

    def __len__(self) -> int:
        return sum(1 for _ in self)


@lru_cache
def _snake_case(name: str) -> str:
    return str(camelcase_to_underscores(name))


def services_are_known() -> None:
    """Stock: each request lists moto's installation folder, all requests one after the other under one lock, to find
    out which services there are. That is half of the cost of a small request. They do not change meanwhile.
    """
    modules = list(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules


def dynamodb_items_are_answered_as_they_are() -> None:
    """Stock: the values of an item are serialised member by member, which looks for 30 attributes in each and takes
    most of the time of a read: 10,000 small items 8 s. They are DynamoDB's JSON already.
    """
    stock = JSONSerializer._serialize_type_structure

    def structure(self: JSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
        if shape.name == "AttributeValue" and key and _is_dynamodb_json(value):
            self._default_serialize(serialized, value, shape, key)
        else:
            stock(self, serialized, value, shape, key)

    JSONSerializer._serialize_type_structure = structure


def _is_dynamodb_json(value: Any) -> bool:
    """Whether an attribute value can be answered as it is; binary ones still have to be encoded."""
    if not isinstance(value, dict):
        return False
    kind: str = next(iter(value)) if len(value) == 1 else ""
    content: Any = value.get(kind)
    if kind == "M":
        return all(_is_dynamodb_json(part) for part in content.values())
    if kind == "L":
        return all(_is_dynamodb_json(part) for part in content)
    return kind in ("S", "N", "BOOL", "NULL", "SS", "NS")


REPAIRS: tuple[Callable[[], None], ...] = (
    services_are_known,
    lambda_functions_run,
    lambda_qualifiers,
    lambda_dead_letter_queues,
    glue_job_runs_run,
    glue_batch_stop_job_run,
    step_functions_clients,
    glue_sync_tasks,
    glue_times_in_milliseconds,
    execution_output_is_json,
    execution_status_events,
    states_runtime_is_not_caught,
    unnamed_executions,
    one_start_at_a_time,
    dynamodb_writes_are_atomic,
    dynamodb_items_are_answered_as_they_are,
    sqs_messages_are_received_once,
    sqs_cost_does_not_grow,
)
