"""The real claim, job and end of a run together: each reads the files that the previous one wrote.

Only the ledger, the config API and the queue are replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from contract.manifest import Manifest
from contract.result import JobResult
from contract.uris import manifest_uri, record_uri, result_uri
from fanout.adapters import S3Objects
from fanout.claims import Claim, ClaimRequest, Claims
from fanout.endings import Ending, Endings, read_result
from fanout.failures import caught
from fanout.manifests import read_manifest
from fanout.runs import RunRecord
from fanout.settings import ClaimSettings
from tests.harness.fakes import MemoryConfigApi, MemoryLedger, MemoryPending
from tests.harness.faults import Faults
from tests.harness.world import DEFAULTS
from tests.integration.job.harness import DATA, PROVIDER, Harness
from tests.integration.job.test_data_faults import numbered, packed

CHANGE_LOG = f"s3://{DATA}/change_log"


def utc_now() -> Any:
    from fanout.bootstrap import utc_now

    return utc_now()


@dataclass
class Deployed:
    """The functions over moto's S3, and the job."""

    job: Harness

    def __post_init__(self) -> None:
        faults = Faults(utc_now)  # type: ignore[arg-type]
        self.ledger, self.config_api = MemoryLedger(faults), MemoryConfigApi(faults, {PROVIDER: {"frequency": 15}})
        self.objects, self.log = S3Objects(self.job.s3), list[str]()
        given = {**DEFAULTS, "change_log_dir": CHANGE_LOG, "data_bucket": DATA}
        if self.job.engine == "glue":
            given["lambda_max_bytes"] = 0
        settings, pending = ClaimSettings.model_validate(given), MemoryPending(faults)
        ports = (self.ledger, self.objects, self.config_api, pending, settings, utc_now, self.log.append)
        self.claims, self.endings = Claims(*ports), Endings(*ports)

    def claim(self, run_id: str, **given: Any) -> Claim:
        event = {"run_id": run_id, "execution_arn": f"arn:{run_id}", "input": {"provider": PROVIDER, **given}}
        return self.claims.claim(ClaimRequest.from_event(event))

    def run(self, run_id: str, **settings: str) -> tuple[Claim, Any]:
        """Run claim and job; the state machine's definition turns the claim's answer into the job's arguments."""
        claim = self.claim(run_id)
        assert claim.decision == self.job.engine
        return claim, self.job.run_claim(claim.manifest, claim.run_id, claim.run_dir, **settings)

    def end(self, claim: Claim, outcome: str, result: dict[str, Any] | None = None) -> Any:
        ending = Ending(outcome=outcome, provider=PROVIDER, run_id=claim.run_id, result=result)  # type: ignore[arg-type]
        return self.endings.succeed(ending) if outcome == "succeeded" else self.endings.fail(ending)

    def manifest(self, claim: Claim) -> Manifest | None:
        return read_manifest(self.objects, claim.run_dir, self.record(claim).manifest_hash)

    def record(self, claim: Claim) -> RunRecord:
        return RunRecord.model_validate_json(self.objects.read(record_uri(claim.run_dir)) or b"")


@pytest.fixture
def deployed(job: Harness) -> Deployed:
    return Deployed(job)


def test_a_run_from_claim_to_commit_and_the_next_one_finds_nothing(deployed: Deployed) -> None:
    deployed.job.put("a.json.gz", packed(numbered(2, "a")))
    deployed.job.put("b.json.gz", packed(numbered(1, "b")))

    claim, outcome = deployed.run("run-1")
    record = deployed.end(claim, "succeeded")

    manifest, result = deployed.manifest(claim), read_result(deployed.objects, claim.run_dir)
    assert (manifest_uri(claim.run_dir), type(manifest), type(result)) == (claim.manifest, Manifest, JobResult)
    assert outcome.ids == ["a-0", "a-1", "b-0"]
    assert (record.objects, record.rows, record.messages, record.engine) == (2, 3, 3, deployed.job.engine)
    assert (record.failure, record.failure_count) == (None, 0)
    assert deployed.record(claim) == record
    assert deployed.ledger.items[PROVIDER].bookmark.generation == 1
    assert deployed.claim("run-2").decision == "nothing"
    assert deployed.log == []


@pytest.mark.fault(43)
def test_the_first_twenty_bad_objects_of_a_run_and_their_number_are_in_its_record(deployed: Deployed) -> None:
    for n in range(22):
        deployed.job.put(f"{n:02}.json", b"\n".join([*numbered(n, str(n)), b"canary"]))

    claim, outcome = deployed.run("run-1")
    failure, count = deployed.end(claim, "failed", {"Error": "States.TaskFailed", "Cause": "of no interest"})

    result = read_result(deployed.objects, claim.run_dir)
    assert result is not None
    assert (failure, count) == (result.failure, result.failure_count) == (result.failures[0], 22)
    uris = [f"{CHANGE_LOG}/provider={PROVIDER}/{n:02}.json" for n in range(20)]
    assert [(one.type, one.object, one.line) for one in result.failures] == [
        ("RecordError", uri, n + 1) for n, uri in enumerate(uris)
    ]
    assert "OnBadRecord=quarantine" in failure.advice
    last = deployed.ledger.items[PROVIDER].last_run
    assert last is not None
    assert (last.failure, last.failure_count, last.failures) == (failure, 22, ())
    assert deployed.record(claim) == last.model_copy(update={"failures": result.failures})
    reported = deployed.config_api.reports[-1][1].error or ""
    assert reported == f"RecordError: {uris[0]}, line 1: {failure.message} (and 21 more)"
    assert str(outcome.error).removeprefix("RunFailedError: ") == reported
    assert "canary" not in reported
    assert deployed.ledger.items[PROVIDER].bookmark.generation == 0


def test_a_run_without_a_result_fails_with_the_error_that_the_state_machine_caught(deployed: Deployed) -> None:
    deployed.job.put("a.json.gz", packed(numbered(2, "a")))
    claim = deployed.claim("run-1")

    failure, count = deployed.end(claim, "failed", {"Error": "Sandbox.Timedout", "Cause": ""})

    assert deployed.objects.read(result_uri(claim.run_dir)) is None
    assert (failure, count) == (caught({"Error": "Sandbox.Timedout", "Cause": ""}), 1)
    assert deployed.record(claim).failure == failure


def test_a_replay_has_a_manifest_of_its_range(deployed: Deployed) -> None:
    stored = deployed.job.put("a.json.gz", packed(numbered(2, "a")))
    claim, _ = deployed.run("run-1")
    deployed.end(claim, "succeeded")

    time = stored.last_modified.isoformat()
    again = deployed.claim("run-2", replay={"from": time, "to": time})
    outcome = deployed.job.run_claim(again.manifest, again.run_id, again.run_dir)
    deployed.end(again, "succeeded")

    manifest = deployed.manifest(again)
    assert manifest is not None
    assert manifest.replay is not None
    assert (manifest.replay.start, manifest.replay.end) == (stored.last_modified, stored.last_modified)
    assert outcome.ids == ["a-0", "a-1"]
