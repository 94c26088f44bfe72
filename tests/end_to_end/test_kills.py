"""Twenty providers, twenty SIGKILLs: Spark drivers mid-send, handlers mid-commit, the dispatcher mid-tick.

Afterwards every change of the change log has been sent, repeats have the same ids and bytes, and no provider has a
lease or is `running`. KILLS_SEED sets another random seed; KILLS and KILLS_ROUNDS set the numbers of kills and rounds.
"""

from __future__ import annotations

import json
import os
import random
import sys
import urllib.request
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from demo.sample_data import DEFAULT_START, STYLES, Part, change_log
from demo.verify import drain, expected_ids
from laptop_cloud.aws.spark_driver import Drivers
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import LaptopCloudError
from tests.end_to_end.kills import KINDS, Killer, plan
from tests.harness.call_log import watching
from tests.harness.waiting import HANG_SECONDS

TEMPLATE = Path(__file__).parents[2] / "template.yaml"
PROVIDERS = [f"provider-{number:02d}" for number in range(20)]
ROWS = 50
KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("KILLS_SEED", "1"))
ROUNDS = int(os.environ.get("KILLS_ROUNDS", "1"))
MOST_TICKS = 2 * KILLS
"""Time limit for all planned kills."""
TICKS_TO_RECOVER = 8
"""After the last kill. With eight concurrent runs all providers run within three ticks; a backoff lasts one tick."""
TICK = timedelta(minutes=15)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.spark,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc to find the process of a call"),
]


class Stage:
    """The laptop cloud with a change log, and all messages that were received from its queue."""

    def __init__(self, cloud: LaptopCloud, seed: int) -> None:
        self.cloud = cloud
        self.chance = random.Random(seed)
        self.bucket, _, self.prefix = cloud.outputs["ChangeLogDir"].removeprefix("s3://").partition("/")
        self.bodies: dict[str, list[str]] = defaultdict(list)
        self.ticks = self.added = self.deaths = 0
        secret = cloud.client("secretsmanager").get_secret_value(SecretId=cloud.outputs["ConfigApiKeySecretArn"])
        self._key = secret["SecretString"]

    def put(self, parts: list[Part]) -> None:
        for part in parts:
            self.cloud.client("s3").put_object(Bucket=self.bucket, Key=f"{self.prefix}/{part.key}", Body=part.body)

    def put_more(self, providers: list[str]) -> None:
        """Put new objects, so that processes run until all planned kills are done."""
        self.added += 1
        start = DEFAULT_START + timedelta(days=self.added)
        for provider in providers:
            self.put(change_log(provider, 10, 1, STYLES[PROVIDERS.index(provider) % len(STYLES)], SEED, start))

    def config_api(self, method: str = "GET", path: str = "", body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the laptop cloud's own address
            self.cloud.outputs["ConfigApiUrl"] + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"x-api-key": self._key, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")

    def tick(self, at: datetime) -> None:
        """Tick and wait for all its runs. As by Lambda, a killed dispatcher is retried at most twice."""
        self.ticks += 1
        deaths = 0
        while deaths < 3 and not self.dispatched(at):
            deaths += 1
        self.deaths += deaths
        self.cloud.wait(HANG_SECONDS)
        self.receive()

    def dispatched(self, at: datetime) -> bool:
        try:
            self.cloud.tick(at)
        except LaptopCloudError as died:
            if "Runtime.ExitError" in str(died):
                return False
            raise
        return True

    def receive(self) -> None:
        for body in drain(self.cloud.client("sqs"), self.cloud.outputs["ChangesQueueUrl"], {}):
            self.bodies[body["id"]].append(json.dumps(body, sort_keys=True))

    def expected(self) -> set[str]:
        found = expected_ids(self.cloud.client("s3"), self.bucket, self.prefix)
        return {id_ for ids in found.values() for id_ in ids}

    def unsettled(self) -> list[str]:
        """Providers that have a lease, a pending report or a backlog."""
        items = self.cloud.client("dynamodb").scan(TableName=self.cloud.physical_id("RunLedger"))["Items"]
        return [item["provider"]["S"] for item in items if "lease" in item or "attention" in item]

    def statuses(self) -> dict[str, str]:
        return {name: entry["status"] for name, entry in self.config_api().items()}

    def caught_up(self) -> bool:
        told = set(self.statuses().values()) == {"succeeded"}
        return told and self.expected() <= set(self.bodies) and not self.unsettled()


@pytest.mark.guarantee("G1")
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_after_twenty_kills_every_change_is_delivered_and_no_provider_has_a_backlog(
    tmp_path: Path, drivers: Drivers, seed: int
) -> None:
    planned = plan(seed, KILLS)
    assert {kill.principal for kill in planned} == set(KINDS)
    killer = Killer(planned)
    print(f"\nKILLS_SEED={seed}: " + ", ".join(f"{k.principal} {k.when} call {k.calls}" for k in planned))
    logs = {name: change_log(name, ROWS, 2, STYLES[n % len(STYLES)], SEED) for n, name in enumerate(PROVIDERS)}
    sizes = sorted((sum(len(part.body) for part in parts) for parts in logs.values()), reverse=True)
    override = {"LambdaMaxBytes": sizes[len(sizes) // 3], "MaxConcurrentRuns": 8}
    with LaptopCloud(TEMPLATE, override, workdir=tmp_path, drivers=drivers, around=watching(killer.watch)) as cloud:
        killer.processes = cloud.processes
        stage = Stage(cloud, seed)
        for provider, parts in logs.items():
            stage.put(parts)
            stage.config_api("PUT", f"/{provider}", {"frequency": "15"})
        at = datetime.now(UTC).replace(microsecond=0)
        stage.tick(at)
        while killer.left:
            assert stage.ticks < MOST_TICKS, f"not yet killed: {killer.left}"
            stage.put_more(stage.chance.sample(PROVIDERS, 8))
            at += TICK
            stage.tick(at)
        last = stage.ticks
        while not stage.caught_up() and stage.ticks < last + TICKS_TO_RECOVER:
            at += TICK
            stage.tick(at)
        report(stage, killer)

        assert len(killer.done) == KILLS
        missing, invented = stage.expected() - set(stage.bodies), set(stage.bodies) - stage.expected()
        assert (len(missing), len(invented)) == (0, 0), "changes without a message, messages without a change"
        changed = {id_ for id_, bodies in stage.bodies.items() if len(set(bodies)) > 1}
        assert not changed, "a repeat differs from the first message"
        assert stage.unsettled() == []
        assert stage.statuses() == dict.fromkeys(PROVIDERS, "succeeded")
        assert_only_interrupted_runs_repeat(stage)
        before = {id_: len(bodies) for id_, bodies in stage.bodies.items()}
        stage.tick(at + TICK)
        assert {id_: len(bodies) for id_, bodies in stage.bodies.items()} == before, "sent again without a fault"


def assert_only_interrupted_runs_repeat(stage: Stage) -> None:
    """Assert that an id is sent at most once more for each failed run of its provider."""
    failed: dict[str, int] = defaultdict(int)
    for execution in stage.cloud.executions():
        assert execution["status"] in ("SUCCEEDED", "FAILED")
        failed[json.loads(execution["input"])["provider"]] += execution["status"] == "FAILED"
    for bodies in stage.bodies.values():
        assert len(bodies) <= 1 + failed[json.loads(bodies[0])["provider"]]


def report(stage: Stage, killer: Killer) -> None:
    """Summarize the kills and runs for the test's output."""
    statuses = [execution["status"] for execution in stage.cloud.executions()]
    sent = sum(len(bodies) for bodies in stage.bodies.values())
    print(*killer.done, sep="\n")
    print(
        f"{len(killer.done)} kills, {stage.ticks} ticks ({stage.deaths} invocations of the dispatcher died), "
        f"{len(statuses)} executions ({statuses.count('FAILED')} failed), {len(stage.cloud.job_runs())} job runs, "
        f"{len(stage.expected())} changes, {sent} messages, {sent - len(stage.bodies)} repeats"
    )
