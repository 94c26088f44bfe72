"""`make smoke` on the laptop cloud: it passes, leaves nothing, and names the part that was broken on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cli.deployment import Deployment, Where
from demo import STACK_NAME
from fanout.adapters import PENDING_SUFFIX
from laptop_cloud.cloud import LaptopCloud
from tests.cloud.guest import ENDS, PROVIDER, Guest
from tests.cloud.queue import Inbox
from tests.cloud.report import Outcome
from tests.cloud.smoke import PART_OF_STATE, SmokeTest, part_of
from tests.harness.clouds import TEMPLATE

pytestmark = pytest.mark.slow
STEPS = ["object events", "tick", "run", "messages", "replay", "failing line"]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LaptopCloud]:
    with LaptopCloud(TEMPLATE, workdir=tmp_path_factory.mktemp("cloud"), stack_name=STACK_NAME) as cloud:
        yield cloud


@pytest.fixture
def stack(cloud: LaptopCloud) -> Deployment:
    return Deployment.find(Where(None, cloud_file=cloud.workdir / "cloud.json"))


def smoke(stack: Deployment, **options: bool) -> dict[str, tuple[str, str]]:
    """Part -> outcome and details."""
    test = SmokeTest(stack, lambda step: None, **options)
    test.run()
    return {check.part: (check.outcome.value, check.details) for check in test.checks}


def failed(checks: dict[str, tuple[str, str]]) -> list[str]:
    return [part for part, (outcome, _) in checks.items() if outcome == Outcome.FAILED]


def remains(cloud: LaptopCloud) -> list[Any]:
    """Names of the provider in the data bucket, in the ledger and in the config API."""
    bucket, ledger = cloud.outputs["DataBucketName"], cloud.outputs["RunLedgerTable"]
    versions = cloud.client("s3").list_object_versions(Bucket=bucket)
    keys = [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in versions.get(kind, ())]
    items = cloud.client("dynamodb").scan(TableName=ledger)["Items"]
    entries = cloud.client("dynamodb").scan(TableName=cloud.physical_id("Providers"))["Items"]
    names = [item["provider"]["S"].removesuffix(PENDING_SUFFIX) for item in [*items, *entries]]
    return [found for found in [*keys, *names] if PROVIDER in found]


def messages(cloud: LaptopCloud) -> int:
    url = cloud.outputs["ChangesQueueUrl"]
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return sum(
        map(int, cloud.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values())
    )


def test_everything_works_and_nothing_is_left(cloud: LaptopCloud, stack: Deployment) -> None:
    checks = smoke(stack)

    assert {outcome for outcome, _ in checks.values()} == {"ok"}, checks
    assert list(checks)[-len(STEPS) - 1 :] == [*STEPS, "clean-up"]
    assert checks["run"][1] == "engine lambda: 20 rows, 20 messages acknowledged"
    assert checks["messages"][1] == checks["replay"][1] == "20 with the ids of the rows"
    assert checks["failing line"][1].startswith("its run failed: RecordError in failing-line-")
    assert checks["failing line"][1].endswith(", line 1")
    assert remains(cloud) == []
    assert messages(cloud) == 0


def test_a_queue_in_use_is_not_touched(cloud: LaptopCloud, stack: Deployment) -> None:
    sqs, url = cloud.client("sqs"), cloud.outputs["ChangesQueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody='{"id": "of a tenant"}')

    checks = smoke(stack)

    assert failed(checks) == []
    assert checks["run"] == ("ok", "succeeded, without objects")
    assert checks["messages"][0] == checks["replay"][0] == "not checked"
    assert "the queue holds about 1 message" in checks["messages"][1]
    (message,) = sqs.receive_message(QueueUrl=url, AttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1", "the smoke test received it"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert messages(cloud) == 0
    assert remains(cloud) == []


def test_a_message_of_another_provider_is_given_back(cloud: LaptopCloud) -> None:
    sqs, url = cloud.client("sqs"), cloud.outputs["ChangesQueueUrl"]
    for body in ('{"id": "mine"}', '{"id": "of a tenant"}', "not JSON"):
        sqs.send_message(QueueUrl=url, MessageBody=body)

    found = Inbox(sqs, url).receive({"mine"}, seconds=60)

    assert found == {"mine": 1}
    left = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert sorted(message["Body"] for message in left) == ["not JSON", '{"id": "of a tenant"}']
    for message in left:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@pytest.mark.parametrize(
    ("states", "error", "found"),
    [
        (["Claim Partition", "Update Status Failed", "Run Failed"], "LedgerUnavailableError", "run ledger"),
        (["Claim Partition", "Update Status Failed", "Run Failed"], "StorageUnavailableError", "data bucket"),
        (["Claim Partition", "Choose Engine", "Run change_log in Lambda", "Run Failed"], "SendRefusedError", "queue"),
        (["Claim Partition", "Choose Engine", "Run change_log in Lambda", "Run Failed"], "KeyError", "job"),
        (["Claim Partition", "Start change_log Glue Job", "Check Job Run", "Run Failed"], "RunFailedError", "job"),
        (["Claim Partition", "Update Status Success", "Run Failed"], "Lambda.Unknown", "run ledger"),
        ([], "States.Runtime", None),
    ],
)
def test_a_failed_run_names_the_part_to_look_at(states: list[str], error: str, found: str | None) -> None:
    assert part_of(states, error)[1] == found


def test_an_interrupted_test_leaves_nothing(
    cloud: LaptopCloud, stack: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Inbox, ids: set[str], seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Inbox, "receive", interrupt)

    with pytest.raises(KeyboardInterrupt):
        smoke(stack)

    assert remains(cloud) == []
    assert messages(cloud) == 0


def test_two_tests_of_one_stack_exclude_each_other(cloud: LaptopCloud, stack: Deployment) -> None:
    first = Guest(stack, "first")
    assert first.enter() == "added to the config API"

    checks = smoke(stack)

    assert checks["provider"][0] == "not checked"
    assert "tick" not in checks
    assert "runs until" in checks["provider"][1]
    assert PROVIDER in stack.config_api.entries(), "the other test's entry is gone"
    stack.config_api.change("PATCH", PROVIDER, {ENDS: "2026-01-01T00:00:00Z"})  # as if it had been killed
    second = Guest(stack, "second")
    assert second.enter() == "added to the config API"
    assert second.leave() == []
    assert remains(cloud) == []


def test_the_states_with_a_part_are_those_of_the_state_machine(cloud: LaptopCloud) -> None:
    machine = cloud.client("stepfunctions").describe_state_machine(stateMachineArn=cloud.outputs["StateMachineArn"])
    tasks = {name for name, state in json.loads(machine["definition"])["States"].items() if state["Type"] == "Task"}

    assert set(PART_OF_STATE) == tasks - {"Update Status Failed"} | {"Check Job Run"}


def disable_the_schedule(cloud: LaptopCloud) -> Callable[[], Any]:
    scheduler, name = cloud.client("scheduler"), cloud.outputs["ScheduleName"]
    found = scheduler.get_schedule(Name=name)
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target", "State")
    settings = {key: found[key] for key in kept if key in found}
    scheduler.update_schedule(**settings | {"State": "DISABLED"})
    return lambda: scheduler.update_schedule(**settings)


def turn_the_schedule_elsewhere(cloud: LaptopCloud) -> Callable[[], Any]:
    scheduler, name = cloud.client("scheduler"), cloud.outputs["ScheduleName"]
    found = scheduler.get_schedule(Name=name)
    kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target", "State")
    settings = {key: found[key] for key in kept if key in found}
    wrong = {**found["Target"], "Arn": found["Target"]["Arn"].replace("-dispatch", "-claim")}
    scheduler.update_schedule(**settings | {"Target": wrong})
    return lambda: scheduler.update_schedule(**settings)


def break_the_job(cloud: LaptopCloud) -> Callable[[], Any]:
    return configure(cloud, "LambdaRunFunctionName", Handler="gone.handler")


def delete_the_script(cloud: LaptopCloud) -> Callable[[], Any]:
    job = cloud.client("glue").get_job(JobName=cloud.outputs["GlueJobName"])["Job"]
    bucket, _, key = job["Command"]["ScriptLocation"].removeprefix("s3://").partition("/")
    s3 = cloud.client("s3")
    body = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.delete_object(Bucket=bucket, Key=key)
    return lambda: s3.put_object(Bucket=bucket, Key=key, Body=body)


def send_elsewhere(cloud: LaptopCloud) -> Callable[[], Any]:
    url = cloud.outputs["ChangesQueueUrl"]
    return environment(cloud, "LambdaRunFunctionName", QUEUE_URL=f"{url}-gone")


def delete_the_queue(cloud: LaptopCloud) -> Callable[[], Any]:
    sqs, url = cloud.client("sqs"), cloud.outputs["ChangesQueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
    sqs.delete_queue(QueueUrl=url)
    return lambda: sqs.create_queue(QueueName=url.rpartition("/")[2], Attributes=attributes)


def delete_the_ledger(cloud: LaptopCloud) -> Callable[[], Any]:
    dynamodb, name = cloud.client("dynamodb"), cloud.outputs["RunLedgerTable"]
    table = dynamodb.describe_table(TableName=name)["Table"]
    kept = {key: table[key] for key in ("TableName", "AttributeDefinitions", "KeySchema")}
    indexes = [
        {key: one[key] for key in ("IndexName", "KeySchema", "Projection")} for one in table["GlobalSecondaryIndexes"]
    ]
    dynamodb.delete_table(TableName=name)
    return lambda: dynamodb.create_table(**kept, GlobalSecondaryIndexes=indexes, BillingMode="PAY_PER_REQUEST")


def environment(cloud: LaptopCloud, output: str, **changes: str) -> Callable[[], Any]:
    found = cloud.client("lambda").get_function_configuration(FunctionName=cloud.outputs[output])
    return configure(cloud, output, Environment={"Variables": {**found["Environment"]["Variables"], **changes}})


def configure(cloud: LaptopCloud, output: str, **changes: Any) -> Callable[[], Any]:
    functions, name = cloud.client("lambda"), cloud.outputs[output]
    found = functions.get_function_configuration(FunctionName=name)
    former = {key: found[key] for key in changes}
    functions.update_function_configuration(FunctionName=name, **changes)
    return lambda: functions.update_function_configuration(FunctionName=name, **former)


@pytest.mark.parametrize(
    ("part", "break_it", "said"),
    [
        ("schedule", disable_the_schedule, "the schedule is disabled"),
        ("schedule", turn_the_schedule_elsewhere, "invokes glue-fanout-dev-claim instead of glue-fanout-dev-dispatch"),
        ("job", break_the_job, "failed in state Run change_log in Lambda: ModuleNotFoundError"),
        ("job", delete_the_script, ".py not found"),
        ("queue", send_elsewhere, "LambdaRunFunction sends to"),
        ("queue", delete_the_queue, "NonExistentQueue"),
        ("run ledger", delete_the_ledger, "ResourceNotFoundException"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_part_that_is_broken_on_purpose_is_named(
    part: str, break_it: Callable[[LaptopCloud], Callable[[], Any]], said: str, cloud: LaptopCloud, stack: Deployment
) -> None:
    mend = break_it(cloud)
    try:
        checks = smoke(stack)
    finally:
        mend()

    assert failed(checks) == [part], json.dumps(checks, indent=1)
    assert said in checks[part][1]
