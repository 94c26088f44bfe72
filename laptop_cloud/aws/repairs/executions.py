"""Repairs of moto's Step Functions interpreter."""

from __future__ import annotations

import copy
import os
import sys
import threading
import types
import uuid
from collections import deque
from functools import lru_cache
from typing import Any

from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.state.exec import execute_state
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_callback as sync_tasks,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_glue as glue_tasks
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.utils import boto_client, json_path
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str
from moto.stepfunctions.parser.backend import execution as executions
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from laptop_cloud.aws.repairs.hooks import hooks

SYNC_POLL_SECONDS = 0.2
"""Interval at which a `.sync` task polls its job run; moto's is 0.5 s."""


def step_functions_clients() -> None:
    """moto: each task creates a boto3 client with the access key "ak". AWS: tasks use the state machine's role.

    Creating clients is slow, and not thread-safe on boto3's default session.
    """
    real_client_for = boto_client.boto_client_for
    lock = threading.Lock()
    clients: dict[tuple[str, ...], Any] = {}

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        role = getattr(state_credentials, "role_arn", "")
        access_key_id = hooks().access_key_id(role)
        key = (region, service, access_key_id, os.environ.get("MOTO_PORT", ""))
        with lock:
            if key not in clients:
                client = real_client_for(region, service, state_credentials)
                client._request_signer._credentials.access_key = access_key_id
                clients[key] = client
            return clients[key]

    boto_client.boto_client_for = client_for
    # The task modules imported the function by name.
    for name, module in list(sys.modules.items()):
        if name.startswith("moto.stepfunctions.parser") and getattr(module, "boto_client_for", None) is real_client_for:
            module.boto_client_for = client_for


def glue_sync_tasks() -> None:
    """moto: every `glue:startJobRun.sync` fails, because it looks for a task token that such tasks do not have.

    Also, the job run continues when the state times out or the execution is stopped. AWS: the task waits for the run,
    and Step Functions stops the run.
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
            env=env, sync_resolver=resolver, timeout_seconds=None, callback_endpoint=None, heartbeat_endpoint=None
        )
        if outcome is None:  # the state timed out, or the execution was stopped
            hooks().stop_job_run(started["JobRunId"])
        env.stack.append(outcome)

    glue_tasks.StateTaskServiceGlue._eval_integration_pattern = wait_for_run


def glue_times_in_milliseconds() -> None:
    """moto: a job run's times are datetime objects in the state machine, with which DescribeExecution fails.

    AWS: they are numbers of milliseconds since 1970.
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
    """moto: a string output has no quotes, a datetime in the output is an internal error, and the status becomes
    SUCCEEDED before the output is set. AWS: the output is a JSON document, and is set together with the status.
    """
    communication = executions.BaseExecutionWorkerCommunication
    real_reflect: Any = communication._reflect_execution_status

    def reflect(self: executions.BaseExecutionWorkerCommunication) -> None:
        worker: Any = self.execution.exec_worker
        if not isinstance(worker.env.program_state(), executions.ProgramEnded):
            real_reflect(self)
            return
        self.execution.output = to_json_str(worker.env.states.get_input(), separators=(",", ":"))
        copied: Any = types.SimpleNamespace(execution=types.SimpleNamespace(exec_worker=worker))
        real_reflect(copied)
        self.execution.stop_date = copied.execution.stop_date
        self.execution.exec_status = copied.execution.exec_status

    communication._reflect_execution_status = reflect


def execution_status_events() -> None:
    """moto: Step Functions sends no events. AWS: each change of an execution's status is an event on EventBridge."""
    communication = executions.BaseExecutionWorkerCommunication
    real_terminated = communication.terminated
    real_start = executions.Execution.start

    def terminated(self: executions.BaseExecutionWorkerCommunication) -> None:
        real_terminated(self)
        hooks().execution_changed(self.execution)

    def start(self: executions.Execution) -> None:
        self.exec_status = executions.ExecutionStatus.RUNNING
        hooks().execution_changed(self)
        real_start(self)

    communication.terminated = terminated
    executions.Execution.start = start


def states_runtime_is_not_caught() -> None:
    """moto: Retry and Catch on States.ALL match States.Runtime too. AWS: only its own name matches it.

    The same applies to States.DataLimitExceeded. Source: Step Functions Developer Guide, "Error names".
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


def definitions_are_parsed_once() -> None:
    """moto: each execution parses the state machine's definition, which is half of the cost of starting many.

    Here a definition is parsed once. Each execution gets a copy, because running a program changes it.
    """
    real_parse = AmazonStateLanguageParser.parse

    @lru_cache(maxsize=64)
    def parse_once(definition: str) -> tuple[Any, Any]:
        return real_parse(definition)

    def parse(definition: str) -> tuple[Any, Any]:
        program, tree = parse_once(definition)
        return copy.deepcopy(program), tree

    AmazonStateLanguageParser.parse = staticmethod(parse)


def paths_are_parsed_once() -> None:
    """moto: each use of a JSONPath parses it again, which is a tenth of the cost of starting many executions."""
    for module in (json_path, result_path):
        module.parse = lru_cache(maxsize=1024)(module.parse)


def threads_of_tasks_are_not_kept() -> None:
    """moto: the thread of each task is kept after its end, with the execution."""
    execute_state.TMP_THREADS = deque(maxlen=0)


def unnamed_executions() -> None:
    """moto: StartExecution without a name uses "None", so the second one collides. AWS: it generates a name."""
    real_start = StepFunctionsParserBackend.start_execution

    def start_execution(
        self: StepFunctionsParserBackend, state_machine_arn: str, name: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        return real_start(self, state_machine_arn, name or str(uuid.uuid4()), *args, **kwargs)

    StepFunctionsParserBackend.start_execution = start_execution


def one_start_at_a_time() -> None:
    """moto: concurrent StartExecution calls with one name can start two. AWS: both return the same execution."""
    real_start = StepFunctionsParserBackend.start_execution
    lock = threading.Lock()

    def start_execution(self: StepFunctionsParserBackend, *args: Any, **kwargs: Any) -> Any:
        with lock:
            return real_start(self, *args, **kwargs)

    StepFunctionsParserBackend.start_execution = start_execution
