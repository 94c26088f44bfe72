"""Probes of moto's Step Functions interpreter."""

from __future__ import annotations

import json
import types

from tests.harness.waiting import eventually
from tests.laptop_cloud.probes.base import HOOKS, REGION, ROLE, SERVER, client, job, meet, run_machine, sync_task


def step_functions_clients() -> bool:
    from moto.stepfunctions.parser.asl.utils import boto_client

    credentials = types.SimpleNamespace(role_arn=ROLE)
    first = boto_client.boto_client_for(REGION, "sqs", credentials)
    second = boto_client.boto_client_for(REGION, "sqs", credentials)
    return first is second and first._request_signer._credentials.access_key == "machine"


def glue_sync_tasks() -> bool:
    if run_machine(sync_task("ok"))["status"] != "SUCCEEDED":
        return False
    HOOKS.stopped.clear()
    timed_out = run_machine(sync_task("long", TimeoutSeconds=1))
    # The job run is stopped by the task's thread, which may be after the end of the execution.
    return timed_out["error"] == "States.Timeout" and bool(
        eventually(lambda: HOOKS.stopped, "the job run to be stopped")
    )


def glue_times_in_milliseconds() -> bool:
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_glue import (
        StateTaskServiceGlue,
    )

    run_id = client("glue").start_job_run(JobName=job("ok"))["JobRunId"]
    part, credentials = types.SimpleNamespace(region=REGION), types.SimpleNamespace(role_arn=ROLE)
    glue = StateTaskServiceGlue._get_glue_client(resource_runtime_part=part, state_credentials=credentials)
    return isinstance(glue.get_job_run(JobName="ok", RunId=run_id)["JobRun"]["StartedOn"], int)


def execution_output_is_json() -> bool:
    found = run_machine({"Say": {"Type": "Pass", "Result": "text", "End": True}})
    return found["output"] == '"text"'


def execution_status_events() -> bool:
    sqs, events = client("sqs"), client("events")
    queue = sqs.create_queue(QueueName="events")["QueueUrl"]
    events.put_rule(Name="ended", EventPattern=json.dumps({"source": ["aws.states"]}))
    arn = f"arn:aws:sqs:{REGION}:123456789012:events"
    events.put_targets(Rule="ended", Targets=[{"Id": "1", "Arn": arn}])
    HOOKS.statuses.clear()
    run_machine({"Do": {"Type": "Pass", "End": True}})
    if SERVER.repaired:
        eventually(lambda: len(HOOKS.statuses) == 2, "the two events")
    by_moto = sqs.receive_message(QueueUrl=queue).get("Messages", [])
    return bool(by_moto) or HOOKS.statuses == ["RUNNING", "SUCCEEDED"]


def states_runtime_is_not_caught() -> bool:
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage",
        "Parameters": {"QueueUrl.$": "$.not_there", "MessageBody": "x"},
        "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}],
        "End": True,
    }
    found = run_machine({"Send": task, "Caught": {"Type": "Pass", "End": True}})
    return found["status"] == "FAILED"


def definitions_are_parsed_once() -> bool:
    from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
    (one, tree), (other, same_tree) = (AmazonStateLanguageParser.parse(definition) for _ in range(2))
    return tree is same_tree and one is not other


def paths_are_parsed_once() -> bool:
    from moto.stepfunctions.parser.asl.component.common.path import result_path
    from moto.stepfunctions.parser.asl.utils import json_path

    return all(module.parse("$.a.b") is module.parse("$.a.b") for module in (json_path, result_path))


def threads_of_tasks_are_not_kept() -> bool:
    from moto.stepfunctions.parser.asl.component.state.exec import execute_state

    run_machine(sync_task("ok"))
    return not execute_state.TMP_THREADS


def unnamed_executions() -> bool:
    states = client("stepfunctions")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}})
    machine = states.create_state_machine(name="unnamed", definition=definition, roleArn=ROLE)["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine)["executionArn"]
    return not arn.endswith(":None")


def one_start_at_a_time() -> bool:
    from moto.stepfunctions.models import StateMachine

    states = client("stepfunctions")
    definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 2, "End": True}}})
    machine = states.create_state_machine(name="twice", definition=definition, roleArn=ROLE)["stateMachineArn"]
    start = [lambda: client("stepfunctions").start_execution(stateMachineArn=machine, name="same")] * 2
    return not meet(StateMachine, "_handle_name_input_idempotency", start)
