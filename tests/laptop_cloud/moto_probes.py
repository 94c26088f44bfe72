"""One look at each thing that `laptop_cloud.aws.repairs` repairs: does moto behave as AWS does?

Run as a program, `python moto_probes.py stock|repaired`, it prints {probe: true | false}. Stock must give false
everywhere: where it does not, moto has learnt it and the repair can go. Probes are named after their repair.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import types
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from tests.harness.waiting import HANG_SECONDS, eventually

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/machine"


class Noted:
    """Stands for the laptop cloud: runs nothing, notes everything. A job run ends as the job's name says."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.stopped: list[str] = []

    def invoke_function(self, function: Any, payload: bytes, invocation_type: str, headers: dict[str, str]) -> bytes:
        return b'"the handler ran"'

    def job_run_started(self, job: Any, run: Any) -> None:
        run.real_state = {"ok": "SUCCEEDED", "bad": "FAILED"}.get(job.name, "RUNNING")

    def stop_job_run(self, run_id: str) -> bool:
        self.stopped.append(run_id)
        return True

    def execution_changed(self, execution: Any) -> None:
        self.statuses.append(execution.status)

    def principal(self, role_arn: str) -> str:
        return role_arn.rpartition("/")[2] or "none"

    def concurrency(self) -> int:
        return 7


HOOKS = Noted()
ENDPOINT = ""
PATIENCE = HANG_SECONDS
"""How long what must happen may take. With stock moto it is seconds: what does not happen there is what is expected."""


def client(service: str) -> Any:
    """A client that asks once: what moto does not know it answers with 501, which others ask about for seconds."""
    keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    once = Config(retries={"total_max_attempts": 1})
    return boto3.client(service, endpoint_url=ENDPOINT, region_name=REGION, config=once, **keys)


def run_machine(states: dict[str, Any]) -> dict[str, Any]:
    """The execution of a state machine with these states, once it has ended; with stock moto some never do."""
    arn = start_machine(states)

    def look() -> dict[str, Any]:
        found: dict[str, Any] = client("stepfunctions").describe_execution(executionArn=arn)
        return found

    try:
        return eventually(lambda: found if (found := look())["status"] != "RUNNING" else {}, seconds=PATIENCE)
    except TimeoutError:
        return look()


def start_machine(states: dict[str, Any]) -> str:
    definition = {"StartAt": next(iter(states)), "States": states}
    states_client = client("stepfunctions")
    machine = states_client.create_state_machine(
        name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=ROLE
    )
    execution = states_client.start_execution(stateMachineArn=machine["stateMachineArn"], name=uuid.uuid4().hex)
    return str(execution["executionArn"])


def job(name: str) -> str:
    """A Glue job of this name; made once."""
    glue = client("glue")
    if name not in [found["Name"] for found in glue.get_jobs()["Jobs"]]:
        limit = {"MaxConcurrentRuns": 50}
        glue.create_job(Name=name, Role="r", Command={"Name": "glueetl"}, ExecutionProperty=limit)
    return name


def sync_task(name: str, **more: Any) -> dict[str, Any]:
    parameters = {"JobName": job(name)}
    resource = "arn:aws:states:::glue:startJobRun.sync"
    return {"Run": {"Type": "Task", "Resource": resource, "Parameters": parameters, "End": True, **more}}


def meet(owner: Any, method: str, calls: list[Callable[[], Any]]) -> bool:
    """Whether two calls can be inside a method at the same time. With the repairs they wait in vain."""
    barrier, met = threading.Barrier(2), []
    real = getattr(owner, method)

    def wait_for_the_other(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            barrier.wait(timeout=1 if PATIENCE == HANG_SECONDS else HANG_SECONDS)
            met.append(True)
        except threading.BrokenBarrierError:
            pass
        return real(self, *args, **kwargs)

    def safely(call: Callable[[], Any]) -> None:
        try:
            call()
        except client("stepfunctions").exceptions.ClientError:
            pass

    with mock.patch.object(owner, method, wait_for_the_other):
        threads = [threading.Thread(target=safely, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return bool(met)


# ---- the probes


def services_are_known() -> bool:
    client("sqs").list_queues()  # the first request sets the service up
    real, listed = os.listdir, []

    def listdir(path: Any = ".") -> list[str]:
        listed.append(str(path))
        return real(path)

    with mock.patch.object(os, "listdir", listdir):
        client("sqs").list_queues()
    return not any(path.rstrip("/").endswith("moto") for path in listed)


def _function(name: str) -> str:
    client("lambda").create_function(
        FunctionName=name, Runtime="python3.13", Role=ROLE, Handler="a.b", Code={"ZipFile": b"zip"}
    )
    return name


def lambda_functions_run() -> bool:
    answer = client("lambda").invoke(FunctionName=_function("f"), Payload=b'{"echo": 1}')
    return answer["Payload"].read() != b'{"echo": 1}'


def lambda_qualifiers() -> bool:
    functions, name = client("lambda"), _function("q")
    functions.invoke(FunctionName=name, Payload=b"{}")
    try:
        functions.invoke(FunctionName=name, Qualifier="no-such-alias", Payload=b"{}")
    except functions.exceptions.ResourceNotFoundException:
        return "the handler ran" in str(
            functions.invoke(FunctionName=name, Payload=b'{"qualifier": "x"}')["Payload"].read()
        )
    return False


def lambda_account_settings() -> bool:
    try:
        limit = client("lambda").get_account_settings()["AccountLimit"]
    except (ClientError, KeyError):
        return False
    return bool(limit["UnreservedConcurrentExecutions"] == 7)


def lambda_polls_queues() -> bool:
    sqs = client("sqs")
    queue = sqs.create_queue(QueueName="polled")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:123456789012:polled"
    client("lambda").create_event_source_mapping(FunctionName=_function("polls"), EventSourceArn=arn)
    try:
        sqs.send_message(QueueUrl=queue, MessageBody="x")
    except sqs.exceptions.ClientError:
        return False
    return "Messages" in sqs.receive_message(QueueUrl=queue)


def glue_job_runs_run() -> bool:
    glue = client("glue")
    run_id = glue.start_job_run(JobName=job("bad"))["JobRunId"]
    states = [glue.get_job_run(JobName="bad", RunId=run_id)["JobRun"]["JobRunState"] for _ in range(4)]
    return states[-1] == "FAILED"


def glue_batch_stop_job_run() -> bool:
    glue = client("glue")
    run_id = glue.start_job_run(JobName=job("long"))["JobRunId"]
    try:
        answer = glue.batch_stop_job_run(JobName="long", JobRunIds=[run_id])
    except glue.exceptions.ClientError:
        return False
    return bool([stopped["JobRunId"] for stopped in answer["SuccessfulSubmissions"]] == [run_id])


def glue_update_job() -> bool:
    glue, name = client("glue"), job("changed")
    try:
        glue.update_job(JobName=name, JobUpdate={"Role": "r", "DefaultArguments": {"--a": "new"}})
    except glue.exceptions.ClientError:
        return False
    return bool(glue.get_job(JobName=name)["Job"]["DefaultArguments"] == {"--a": "new"})


def step_functions_clients() -> bool:
    from moto.stepfunctions.parser.asl.utils import boto_client

    credentials = types.SimpleNamespace(role_arn=ROLE)
    first = boto_client.boto_client_for(REGION, "sqs", credentials)
    second = boto_client.boto_client_for(REGION, "sqs", credentials)
    return first is second and first._request_signer._credentials.access_key == "machine"


def glue_sync_tasks() -> bool:
    if run_machine(sync_task("ok"))["status"] != "SUCCEEDED":
        return False
    timed_out = run_machine(sync_task("long", TimeoutSeconds=1))
    return timed_out["error"] == "States.Timeout" and len(HOOKS.stopped) > 0


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
    if PATIENCE == HANG_SECONDS:
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


def dynamodb_writes_are_atomic() -> bool:
    from moto.dynamodb.responses import DynamoHandler

    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    put = [lambda: client("dynamodb").put_item(TableName="t", Item={"id": {"S": "1"}})] * 2
    return not meet(DynamoHandler, "put_item", put)


def dynamodb_items_are_answered_as_they_are() -> bool:
    """An item of 50 attributes comes back whole without a look-up for each of them."""
    from moto.core.serialize import JSONSerializer

    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="wide",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {"id": {"S": "a"}, "map": {"M": {"list": {"L": [{"N": "1"}, {"NULL": True}, {"B": b"\x00"}]}}}}
    item |= {f"field{number}": {"S": "x"} for number in range(50)}
    dynamodb.put_item(TableName="wide", Item=item)
    lookups = 0
    get_value = JSONSerializer.get_value

    def counted(*arguments: Any) -> Any:
        nonlocal lookups
        lookups += 1
        return get_value(*arguments)

    JSONSerializer.get_value = counted
    try:
        answer = dynamodb.get_item(TableName="wide", Key={"id": {"S": "a"}})["Item"]
    finally:
        JSONSerializer.get_value = get_value
    return bool(answer == item) and lookups < 100


def sqs_messages_are_received_once() -> bool:
    from moto.sqs.models import Message

    url = client("sqs").create_queue(QueueName="contended")["QueueUrl"]
    for number in range(2):
        client("sqs").send_message(QueueUrl=url, MessageBody=str(number))
    receive = [lambda: client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=1)] * 2
    return not meet(Message, "mark_received", receive)


def sqs_cost_does_not_grow() -> bool:
    """Counts how often the clock is read for one send, receive and delete in a queue of 200 messages."""
    from moto.sqs import models

    sqs = client("sqs")
    url = sqs.create_queue(QueueName="deep")["QueueUrl"]
    for batch in range(20):
        entries = [{"Id": str(n), "MessageBody": f"{batch}-{n}"} for n in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    real, reads = models.unix_time_millis, []

    def unix_time_millis(*args: Any) -> float:
        reads.append(1)
        return float(real(*args))

    with mock.patch.object(models, "unix_time_millis", unix_time_millis):
        sqs.send_message(QueueUrl=url, MessageBody="one more")
        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    counted = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    assert counted == {"ApproximateNumberOfMessages": "200"}, counted
    return len(reads) < 50


def sqs_messages_move_back() -> bool:
    sqs = client("sqs")
    dead = sqs.create_queue(QueueName="given-up")["QueueUrl"]
    arn = f"arn:aws:sqs:{REGION}:123456789012:given-up"
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    source = sqs.create_queue(QueueName="source", Attributes={"RedrivePolicy": policy})["QueueUrl"]
    sqs.send_message(QueueUrl=dead, MessageBody="x")
    try:
        sqs.start_message_move_task(SourceArn=arn)
    except sqs.exceptions.ClientError:
        return False
    return "Messages" in sqs.receive_message(QueueUrl=source) and "Messages" not in sqs.receive_message(QueueUrl=dead)


PROBES: tuple[Callable[[], bool], ...] = (
    services_are_known,
    lambda_functions_run,
    lambda_qualifiers,
    lambda_account_settings,
    lambda_polls_queues,
    glue_job_runs_run,
    glue_batch_stop_job_run,
    glue_update_job,
    step_functions_clients,
    glue_sync_tasks,
    glue_times_in_milliseconds,
    execution_output_is_json,
    execution_status_events,
    states_runtime_is_not_caught,
    definitions_are_parsed_once,
    paths_are_parsed_once,
    unnamed_executions,
    one_start_at_a_time,
    dynamodb_writes_are_atomic,
    dynamodb_items_are_answered_as_they_are,
    sqs_messages_are_received_once,
    sqs_cost_does_not_grow,
    sqs_messages_move_back,
)


def main(kind: str) -> None:
    global ENDPOINT, PATIENCE
    logging.disable(logging.CRITICAL)
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["MOTO_PORT"] = str(port)
    PATIENCE = HANG_SECONDS if kind == "repaired" else 5.0
    if kind == "repaired":
        from laptop_cloud.aws import job_runs, repairs
        from laptop_cloud.aws.repairs.hooks import Hooks, connect

        job_runs.use_real_runs()
        repairs.apply_all()
        noted = (HOOKS.invoke_function, HOOKS.job_run_started, HOOKS.stop_job_run, HOOKS.execution_changed)
        connect(Hooks(*noted, HOOKS.principal, HOOKS.concurrency))
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    ENDPOINT = f"http://127.0.0.1:{port}"
    client("iam").create_role(RoleName="machine", AssumeRolePolicyDocument="{}")
    print(json.dumps({probe.__name__: probe() for probe in PROBES}))


if __name__ == "__main__":
    main(sys.argv[1])
