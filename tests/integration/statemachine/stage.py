"""The state machine on the laptop cloud, with functions and job runs that end as a scene prescribes.

The definition, its interpreter, the handlers, ledger, config API, queue and bucket are real. A scene replaces single
invocations, such as the first two of the claim; all others run the real handler.
"""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer
from moto.core.exceptions import JsonRESTError
from moto.core.utils import utcnow

from demo.verify import drain
from laptop_cloud.aws.repairs.hooks import Hooks, connect, hooks
from laptop_cloud.cloud import LaptopCloud
from tests.end_to_end.conftest import ROOT, ConfigApi
from tests.harness.waiting import HANG_SECONDS, eventually

LAMBDA_MAX_BYTES = 2_000
STATE_SECONDS = 20
"""Timeout of a state in the scenes in which a call hangs; in all others no state times out."""
AT_ONCE = 6
FUNCTIONS = {"claim": "ClaimFunction", "lambda": "LambdaRunFunction", "update": "UpdateStatusFunction"}
CHANGE = {
    "eventID": "e",
    "eventName": "INSERT",
    "dynamodb": {
        "ApproximateCreationDateTime": 1_700_000_000,
        "Keys": {"id": {"S": "1"}},
        "NewImage": {"id": {"S": "1"}, "noise": {"S": "NOISE"}},
        "SequenceNumber": "1",
    },
}


@dataclass(frozen=True)
class Fails:
    """The invocation ends in an error, before or after the real handler runs."""

    error: str
    message: str = "injected"
    after: bool = False
    """Whether the handler did its work before it failed."""


@dataclass(frozen=True)
class Refused:
    """The service rejects the call."""

    code: str


@dataclass(frozen=True)
class Hangs:
    """The call gets no answer before the state times out."""


@dataclass(frozen=True)
class Answers:
    """The handler's answer with some values replaced."""

    changed: Mapping[str, Any]


@dataclass(frozen=True)
class Ends:
    """A job run ends in this state."""

    state: str
    works: bool = True
    """Whether it sends its messages and leaves its result."""


Ending = Fails | Refused | Hangs | Answers | Ends


@dataclass(frozen=True)
class Scene:
    """One execution, and how its calls end.

    Attributes
    ----------
    change_log
        "" for no new objects, "lambda" for a run in Lambda, "large" for a run on Glue.
    parts
        "claim", "lambda", "update" or "glue" -> how its first invocations end.
    given
        The execution's input as text; "" for an input with the provider's name.
    held_by
        The run that already holds the provider's lease.
    """

    change_log: str = ""
    parts: Mapping[str, tuple[Ending, ...]] = field(default_factory=dict)
    given: str = ""
    held_by: str = ""

    def __post_init__(self) -> None:
        assert set(self.parts) <= {*FUNCTIONS, "glue"}, self.parts


@dataclass
class Played:
    """The result of an execution that has ended."""

    execution: dict[str, Any]
    path: list[str]
    """Names of the states that were entered, in order."""
    calls: dict[str, list[Any]]
    """"claim", "lambda", "update" or "glue" -> the events or job runs that it was called with."""
    item: dict[str, Any]
    """The provider's item in the run ledger."""
    entry: dict[str, Any]
    """The provider's entry in the config API."""
    messages: int


class Stage:
    """Intercepts the invocations and job runs of a running laptop cloud."""

    def __init__(self, cloud: LaptopCloud) -> None:
        self._real: Hooks = hooks()
        self._names = {cloud.physical_id(logical_id): who for who, logical_id in FUNCTIONS.items()}
        self._cloud = cloud
        self._lock = threading.Lock()
        self.over = threading.Event()
        self.parts: dict[tuple[str, str], list[Ending]] = {}
        self.calls: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        played = {name: getattr(self, name) for name in ("invoke_function", "job_run_started", "stop_job_run")}
        connect(replace(self._real, **played))

    def invoke_function(self, function: Any, payload: bytes, invocation_type: str, headers: dict[str, str]) -> bytes:
        """See `Hooks`."""
        event = json.loads(payload or b"{}")
        who, provider = self._names.get(function.function_name, ""), provider_of(event)

        def really() -> bytes:
            return self._real.invoke_function(function, payload, invocation_type, headers)

        if not who or "on_glue" in (event or {}):
            return really()
        ending = self._next(provider, who, event)
        if isinstance(ending, Refused):
            raise JsonRESTError(ending.code, "injected")
        if isinstance(ending, Hangs):
            self.over.wait(HANG_SECONDS)
            return b"null"
        if isinstance(ending, Answers):
            return json.dumps({**json.loads(really()), **ending.changed}).encode()
        if isinstance(ending, Fails):
            if ending.after:
                really()
            headers["x-amz-function-error"] = "Unhandled"
            return json.dumps({"errorType": ending.error, "errorMessage": ending.message}).encode()
        return really()

    def job_run_started(self, job: Any, run: Any) -> None:
        """See `Hooks`."""
        provider = run.arguments.get("--provider", "")
        ending = self._next(provider, "glue", run)
        if isinstance(ending, Refused):
            run.real_state = "FAILED"  # so that it does not count toward the job's concurrent runs
            raise JsonRESTError(ending.code, "injected")
        if not isinstance(ending, Hangs):
            threading.Thread(target=self._end, args=(run, ending or Ends("SUCCEEDED")), daemon=True).start()

    def stop_job_run(self, run_id: str) -> bool:
        """See `Hooks`."""
        return True

    def _end(self, run: Any, ending: Ending) -> None:
        assert isinstance(ending, Ends)
        run.real_state, state = "RUNNING", ending.state
        if ending.works:
            try:
                self._work({name.removeprefix("--"): value for name, value in run.arguments.items()})
            except Exception:  # noqa: BLE001 - a run with invalid arguments fails, with whatever error
                state = "FAILED"
        run.finished = run.modified_on = utcnow()
        run.real_state = state

    def _work(self, arguments: dict[str, str]) -> None:
        """Run the job's script in Lambda, with a result that names Glue as the engine."""
        event = {name: arguments[name] for name in ("provider", "run_id", "manifest", "run_dir")} | {"on_glue": True}
        name = self._cloud.physical_id("LambdaRunFunction")
        self._cloud.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
        bucket, _, prefix = arguments["run_dir"].removeprefix("s3://").partition("/")
        s3, where = self._cloud.client("s3"), {"Bucket": bucket, "Key": prefix + "result.json"}
        result = json.loads(s3.get_object(**where)["Body"].read()) | {"engine": "glue", "workers": 2}
        s3.put_object(**where, Body=json.dumps(result).encode())

    def _next(self, provider: str, who: str, called_with: Any) -> Ending | None:
        with self._lock:
            self.calls[provider][who].append(called_with)
            left = self.parts.get((provider, who))
            return left.pop(0) if left else None


def provider_of(event: Any) -> str:
    """Find the provider's name anywhere in an event; "" for none."""
    if isinstance(event, dict):
        if isinstance(event.get("provider"), str):
            return str(event["provider"])
        return next((found for value in event.values() if (found := provider_of(value))), "")
    return ""


class Theatre:
    """A laptop cloud without Spark whose state machine has short retry intervals and short timeouts."""

    def __init__(self, workdir: Path) -> None:
        overrides = {"LambdaMaxBytes": LAMBDA_MAX_BYTES}
        self.cloud = LaptopCloud(ROOT / "template.yaml", overrides, workdir=workdir).start()
        self.stage = Stage(self.cloud)
        self.machine = self.cloud.physical_id("ChangeLogStateMachine")
        self._api = ConfigApi(self.cloud)
        states = self.cloud.client("stepfunctions")
        found = states.describe_state_machine(stateMachineArn=self.machine)
        self.definition = hastened(json.loads(found["definition"]), STATE_SECONDS)
        self._gives_up = self.build("gives-up", found["roleArn"], self.definition)
        patient = json.dumps(hastened(json.loads(found["definition"]), HANG_SECONDS))
        states.update_state_machine(stateMachineArn=self.machine, definition=patient)

    def close(self) -> None:
        """Stop the cloud and every hanging call."""
        self.stage.over.set()
        self.cloud.stop()

    def play_all(self, scenes: Mapping[str, Scene]) -> dict[str, Played]:
        """Run an execution for each scene, some concurrently, and collect the results. Keys are providers' names."""
        # Scenes with the most retries take longest, so they start first.
        scenes = dict(sorted(scenes.items(), key=lambda one: -sum(map(len, one[1].parts.values()))))
        for provider, scene in scenes.items():
            self.prepare(provider, scene)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            played = dict(zip(scenes, pool.map(self.play, scenes, scenes.values()), strict=True))
        for provider, count in self.messages().items():
            played[provider].messages = count
        return played

    def prepare(self, provider: str, scene: Scene) -> None:
        """Create the provider with its change log, and register how its calls end."""
        self._api.call("PUT", f"/{provider}", {"frequency": "15"})
        for who, endings in scene.parts.items():
            self.stage.parts[provider, who] = list(endings)
        if scene.change_log:
            noise = os.urandom(LAMBDA_MAX_BYTES if scene.change_log == "large" else 1).hex()
            body = gzip.compress(json.dumps(CHANGE).replace("NOISE", noise).encode())
            key = f"change_log/provider={provider}/0.json.gz"
            self.cloud.client("s3").put_object(Bucket=self.cloud.outputs["DataBucketName"], Key=key, Body=body)
        if scene.held_by:
            event = {"run_id": scene.held_by, "execution_arn": None, "input": {"provider": provider}}
            self.cloud.client("lambda").invoke(
                FunctionName=self.cloud.physical_id("ClaimFunction"), Payload=json.dumps(event).encode()
            )

    def play(self, provider: str, scene: Scene, machine: str = "") -> Played:
        """Run one execution to its end, by default of the stack's state machine, and collect the result."""
        states = self.cloud.client("stepfunctions")
        given = scene.given or json.dumps({"provider": provider})
        hangs = any(isinstance(ending, Hangs) for endings in scene.parts.values() for ending in endings)
        machine = machine or (self._gives_up if hangs else self.machine)
        started = states.start_execution(stateMachineArn=machine, name=f"run-of-{provider}", input=given)
        arn = started["executionArn"]
        eventually(
            lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING",
            f"the end of {provider}",
            every=0.1,
        )
        entered = [
            event["stateEnteredEventDetails"]["name"]
            for page in states.get_paginator("get_execution_history").paginate(executionArn=arn)
            for event in page["events"]
            if "stateEnteredEventDetails" in event
        ]
        return Played(
            execution=states.describe_execution(executionArn=arn),
            path=entered,
            calls={who: list(made) for who, made in self.stage.calls[provider].items()},
            item=self.item(provider),
            entry=self._api.call("GET").get(provider, {}),
            messages=0,
        )

    def item(self, provider: str) -> dict[str, Any]:
        """The provider's item in the run ledger, as plain values; {} for none."""
        found = self.cloud.client("dynamodb").get_item(
            TableName=self.cloud.physical_id("RunLedger"), Key={"provider": {"S": provider}}
        )
        return {name: TypeDeserializer().deserialize(value) for name, value in found.get("Item", {}).items()}

    def messages(self) -> dict[str, int]:
        """Take all messages out of the queue; provider -> messages."""
        sent = drain(self.cloud.client("sqs"), self.cloud.physical_id("ChangesQueue"), {})
        return Counter(message["provider"] for message in sent)

    def build(self, name: str, role: str, definition: Mapping[str, Any]) -> str:
        """Create another state machine for the same handlers; return its ARN."""
        states = self.cloud.client("stepfunctions")
        made = states.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)
        return str(made["stateMachineArn"])


def hastened(definition: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return the definition with retries after seconds instead of minutes, and with the given timeout of states."""
    for state in definition["States"].values():
        if "TimeoutSeconds" in state:
            state["TimeoutSeconds"] = int(seconds)
        for retry in state.get("Retry", []):
            retry |= {"IntervalSeconds": 1, "MaxDelaySeconds": 2, "BackoffRate": 1.0}
    return definition
