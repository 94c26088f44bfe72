"""glue-fanout without AWS: the real dispatcher, claims and ends of runs over in-memory ports, and a job that sends."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from cli.audit import Audit, audit
from cli.overview import Overview, survey
from contract.failure import Failure
from contract.manifest import NO_MANIFEST, Manifest, StoredObject
from contract.result import JobResult
from contract.uris import result_uri
from fanout.claims import MAX_RECENT, Claim, ClaimRequest, Claims
from fanout.dispatcher import REUSE_FUNCTION_SECONDS, REUSE_GLUE_SECONDS, Dispatcher, TickReport
from fanout.endings import Ending, Endings
from fanout.errors import FanoutError, StorageUnavailableError
from fanout.health import LATE_AFTER
from fanout.ledger import Backoff, ProviderState
from fanout.recovery import Recovery
from fanout.settings import ClaimSettings, DispatchSettings
from fanout.starts import TokenBucket
from tests.harness.fakes import (
    MemoryConfigApi,
    MemoryExecutions,
    MemoryLedger,
    MemoryMaintenance,
    MemoryObjects,
    MemoryPending,
    etag,
)
from tests.harness.faults import Clock, Faults
from tests.harness.processes import InlinePool

CHANGE_LOG = "s3://changes/log"
BUCKET = "data"
DEFAULTS: dict[str, Any] = {
    "env": "test",
    "run_ledger_table": "ledger",
    "config_api_url": "https://config.example/providers",
    "config_api_key_secret": "secret",
    "lookback_minutes": 60,
    "state_machine_arn": "arn:machine",
    "max_concurrent_runs": 10,
    "job": "change_log",
    "change_log_dir": CHANGE_LOG,
    "data_bucket": BUCKET,
    "max_bytes_per_run": 10**9,
    "lambda_max_bytes": 10**6,
    "max_workers": 10,
}
RULES: dict[str, Any] = {
    "backoff": Backoff(base=timedelta(minutes=15), cap=timedelta(hours=4)),
    "max_objects": 100,
    "max_recent": MAX_RECENT,
    "bucket": TokenBucket,
    "concurrent_functions": lambda: math.inf,
}
"""Constants of the rules that a test may override together with its settings."""


class JobFailedError(FanoutError):
    """The job failed."""

    advice = "Correct the row."


@dataclass
class World:
    """One deployment of glue-fanout in memory."""

    clock: Clock = field(default_factory=Clock)
    settings: dict[str, Any] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    seconds: float = 300.0
    """Time limit of a tick."""
    slept: float = 0.0
    on_sleep: Callable[[float], None] = lambda seconds: None

    def __post_init__(self) -> None:
        self.faults = Faults(self.clock)
        self.ledger = MemoryLedger(self.faults)
        self.objects = MemoryObjects(self.faults)
        self.config_api = MemoryConfigApi(self.faults)
        self.pending = MemoryPending(self.faults)
        self.maintenance = MemoryMaintenance(self.faults)
        self.executions = MemoryExecutions(self.faults)
        self.log: list[str] = []
        self.configure(**self.settings)

    def configure(self, **settings: Any) -> None:
        """Deploy again with other settings; stored data stays."""
        self.settings = {**self.settings, **settings}  # a copy: tests share what they gave
        given = {**DEFAULTS, **RULES, **self.settings}
        dispatch_settings = DispatchSettings.model_validate(given)
        self.endings = Endings(
            self.ledger,
            self.objects,
            self.config_api,
            self.pending,
            dispatch_settings,
            self.clock,
            self.log.append,
            backoff=given["backoff"],
        )
        self.claims = Claims(
            self.ledger,
            self.objects,
            self.config_api,
            self.pending,
            ClaimSettings.model_validate(given),
            self.clock,
            self.log.append,
            backoff=given["backoff"],
            max_objects=given["max_objects"],
            max_recent=given["max_recent"],
        )
        self.dispatcher = Dispatcher(
            provider_list=self.config_api,
            store=self.ledger,
            pending=self.pending,
            maintenance=self.maintenance,
            executions=self.executions,
            recovery=Recovery(self.ledger, self.executions, self.endings, InlinePool),
            settings=dispatch_settings,
            clock=self.clock,
            concurrent_functions=given["concurrent_functions"],
            bucket=given["bucket"],
            sleep=self.sleep,
            pool=InlinePool,
        )

    def provider(self, name: str, frequency: object = "15", **entry: object) -> None:
        """Register a provider with the config API."""
        self.config_api.providers[name] = {"frequency": frequency, **entry}

    def uri(self, provider: str, key: str) -> str:
        """The URI of an object of a provider's change log."""
        return f"{CHANGE_LOG}/provider={provider}/{key}"

    def tell(self, provider: str, objects: int = 1, size: int = 1, keys: tuple[str, ...] = ()) -> None:
        """Deliver an event of new objects; with `keys`, of these."""
        full = frozenset(f"log/provider={provider}/{key}" for key in keys)
        self.pending.add(provider, len(keys) or objects, size, self.clock(), full)

    def change(self, provider: str, key: str, *rows: str, last_modified: datetime | None = None) -> None:
        """Add an object of the change log; a row is its message's id."""
        self.objects.add(self.uri(provider, key), "\n".join(rows).encode(), last_modified or self.clock())

    def state(self, provider: str) -> ProviderState:
        """The provider's ledger item."""
        return self.ledger.items.get(provider) or ProviderState(provider=provider)

    def manifest(self, claim: Claim) -> Manifest:
        """The manifest of a claim that has one."""
        return Manifest.from_json(self.objects.stored[claim.manifest][0])

    def planned(self, claim: Claim) -> list[str]:
        """The keys of a claim's manifest, without the provider's prefix."""
        root = f"log/provider={claim.provider}/"
        return [o.key.removeprefix(root) for o in self.manifest(claim).objects] if claim.manifest != NO_MANIFEST else []

    def tick(self, at: datetime | None = None) -> TickReport:
        """Dispatch once."""
        self.slept = 0.0
        return self.dispatcher.tick(at or self.clock(), lambda: self.seconds - self.slept)

    def sleep(self, seconds: float) -> None:
        """Advance the clock while a tick waits for slots. The pauses of its 64 threads take no time."""
        if seconds in (REUSE_GLUE_SECONDS, REUSE_FUNCTION_SECONDS):
            self.slept += seconds
            self.on_sleep(seconds)

    def claim(self, provider: str, run_id: str, **given: Any) -> Claim:
        """*Claim Partition* of one execution."""
        event = {"run_id": run_id, "execution_arn": f"arn:{run_id}", "input": {"provider": provider, **given}}
        return self.claims.claim(ClaimRequest.from_event(event))

    def job(self, claim: Claim, stop_after: int | None = None) -> JobResult:
        """Do the job's visible work: one message per row of each object in the manifest, and a result.

        Raises
        ------
        JobFailedError
            The job is killed after some messages, an object differs from the plan, or a row is "bad".
        """
        try:
            objects, messages = self._send(claim, stop_after)
        except JobFailedError as error:
            if stop_after is None:  # a killed job writes no result
                self.leave(claim, result_of(claim, failures=(replace(error.as_failure(), type="RecordError"),)))
            raise
        return self.leave(claim, result_of(claim, objects=objects, rows=messages, messages=messages))

    def _send(self, claim: Claim, stop_after: int | None) -> tuple[int, int]:
        """Send the rows; return the numbers of objects and messages."""
        body = self.objects.read(claim.manifest)
        if body is None:
            raise JobFailedError("the manifest is gone")
        manifest = Manifest.from_json(body)
        messages = 0
        for stored in manifest.objects:
            for row in self._rows(manifest.bucket, stored):
                if messages == stop_after:
                    raise JobFailedError(f"killed after {stop_after} messages")
                if row.startswith("bad"):
                    raise JobFailedError("no change record", uri=f"s3://{manifest.bucket}/{stored.key}", line=1)
                self.faults.call("queue.send", StorageUnavailableError, lambda row=row: self.sent.append(row))  # type: ignore[misc]
                messages += 1
        return len(manifest.objects), messages

    def _rows(self, bucket: str, stored: StoredObject) -> list[str]:
        def get() -> bytes | None:
            body = self.objects.stored.get(f"s3://{bucket}/{stored.key}", (None,))[0]
            return body if body is not None and etag(body) == stored.etag else None

        body = self.faults.call("change_log.get", StorageUnavailableError, get)
        if body is None:
            raise JobFailedError(f"{stored.key} changed after the run was planned")
        return [row for row in body.decode().split("\n") if row]

    def leave(self, claim: Claim, result: JobResult) -> JobResult:
        """Write the run's result.json."""

        def write() -> None:
            self.objects.stored[result_uri(claim.run_dir)] = (result.to_json(), self.clock())

        self.faults.call("objects.put_result", StorageUnavailableError, write)
        return result

    def succeed(self, claim: Claim) -> None:
        """*Update Status Success*."""
        self.endings.succeed(ending("succeeded", claim.provider, claim.run_id))

    def fail(self, claim: Claim, error: str = "States.TaskFailed", cause: str = "boom") -> Failure:
        """*Update Status Failed*."""
        caught = {"Error": error, "Cause": cause}
        return self.endings.fail(ending("failed", claim.provider, claim.run_id, caught))[0]

    def fail_without_claim(self, provider: str, run_id: str, error: str = "States.Timeout") -> Failure:
        """*Update Status Failed* of an execution whose claim failed."""
        return self.endings.fail(ending("failed", provider, run_id, {"Error": error, "Cause": ""}))[0]

    def run(self, provider: str, run_id: str, **given: Any) -> Claim:
        """Run a complete execution without a fault."""
        claim = self.claim(provider, run_id, **given)
        if claim.decision in ("lambda", "glue"):
            self.job(claim)
        if claim.decision != "busy":
            self.succeed(claim)
        if run_id in self.executions.statuses:
            self.executions.statuses[run_id] = "SUCCEEDED"
        return claim

    def run_all(self) -> list[Claim]:
        """Run every started execution to its end."""
        running = [name for name, status in self.executions.statuses.items() if status == "RUNNING"]
        claims = []
        for name in running:
            given = json.loads(self.executions.started[name])
            claims.append(self.run(given.pop("provider"), name, **given))
        return claims

    def overview(self) -> Overview:
        """The overview that `fanout status` shows."""
        return survey(
            self.config_api,
            self.ledger,
            self.executions,
            self.clock(),
            LATE_AFTER,
            self.pending.waiting(),
            timedelta(days=1),
            windows=self.maintenance.windows(),
        )

    def audit(self, provider: str) -> Audit:
        """The objects of a provider's change log that no run has sent."""
        return audit(self.objects, self.claims.settings, self.ledger.get(provider))


def one_provider() -> World:
    """Provider a with one new object of two rows."""
    world = World()
    world.provider("a")
    world.change("a", "1", "r1", "r2")
    return world


def one_run(**settings: Any) -> World:
    """Provider a, 15 minutes after a run that processed its only object."""
    world = World(settings=settings)
    world.provider("a")
    world.change("a", "1", "r1")
    world.tell("a", keys=("1",))
    world.run("a", "first")
    world.clock.advance(minutes=15)
    return world


def started(world: World) -> str:
    """Start an execution for provider a by a tick; it claims and then stops."""
    world.tick()
    name = next(iter(world.executions.started))
    world.claim("a", name, scheduled_at=world.clock().isoformat())
    return name


def ending(outcome: str, provider: str, run_id: str, result: dict[str, Any] | None = None) -> Ending:
    """The input of *Update Status*."""
    caught = {} if result is None else {"result": result}
    return Ending.from_event({"outcome": outcome, "provider": provider, "run_id": run_id, **caught})


def result_of(claim: Claim, *, failures: tuple[Failure, ...] = (), **figures: Any) -> JobResult:
    """The result of a claim's run, which takes a minute by default."""
    given: dict[str, Any] = {
        "run_id": claim.run_id,
        "provider": claim.provider,
        "job": "change_log",
        "engine": claim.decision,
        "status": "failed" if failures else "succeeded",
        **dict.fromkeys(("objects", "bytes", "rows", "messages", "quarantined"), 0),
        "seconds": 60.0,
        "workers": claim.workers,
        "failure": failures[0] if failures else None,
        "failures": failures,
        "failure_count": len(failures),
    }
    return JobResult(**{**given, **figures})
