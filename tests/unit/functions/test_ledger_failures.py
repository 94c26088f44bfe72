"""The rules of the run ledger for runs that failed and for pending reports."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout import ledger
from fanout.ledger import ProviderState
from fanout.runs import Report
from tests.harness.ledger_states import BACKOFF, BOOM, HOUR, NOW, claimed, commit


class TestFailure:
    @pytest.mark.fault(10)
    def test_a_failure_releases_the_lease_and_keeps_the_bookmark(self) -> None:
        held = claimed()

        after = ledger.fail(held, "r1", BOOM, NOW, BACKOFF)

        assert after.lease is None
        assert after.bookmark == held.bookmark
        assert after.retry_at == NOW + timedelta(minutes=15)
        assert after.pending_report == Report(run_id="r1", status="failed", error="RecordError: boom")

    def test_a_provider_is_failing_since_the_first_of_its_failures(self) -> None:
        first = ledger.fail(claimed(), "r1", BOOM, NOW, BACKOFF)
        second = ledger.fail(claimed("r2", first), "r2", BOOM, NOW + HOUR, BACKOFF)

        assert (first.failing_since, second.failing_since) == (NOW, NOW)
        assert commit(claimed("r3", second)).failing_since is None

    def test_the_failure_of_a_run_without_the_lease_changes_nothing(self) -> None:
        held = claimed("r2")

        assert ledger.fail(held, "r1", BOOM, NOW, BACKOFF) is held
        free = ProviderState(provider="a")
        assert ledger.fail(free, "r1", BOOM, NOW, BACKOFF) is free

    def test_a_failed_replay_releases_the_lease_and_does_not_count_as_a_failure(self) -> None:
        after = ledger.fail(claimed(replay=True), "r1", BOOM, NOW, BACKOFF)

        assert (after.lease, after.failures, after.retry_at, after.pending_report) == (None, 0, None, None)

    @pytest.mark.fault(10)
    @pytest.mark.parametrize(
        ("failures", "minutes"), [(1, 15), (2, 30), (3, 60), (4, 120), (5, 240), (6, 240), (900, 240)]
    )
    def test_backoff_doubles_up_to_its_cap(self, failures: int, minutes: int) -> None:
        assert BACKOFF.delay(failures) == timedelta(minutes=minutes)

    @given(st.integers(0, 10**6))
    def test_backoff_stays_between_base_and_cap(self, failures: int) -> None:
        assert BACKOFF.base <= BACKOFF.delay(failures) <= BACKOFF.cap


class TestReports:
    def test_a_delivered_report_is_removed_unless_there_is_a_newer_one(self) -> None:
        old, new = Report(run_id="r1", status="failed"), Report(run_id="r2", status="failed")
        owing = ProviderState(provider="a", pending_report=new)

        assert ledger.reported(owing, new).pending_report is None
        assert ledger.reported(owing, old) is owing

    def test_the_last_report_that_was_sent_is_a_success_or_not(self) -> None:
        ended, failed = commit(claimed()), ledger.fail(claimed(), "r1", BOOM, NOW, BACKOFF)

        assert not ended.last_reported_success
        assert ledger.reported(ended, ended.pending_report).last_reported_success  # type: ignore[arg-type]
        assert not ledger.reported(failed, failed.pending_report).last_reported_success  # type: ignore[arg-type]

    def test_the_end_of_the_last_run_is_reported_again_when_the_config_api_says_running(self) -> None:
        ended = commit(claimed())
        done = ledger.reported(ended, ended.pending_report)  # type: ignore[arg-type]

        assert ledger.repeat_report(done).pending_report == ended.pending_report

    def test_no_report_is_pending_for_a_provider_that_runs_or_never_ran(self) -> None:
        ran_before = ledger.reported(ended := commit(claimed()), ended.pending_report)  # type: ignore[arg-type]
        for state in (claimed(), claimed("r2", ran_before), ProviderState(provider="a")):
            assert ledger.repeat_report(state) is state

    def test_a_provider_needs_attention_only_with_a_run_a_pending_report_or_a_backlog(self) -> None:
        ended = ledger.fail(claimed(), "r1", BOOM, NOW, BACKOFF)
        left = commit(claimed(), backlog=1)

        assert not ProviderState(provider="a").attention
        assert claimed().attention
        assert ended.attention
        assert not ledger.reported(ended, ended.pending_report).attention  # type: ignore[arg-type]
        assert ledger.reported(left, left.pending_report).attention  # type: ignore[arg-type]

    def test_a_provider_has_a_backlog_until_a_run_leaves_no_objects(self) -> None:
        left = commit(claimed(), backlog=1)
        reset = ledger.set_bookmark(ProviderState(provider="a"), None)

        assert left.has_backlog
        assert reset.has_backlog
        assert not commit(claimed("r2", left)).has_backlog
        assert not commit(claimed("r2", reset)).has_backlog
        assert ledger.fail(claimed("r2", left), "r2", BOOM, NOW, BACKOFF).has_backlog
