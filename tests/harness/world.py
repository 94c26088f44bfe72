"""Everything but AWS: the real dispatcher, claims and outcomes over in-memory ports, and a small state machine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from fanout.claims import Claim, ClaimRequest, Claims, read_manifest
from fanout.dispatcher import Dispatcher, TickReport
from fanout.errors import FanoutError
from fanout.outcomes import Ending, Outcomes
from fanout.settings import ClaimSettings, DispatchSettings
from tests.harness.fakes import MemoryConfigApi, MemoryExecutions, MemoryLedger, MemoryObjects
from tests.harness.faults import Clock, Faults

CHANGE_LOG = "s3://changes/log"
BUCKET = "data"
_COMMON: dict[str, Any] = {
    "env": "test",
    "run_ledger_table": "ledger",
    "config_api_url": "https://config.example/providers",
    "config_api_key_secret": "secret",
    "backoff_cap_minutes": 240,
    "overlap_minutes": 60,
}


@dataclass
class World:
    """One deployment of glue-fanout in memory."""

    clock: Clock = field(default_factory=Clock)
    settings: dict[str, Any] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults = Faults(self.clock)
        self.ledger = MemoryLedger(self.faults)
        self.objects = MemoryObjects(self.faults)
        self.config_api = MemoryConfigApi(self.faults)
        self.executions = MemoryExecutions(self.faults)
        self.log: list[str] = []
        given = {
            **_COMMON,
            "state_machine_arn": "arn:machine",
            "max_concurrent_runs": 10,
            "change_log_dir": CHANGE_LOG,
            "data_bucket": BUCKET,
            "lease_minutes": 120,
            "max_objects_per_run": 100,
            "max_bytes_per_run": 10**9,
            "small_run_max_bytes": 10**6,
            "min_workers": 2,
            "max_workers": 10,
            **self.settings,
        }
        dispatch_settings = DispatchSettings.model_validate(given)
        self.outcomes = Outcomes(
            self.ledger, self.objects, self.config_api, dispatch_settings, self.clock, self.log.append
        )
        self.claims = Claims(
            self.ledger,
            self.objects,
            self.config_api,
            ClaimSettings.model_validate(given),
            self.clock,
            self.log.append,
        )
        self.dispatcher = Dispatcher(
            config_api=self.config_api,
            store=self.ledger,
            executions=self.executions,
            outcomes=self.outcomes,
            settings=dispatch_settings,
            clock=self.clock,
            sleep=lambda seconds: None,
        )

    def provider(self, name: str, frequency: object = "15", **entry: object) -> None:
        """Register a provider with the config API."""
        self.config_api.providers[name] = {"frequency": frequency, **entry}

    def change(self, provider: str, key: str, *rows: str, last_modified: datetime | None = None) -> None:
        """Add an object of the change log; a row is its message's id."""
        uri = f"{CHANGE_LOG}/provider={provider}/{key}"
        self.objects.add(uri, "\n".join(rows).encode(), last_modified or self.clock())

    def tick(self, at: datetime | None = None) -> TickReport:
        """Dispatch once."""
        return self.dispatcher.tick(at or self.clock(), lambda: 300.0)

    def claim(self, provider: str, run_id: str, **given: Any) -> Claim:
        """*Claim Partition* of one execution."""
        event = {"run_id": run_id, "execution_arn": f"arn:{run_id}", "input": {"provider": provider, **given}}
        return self.claims.claim(ClaimRequest.from_event(event))

    def job(self, claim: Claim, stop_after: int | None = None) -> dict[str, Any]:
        """What the job does as far as others can see: one message a row of each object in the manifest, and a result."""
        manifest = read_manifest(self.objects, claim.manifest)
        if manifest is None:
            raise AssertionError(f"no manifest at {claim.manifest}")
        rows = []
        for stored in manifest.objects:
            body = self.objects.stored[f"s3://{manifest.bucket}/{stored.key}"][0]
            rows += [row for row in body.decode().split("\n") if row]
        for row in rows[:stop_after]:
            self.sent.append(row)
        if stop_after is not None and stop_after < len(rows):
            raise FanoutError(f"killed after {stop_after} messages")
        result = {
            "run_id": claim.run_id,
            "status": "succeeded",
            "engine": claim.decision,
            "objects": len(manifest.objects),
            "rows": len(rows),
            "messages": len(rows),
        }
        self.objects.stored[claim.run_dir + "result.json"] = (json.dumps(result).encode(), self.clock())
        return result

    def succeed(self, claim: Claim) -> None:
        """*Update Status Success*."""
        self.outcomes.succeed(self._ending(claim, "succeeded"))

    def fail(self, claim: Claim, error: str = "States.TaskFailed", cause: str = "boom") -> str:
        """*Update Status Failed*."""
        return self.outcomes.fail(self._ending(claim, "failed", {"Error": error, "Cause": cause}))

    def run(self, provider: str, run_id: str, **given: Any) -> Claim:
        """A whole execution without a fault."""
        claim = self.claim(provider, run_id, **given)
        if claim.decision in ("small", "glue"):
            self.job(claim)
        if claim.decision != "busy":
            self.succeed(claim)
        if run_id in self.executions.statuses:
            self.executions.statuses[run_id] = "SUCCEEDED"
        return claim

    def run_all(self) -> list[Claim]:
        """Every execution that was started and is still running, to its end."""
        running = [name for name, status in self.executions.statuses.items() if status == "RUNNING"]
        claims = []
        for name in running:
            given = json.loads(self.executions.started[name])
            claims.append(self.run(given.pop("provider"), name, **given))
        return claims

    def _ending(self, claim: Claim, outcome: str, result: dict[str, Any] | None = None) -> Ending:
        state: dict[str, Any] = {"provider": claim.provider, "claim": asdict(claim)}
        if result is not None:
            state["result"] = result
        return Ending.from_event({"outcome": outcome, "run_id": claim.run_id, "state": state})
