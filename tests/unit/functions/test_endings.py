"""*Update Status*: the end of a run, its proof and its report."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from contract.document import plain
from contract.failure import Failure
from contract.uris import record_uri
from fanout.endings import Ending
from fanout.errors import (
    InvalidRequestError,
    LeaseLostError,
    LedgerUnavailableError,
    ResultMissingError,
    StorageUnavailableError,
)
from fanout.failures import orphaned
from fanout.runs import RunRecord
from tests.harness.faults import Crash, Fault
from tests.harness.world import JobFailedError, World, ending, one_provider, result_of


@pytest.fixture
def world() -> World:
    return one_provider()


class TestProof:
    def test_a_job_that_left_no_result_commits_nothing(self, world: World) -> None:
        claim = world.claim("a", "run1")

        with pytest.raises(ResultMissingError, match="no result"):
            world.succeed(claim)

        assert world.state("a").bookmark.generation == 0

    @pytest.mark.parametrize(
        "change",
        [
            {"run_id": "another"},
            {"status": "failed"},
            {"objects": 0},
            {"objects": 2},
            {"engine": "unknown"},
            {"objects": None},
            {"version": 2},
        ],
    )
    def test_a_result_that_does_not_cover_the_manifest_commits_nothing(self, world: World, change: Any) -> None:
        claim = world.claim("a", "run1")
        result = {**plain(world.job(claim)), **change}
        world.objects.add(claim.run_dir + "result.json", json.dumps(result).encode(), world.clock())

        with pytest.raises(ResultMissingError):
            world.succeed(claim)

        assert world.state("a").bookmark.generation == 0

    def test_a_run_whose_manifest_was_removed_commits_nothing(self, world: World) -> None:
        claim = world.claim("a", "run1")
        world.job(claim)
        del world.objects.stored[claim.manifest]

        with pytest.raises(ResultMissingError, match="is gone"):
            world.succeed(claim)

    def test_a_success_with_glues_own_bookmark_needs_a_result_too_although_there_is_no_manifest(self) -> None:
        world = World(settings={"bookmark_mode": "glue"})
        claim = world.claim("a", "run1")
        assert claim.manifest == "none"

        with pytest.raises(ResultMissingError, match="no result"):
            world.succeed(claim)
        assert world.state("a").bookmark.generation == 0

        world.leave(claim, result_of(claim, objects=7, rows=70, messages=70))
        world.succeed(claim)
        assert world.state("a").bookmark.generation == 1

    def test_a_run_with_nothing_to_do_needs_no_proof(self, world: World) -> None:
        world.run("a", "run1")
        claim = world.claim("a", "run2")

        world.succeed(claim)

        assert world.state("a").bookmark.generation == 2


class TestIdempotence:
    @pytest.mark.fault(15)
    @pytest.mark.parametrize(
        "where", ["objects.read", "ledger.get", "ledger.put", "objects.create", "config_api.report"]
    )
    @pytest.mark.parametrize("fault", [f for f in Fault if f not in (Fault.SLOW, Fault.QUIT)])
    @pytest.mark.parametrize("outcome", ["succeeded", "failed"])
    def test_a_status_update_repeated_after_a_fault_at_any_call_takes_effect_once(
        self, world: World, where: str, fault: Fault, outcome: str
    ) -> None:
        claim = world.claim("a", "run1")
        world.job(claim)
        update = world.succeed if outcome == "succeeded" else world.fail
        world.faults.plan(where, fault)

        try:
            update(claim)
        except (LedgerUnavailableError, StorageUnavailableError, Crash):
            update(claim)

        state = world.state("a")
        assert state.lease is None
        assert (state.bookmark.generation, state.failures) == ((1, 0) if outcome == "succeeded" else (0, 1))
        assert state.last_run is not None
        assert state.last_run.status == outcome

    def test_a_success_reported_again_after_another_run_does_not_move_the_bookmark(self, world: World) -> None:
        first = world.run("a", "run1")
        world.run("a", "run2")

        world.succeed(first)

        assert world.state("a").bookmark.generation == 2

    def test_a_failure_reported_after_the_commit_changes_nothing(self, world: World) -> None:
        claim = world.run("a", "run1")
        before = world.state("a")

        world.fail(claim)

        assert world.state("a") == before


class TestReports:
    def test_success_is_reported_after_the_commit_with_the_tick_as_last_success(self, world: World) -> None:
        world.run("a", "run1", scheduled_at="2026-11-22T07:15:00Z")

        assert world.config_api.providers["a"] == {
            "frequency": "15",
            "status": "succeeded",
            "last_success": "Sun, 22 Nov 2026 07:15:00 GMT",
        }

    @pytest.mark.fault(17)
    def test_a_run_whose_end_the_config_api_missed_is_committed_and_reported_on_the_next_tick(
        self, world: World
    ) -> None:
        claim = world.claim("a", "run1")
        world.job(claim)
        world.faults.down.add("config_api")
        world.succeed(claim)
        assert world.state("a").bookmark.generation == 1
        world.faults.down.clear()
        world.clock.advance(minutes=5)

        assert world.tick().pushed_reports == 1
        assert world.config_api.reports[-1][1].status == "succeeded"
        assert world.state("a").pending_report is None

    def test_a_report_that_the_config_api_rejects_is_not_sent_again(self, world: World) -> None:
        world.config_api.refuses.add("a")

        world.run("a", "run1")

        assert world.state("a").pending_report is None
        assert any("refused the report" in line for line in world.log)

    def test_nothing_is_reported_when_reports_are_off(self) -> None:
        world = World(settings={"report_status": "no"})
        world.change("a", "1", "r1")

        world.run("a", "run1")

        assert world.config_api.reports == []
        assert world.state("a").pending_report is None


class TestRecord:
    def test_every_ended_run_leaves_a_record_next_to_its_manifest(self, world: World) -> None:
        claim = world.run("a", "run1")

        record = json.loads(world.objects.stored[claim.run_dir + "record.json"][0])
        assert (record["status"], record["rows"], record["messages"], record["objects"]) == ("succeeded", 2, 2, 1)
        assert (record["engine"], record["seconds"]) == ("lambda", 60)
        assert record["dollars"] == 0.001727743, "60 s of 1,769 MB at $0.0000166667 a GB-second, and one request"

    @pytest.mark.parametrize("outcome", ["succeeded", "failed"])
    def test_a_record_has_the_fields_of_the_lease_and_the_counts_of_the_job(self, world: World, outcome: str) -> None:
        world.run("a", "run0")
        world.change("a", "2", "r3")
        claim = world.claim("a", "run1", scheduled_at="2026-11-22T07:15:00Z")
        world.job(claim)
        world.clock.advance(minutes=3)
        world.succeed(claim) if outcome == "succeeded" else world.fail(claim)

        record = world.state("a").last_run
        assert record is not None
        assert (record.status, record.generation, record.engine, record.rows) == (outcome, 1, "lambda", 1)
        assert "LambdaMaxBytes" in record.reason
        assert (record.run_dir, record.ended_at - record.started_at) == (claim.run_dir, timedelta(minutes=3))

    def test_a_record_has_the_backlog_that_the_run_left(self) -> None:
        world = World(settings={"max_objects": 1})
        for n in range(3):
            world.change("a", f"{n}", f"r{n}")
        world.run("a", "run1")

        assert world.state("a").last_run is not None
        assert world.state("a").last_run.backlog == 2  # type: ignore[union-attr]

    @pytest.mark.parametrize("where", ["objects.create", "config_api.report"])
    def test_a_fault_after_the_commit_does_not_make_the_run_look_failed(self, world: World, where: str) -> None:
        claim = world.claim("a", "run1")
        world.job(claim)
        world.faults.plan(where, Fault.FAIL_BEFORE)

        world.succeed(claim)

        assert world.state("a").bookmark.generation == 1
        assert len(world.log) == 1

    def test_the_jobs_own_error_is_the_reason_of_a_failure(self, world: World) -> None:
        world.change("a", "0", "bad row")
        claim = world.claim("a", "run1")
        with pytest.raises(JobFailedError):
            world.job(claim)

        failure = world.fail(claim)

        assert (failure.type, failure.message) == ("RecordError", "no change record")
        assert (failure.object, failure.line) == ("s3://changes/log/provider=a/0", 1)
        assert failure.advice == JobFailedError.advice
        assert failure == world.state("a").last_run.failure  # type: ignore[union-attr]
        assert world.config_api.reports[-1][1].error == (
            "RecordError: s3://changes/log/provider=a/0, line 1: no change record"
        )

    def test_a_failure_is_bounded_and_its_report_has_at_most_1000_characters(self, world: World) -> None:
        failure = world.fail(world.claim("a", "run1"), cause="x" * 5000)

        assert (len(failure.message), len(failure.cause)) == (1000, 1000)
        assert len(world.config_api.reports[-1][1].error or "") == 1000

    @pytest.mark.fault(43)
    def test_the_jobs_own_failures_are_counted_and_bounded_and_the_record_has_them_even_after_a_crash(
        self, world: World
    ) -> None:
        claim = world.claim("a", "run1")
        failure = Failure(type="RecordError", message="x" * 5000, object="s3://b/k", line=3)
        world.leave(claim, result_of(claim, failures=(failure,) * 25, failure_count=31))
        world.faults.plan("objects.create", Fault.CRASH_BEFORE)
        with pytest.raises(Crash):
            world.fail(claim)

        assert world.fail(claim) == replace(failure, message="x" * 1000)

        stored = RunRecord.model_validate_json(world.objects.stored[record_uri(claim.run_dir)][0])
        assert stored.failures == (replace(failure, message="x" * 1000),) * 20
        assert stored.failure_count == 31

        record = world.state("a").last_run
        assert record is not None
        assert (record.failure_count, record.failure) == (31, replace(failure, message="x" * 1000))
        told = world.config_api.reports[-1][1].error or ""
        assert (len(told), told[-14:]) == (1000, " (and 30 more)")

    @pytest.mark.fault(43)
    @pytest.mark.parametrize("ends", ["by its job", "orphaned", "without a result"])
    def test_a_record_has_the_failures_of_the_way_in_which_the_run_ended(self, world: World, ends: str) -> None:
        claim = world.claim("a", "run1")
        named = tuple(Failure(type="RecordError", message=f"bad {n}") for n in range(2))
        if ends != "without a result":
            world.leave(claim, result_of(claim, failures=named))
        if ends == "orphaned":
            world.endings.end("a", "run1", orphaned("its lease expired"))
        else:
            count = world.endings.fail(ending("failed", "a", "run1", {"Error": "E", "Cause": "c"}))[1]
            assert count == (2 if ends == "by its job" else 1)

        stored = RunRecord.model_validate_json(world.objects.stored[record_uri(claim.run_dir)][0])
        assert stored.failures == (named if ends == "by its job" else (stored.failure,))

    def test_a_run_without_a_lease_gets_no_failure_of_another_run(self, world: World) -> None:
        first = world.fail_without_claim("a", "run0", "States.Timeout")
        claim = world.claim("a", "run1")
        world.leave(claim, result_of(claim, failures=(Failure(type="RecordError", message="bad"),)))
        world.fail(claim)

        assert first.type == world.fail_without_claim("a", "run2", "States.Timeout").type == "States.Timeout"

    @pytest.mark.fault(10)
    @pytest.mark.parametrize("run_state", ["FAILED", "TIMEOUT", "ERROR", "STOPPED"])
    def test_a_failed_job_run_fails_the_run_with_its_cause_and_releases_the_lease(
        self, world: World, run_state: str
    ) -> None:
        claim = world.claim("a", "run1")
        cause = json.dumps({"Id": "jr_1", "JobRunState": run_state, "ErrorMessage": "out of memory"})

        failure = world.fail(claim, "States.TaskFailed", cause)

        assert (failure.type, failure.message) == ("GlueJobRunError", f"job run jr_1 ended {run_state}: out of memory")
        assert failure.cause == f"the job run ended {run_state}"
        assert world.state("a").lease is None
        assert world.state("a").failures == 1


class TestEvents:
    @pytest.mark.parametrize(
        "event",
        [
            {},
            {"outcome": "perhaps", "run_id": "r", "provider": "a"},
            {"outcome": "failed", "provider": "a"},
            {"outcome": "failed", "run_id": "r"},
            {"outcome": "failed", "run_id": "r", "provider": "a", "result": "boom"},
        ],
    )
    def test_an_event_of_another_form_than_the_state_machines_is_rejected(self, event: Any) -> None:
        with pytest.raises(InvalidRequestError):
            Ending.from_event(event)

    def test_a_success_without_a_claim_is_refused(self, world: World) -> None:
        with pytest.raises(LeaseLostError, match="held by no run"):
            world.endings.succeed(Ending(outcome="succeeded", run_id="r", provider="a"))

    def test_a_success_before_the_plan_is_refused(self, world: World) -> None:
        world.faults.plan("objects.list", Fault.FAIL_BEFORE)
        with pytest.raises(StorageUnavailableError):
            world.claim("a", "run1")

        with pytest.raises(InvalidRequestError, match="before it was planned"):
            world.endings.succeed(Ending(outcome="succeeded", run_id="run1", provider="a"))
