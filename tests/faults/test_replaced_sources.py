"""Random histories of a job that writes one file per source. In the end the files equal the sources.

Sources are replaced, deleted and restored, runs fail or are killed, and replays run between them.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from contract.manifest import StoredObject
from contract.times import format_iso
from fanout.claims import Claim, is_known
from fanout.errors import ReplayTooLargeError
from tests.faults.running import fails_somewhere, run
from tests.harness.fakes import etag
from tests.harness.world import World, result_of

HISTORIES = int(os.environ.get("HISTORIES") or 100)
KEYS = st.sampled_from(["k", "k", "l"])


class Sources(RuleBasedStateMachine):
    """One provider, its sources, and the files that its runs have written."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(settings={"max_objects": 2, "max_recent": 2})
        self.files: dict[str, bytes] = {}
        self.claim: Claim | None = None
        self.done = False
        self.runs = 0

    @rule(key=KEYS, body=st.sampled_from("aab"), late=st.sampled_from([0, 0, 0, 10]))
    def put(self, key: str, body: str, late: int) -> None:
        """Add a source, replace it, or restore an earlier version, possibly by an upload that began earlier."""
        moment = self.world.clock().replace(microsecond=0) - timedelta(minutes=late)
        self.world.change("a", key, body, last_modified=moment)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.world.objects.stored.pop(self.world.uri("a", key), None)

    @rule(minutes=st.sampled_from([1, 1, 20, 200]))
    def wait(self, minutes: int) -> None:
        self.world.clock.advance(minutes=minutes)

    @precondition(lambda self: self.claim is None)
    @rule(replay=st.sampled_from([False, False, True]))
    def begin(self, replay: bool) -> None:
        """Start a run, or a replay of the last hours."""
        self.runs += 1
        now = self.world.clock()
        given: dict[str, Any] = {}
        if replay:
            start, end = now - timedelta(hours=3), now + timedelta(minutes=1)
            given["replay"] = {"from": format_iso(start), "to": format_iso(end)}
        try:
            claim = self.world.claim("a", f"run{self.runs}", **given)
        except ReplayTooLargeError:
            self.world.fail_without_claim("a", f"run{self.runs}")
            return
        if claim.decision == "nothing":
            self.world.succeed(claim)
        elif claim.decision != "busy":
            self.claim, self.done = claim, False

    @precondition(lambda self: self.claim is not None)
    @rule(objects=st.sampled_from([0, 1, 2, 2]))
    def work(self, objects: int) -> None:
        """Process some objects. A source that differs from the plan ends the job."""
        assert self.claim is not None
        planned = self.world.manifest(self.claim).objects
        written = 0
        for stored in planned[:objects]:
            uri = f"s3://changes/{stored.key}"
            body = self.world.objects.stored.get(uri, (b"",))[0]
            if etag(body) != stored.etag:
                break
            self.files[uri] = body
            written += 1
        self.done = written == len(planned)

    @precondition(lambda self: self.claim is not None)
    @rule(dies=st.booleans())
    def end(self, dies: bool) -> None:
        """End the run: it succeeds if all its work is done, or fails, or stays without an end."""
        assert self.claim is not None
        claim, self.claim = self.claim, None
        if dies:
            self.world.clock.advance(minutes=150)
        elif self.done:
            self.world.leave(claim, result_of(claim, objects=claim.objects))
            self.world.succeed(claim)
        else:
            self.world.fail(claim)

    def teardown(self) -> None:
        """Run until no object is new, then compare files and sources."""
        for _ in range(30):
            if self.claim is not None:
                self.work(2)
                self.end(dies=False)
            self.world.clock.advance(minutes=1)
            before = self.runs
            self.begin(replay=False)
            if self.claim is None and self.runs > before:
                break
        there = {
            uri: body
            for uri, (body, _) in self.world.objects.stored.items()
            if "/provider=a/" in uri and "changes" in uri
        }
        assert {uri: self.files.get(uri) for uri in there} == there
        found = self.world.audit("a")
        assert found.missed == found.waiting == ()
        gone = {f"s3://changes/{stored.key}" for stored in found.gone}
        assert gone <= self.files.keys() - there.keys(), "the audit reports exactly the files without a source"


@pytest.mark.fault(37)
def test_standard_37_files_equal_the_sources_after_any_history() -> None:
    run(Sources, HISTORIES, seed=1)


def known_by_etag(stored: StoredObject, known: Any, untracked_at: Any) -> bool:
    """Break the safeguard: treat an ETag as known even if another version was processed after it."""
    return stored.key in known and is_known(stored, known, None)


def test_standard_37_without_the_check_for_versions_in_between_a_file_keeps_outdated_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fanout.claims.is_known", known_by_etag)
    assert fails_somewhere(Sources, 2_000) is not None
