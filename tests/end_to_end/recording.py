"""One run of the prod profile on the laptop cloud, with a canary in every row, recorded for the tests that read it.

The recording consists of plain files, so that parallel test processes can share one run.
"""

from __future__ import annotations

import fcntl
import gzip
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo import STACK_NAME
from demo.table import TABLE, deploy_with_table
from fanout.adapters import DynamoLedger
from fanout.runs import Lease
from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.stack.template import Template
from tests.end_to_end.conftest import ROOT, ConfigApi
from tests.harness.call_log import call_log
from tests.harness.waiting import HANG_SECONDS, eventually
from tools.iam import EVERYTHING

CANARY = "canary-5f1d0c7e9a"
"""In every row, good or bad. Only the change log and the queue may contain it."""
PARAMETERS = {**EVERYTHING, "LambdaMaxBytes": 3000, "SourceStreamArn": "", "ProviderAttribute": ""}
"""At first; the table whose stream is read is created later, outside the stack."""
ACCOUNT, REGION = "123456789012", "us-east-1"


class Recording:
    """The files of a recorded run.

    Attributes
    ----------
    folder
        api_calls.jsonl, logs/ and the dumps below.
    key
        The config API's key: a secret that the laptop cloud generated.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        self.key: str = self.state.pop("key")
        self.source: dict[str, Any] = self.state.pop("source")

    @property
    def template(self) -> Template:
        return Template.load(ROOT / "template.yaml", {**PARAMETERS, **self.source}, STACK_NAME)

    def physical_id(self, logical_id: str) -> str:
        return str(self.state["physical_ids"][logical_id])

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield every text that may be read outside the data itself, as (name, text)."""
        for name, value in self.state.items():
            yield name, json.dumps(value, default=str)
        for path in sorted((self.folder / "logs").rglob("*")):
            if path.is_file():
                yield f"logs/{path.name}", path.read_text(encoding="utf-8", errors="replace")
        yield "api_calls.jsonl", (self.folder / "api_calls.jsonl").read_text(encoding="utf-8")

    def emitted(self) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
        """Every metric in the logs' EMF lines as (namespace, name, sorted dimensions)."""
        found = []
        for path in (self.folder / "logs").glob("glue-fanout-*.log"):
            for line in path.read_text(encoding="utf-8").splitlines():
                if '"CloudWatchMetrics"' in line:
                    found += metrics_of(json.loads(line))
        return found


def metrics_of(emf: dict[str, Any]) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    """The metrics of one EMF line, once for each of its sets of dimensions."""
    return [
        (block["Namespace"], metric["Name"], tuple(sorted((name, str(emf[name])) for name in dimensions)))
        for block in emf["_aws"]["CloudWatchMetrics"]
        for dimensions in block["Dimensions"]
        for metric in block["Metrics"]
    ]


def rows(count: int, provider: str) -> bytes:
    """Build a change log object in which each row has the canary as a key and as a value."""
    lines = [
        {
            "eventID": f"{provider}-{number}",
            "eventName": "INSERT",
            "eventSource": "aws:dynamodb",
            "awsRegion": REGION,
            "dynamodb": {
                "ApproximateCreationDateTime": 1767600000,
                "Keys": {"id": {"S": f"{CANARY}-{number}"}},
                "NewImage": {"id": {"S": f"{CANARY}-{number}"}, "secret": {"S": f"{CANARY} {number * 7919}"}},
                "SequenceNumber": str(number),
                "SizeBytes": 40,
                "StreamViewType": "NEW_IMAGE",
            },
            "eventSourceARN": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t/stream/s",
        }
        for number in range(count)
    ]
    return gzip.compress("\n".join(json.dumps(line) for line in lines).encode() + b"\n")


def record(folder: Path, drivers: Drivers) -> None:
    """Bring the prod profile up, run every kind of run, and record the results."""
    work = folder / "work"
    around = call_log(folder / "api_calls.jsonl")
    with LaptopCloud(ROOT / "template.yaml", PARAMETERS, work, STACK_NAME, drivers=drivers, around=around) as cloud:
        api, s3 = ConfigApi(cloud), cloud.client("s3")
        bucket = cloud.outputs["DataBucketName"]
        objects = {
            "tiny": rows(20, "tiny"),
            "large": rows(3000, "large"),
            "broken": gzip.compress(b'{"eventID": "%s", "dynamodb": {"Keys"' % CANARY.encode()),
            "quiet": None,
            "stopped": rows(3000, "stopped"),
        }
        for provider, body in objects.items():
            api.call("PUT", f"/{provider}", {"frequency": "15", "paused": provider == "stopped"})
            if body:
                s3.put_object(Bucket=bucket, Key=f"change_log/provider={provider}/part-0.json.gz", Body=body)
        api.call("PUT", "/gone", {"frequency": "15"})
        api.call("DELETE", "/gone")
        answers = [cloud.tick()]
        cloud.wait(HANG_SECONDS)
        _replay(cloud)
        _stop_a_run(cloud)
        _lose_a_run(cloud)
        s3.put_object(Bucket=bucket, Key="change_log/provider=tiny/part-1.json.gz", Body=rows(10, "tiny-again"))
        answers.append(cloud.tick(datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=20)))
        cloud.wait(HANG_SECONDS)
        source = _follow_a_table(cloud)
        state = {
            "key": api.headers["x-api-key"],
            "source": source,
            "physical_ids": {name: cloud.physical_id(name) for name in cloud._running()[1].made},
            "ticks": answers,
            **_dump(cloud, bucket),
        }
    shutil.move(work / "logs", folder / "logs")
    (folder / "state.json").write_text(json.dumps(state, default=str), encoding="utf-8")


def _replay(cloud: LaptopCloud) -> None:
    """Replay a time range by hand."""
    start = cloud.client("stepfunctions").start_execution
    machine = cloud.outputs["StateMachineArn"]
    whole = {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    start(stateMachineArn=machine, name="replay", input=json.dumps({"provider": "tiny", "replay": whole}))
    cloud.wait(HANG_SECONDS)


def _stop_a_run(cloud: LaptopCloud) -> None:
    """Abort an execution while its job runs, as an operator would."""
    states = cloud.client("stepfunctions")
    arn = states.start_execution(
        stateMachineArn=cloud.outputs["StateMachineArn"], name="stopped-by-hand", input='{"provider":"stopped"}'
    )["executionArn"]
    eventually(lambda: any(run["Arguments"]["--provider"] == "stopped" for run in cloud.job_runs()), "its job run")
    states.stop_execution(executionArn=arn)
    eventually(lambda: "lease" not in _item(cloud, "stopped"), "the end event to release its lease")


def _lose_a_run(cloud: LaptopCloud) -> None:
    """Write a lease whose execution has ended without an event; the next tick must check it."""
    execution = next(e for e in cloud.executions() if e["status"] == "SUCCEEDED")
    store = DynamoLedger(cloud.client("dynamodb"), cloud.outputs["RunLedgerTable"])
    claimed = datetime.now(UTC) - timedelta(minutes=10)
    lease = Lease(
        run_id="lost",
        claimed_at=claimed,
        expires_at=claimed + timedelta(hours=2),
        run_dir=f"s3://{cloud.outputs['DataBucketName']}/runs/provider=quiet/lost/",
        execution_arn=execution["executionArn"],
    )
    store.put(store.get("quiet").model_copy(update={"lease": lease}))


def _follow_a_table(cloud: LaptopCloud) -> dict[str, str]:
    """Add a table's stream with a record without a provider to the stack; return the stack's new parameters."""
    source = deploy_with_table(cloud)
    for name in ("ORG#tiny#1", "without a provider"):
        item = {"pk": {"S": name}, "sk": {"N": "1"}, "secret": {"S": CANARY}}
        cloud.client("dynamodb").put_item(TableName=TABLE, Item=item)
    cloud.deliver_events()
    return source


def _item(cloud: LaptopCloud, provider: str) -> dict[str, Any]:
    key = {"provider": {"S": provider}}
    found = cloud.client("dynamodb").get_item(TableName=cloud.outputs["RunLedgerTable"], Key=key)
    return dict(found.get("Item", {"lease": {}}))


FUNCTIONS = (
    "DispatchFunction",
    "ClaimFunction",
    "UpdateStatusFunction",
    "LambdaRunFunction",
    "ConfigApiFunction",
    "ProducerFunction",
)


def _dump(cloud: LaptopCloud, bucket: str) -> dict[str, Any]:
    s3, states, functions = cloud.client("s3"), cloud.client("stepfunctions"), cloud.client("lambda")
    dynamodb, queue = cloud.client("dynamodb"), cloud.physical_id("UndeliveredQueue")
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix="runs/")["Contents"]]
    executions, named = cloud.executions(), [cloud.physical_id(name) for name in FUNCTIONS]
    return {
        "executions": executions,
        "histories": [states.get_execution_history(executionArn=e["executionArn"])["events"] for e in executions],
        "job_runs": cloud.job_runs(),
        "tables": [dynamodb.scan(TableName=cloud.physical_id(n))["Items"] for n in ("RunLedger", "Providers")],
        "run_files": {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in keys},
        "environments": [functions.get_function_configuration(FunctionName=n)["Environment"] for n in named],
        "undelivered": cloud.client("sqs").receive_message(QueueUrl=queue).get("Messages", []),
    }


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory, drivers: Drivers) -> Recording:
    """The recorded run; the first test process that needs it records it."""
    shared = tmp_path_factory.getbasetemp()
    if shared.name.startswith("popen-"):  # each process of pytest-xdist has its own folder in the shared one
        shared = shared.parent
    folder = shared / "recorded"
    with (shared / "recorded.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "state.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            record(folder, drivers)
    return Recording(folder)
