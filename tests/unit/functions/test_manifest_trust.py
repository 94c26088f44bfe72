"""Only the claim's manifests count, whatever a stolen session of the job's role writes into the data bucket."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from contract.uris import RESERVED, manifest_uri, result_uri, run_dir
from fanout import ledger
from fanout.claims import Claim
from fanout.errors import ManifestChangedError, SettingsError
from fanout.settings import ClaimSettings
from tests.harness.world import BUCKET, DEFAULTS, World, result_of


def forge(world: World, claim: Claim, *keys: str) -> None:
    """Add objects of the change log to a run's manifest."""
    planned = world.manifest(claim)
    added = (world.objects.seen(world.uri(claim.provider, key)) for key in keys)
    world.objects.add(claim.manifest, replace(planned, objects=(*planned.objects, *added)).to_json(), world.clock())


@pytest.mark.fault(54)
def test_an_object_added_to_the_manifest_of_an_earlier_run_is_sent() -> None:
    world = World()
    world.change("a", "1", "r1")
    first = world.run("a", "run1")
    world.change("a", "2", "r2")

    forge(world, first, "2")

    assert [o.key for o in world.audit("a").waiting] == ["log/provider=a/1", "log/provider=a/2"]
    assert world.planned(world.run("a", "run2")) == ["1", "2"]
    assert world.sent == ["r1", "r1", "r2"]
    assert world.log[-1].startswith("a: the objects of run run1 are sent again: s3://data/runs/provider=a/")
    assert world.run("a", "run3").decision == "nothing"
    assert world.audit("a").waiting == ()


@pytest.mark.fault(54)
@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"version": 1}'])
def test_an_earlier_manifest_that_was_replaced_by_anything_does_not_stop_the_provider(body: bytes) -> None:
    world = World()
    world.change("a", "1", "r1")
    first = world.run("a", "run1")
    world.objects.add(first.manifest, body, world.clock())

    assert world.planned(world.run("a", "run2")) == ["1"]
    assert world.audit("a").missed == world.audit("a").waiting == ()


@pytest.mark.fault(54)
def test_a_run_whose_manifest_changed_after_its_claim_commits_nothing() -> None:
    world = World()
    world.change("a", "1", "r1")
    world.change("a", "2", "r2")
    claim = world.claim("a", "run1")
    world.job(claim)
    planned = world.manifest(claim)
    world.objects.add(claim.manifest, replace(planned, objects=planned.objects[::-1]).to_json(), world.clock())

    with pytest.raises(ManifestChangedError, match=claim.manifest):
        world.succeed(claim)
    assert world.fail(claim, "ManifestChangedError", "changed").type == "ManifestChangedError"

    assert world.state("a").bookmark == ledger.Bookmark()
    assert world.planned(world.run("a", "run2")) == ["1", "2"]


@pytest.mark.fault(54)
@pytest.mark.parametrize("of", [None, ("b", "run1"), ("a", "run0")], ids=["no manifest", "another provider", "a run"])
def test_a_manifest_that_was_there_before_the_claim_is_not_used(of: tuple[str, str] | None) -> None:
    world = World()
    world.change("a", "1", "r1")
    uri = manifest_uri(run_dir(BUCKET, "a", world.clock(), "run1"))
    body = b"[]"
    if of is not None:
        world.change(of[0], "1", "r1")
        body = world.objects.stored[world.claim(*of).manifest][0]
        world.fail_without_claim(*of)
    world.objects.add(uri, body, world.clock())

    with pytest.raises(ManifestChangedError, match="in the place of its manifest"):
        world.claim("a", "run1")
    world.fail_without_claim("a", "run1", "ManifestChangedError")
    world.clock.advance(minutes=20)

    assert world.planned(world.run("a", "run2")) == ["1"]


@pytest.mark.fault(54)
def test_a_forged_result_hides_no_object_from_the_audit() -> None:
    world = World()
    world.change("a", "1", "r1")
    claim = world.claim("a", "run1")
    world.fail(claim)
    since = world.clock() + timedelta(hours=1)
    ledger.update(world.ledger, "a", lambda state: ledger.set_bookmark(state, since))

    world.objects.add(result_uri(claim.run_dir), result_of(claim, objects=1, rows=1).to_json(), world.clock())
    world.objects.add(f"{claim.run_dir}nested/result.json", result_of(claim, objects=1).to_json(), world.clock())

    assert [o.key for o in world.audit("a").missed] == ["log/provider=a/1"]


@pytest.mark.fault(54)
def test_a_forged_result_of_a_failed_run_moves_no_bookmark() -> None:
    world = World()
    world.change("a", "1", "r1")
    claim = world.claim("a", "run1")
    world.leave(claim, result_of(claim, objects=1, rows=1, messages=1))

    world.fail(claim, "Sandbox.Timedout", "")

    assert world.state("a").bookmark == ledger.Bookmark()
    assert world.planned(world.run("a", "run2")) == ["1"]


def test_the_audit_knows_a_recent_run_whose_record_is_missing() -> None:
    world = World()
    world.change("a", "1", "r1")
    claim = world.run("a", "run1")
    del world.objects.stored[f"{claim.run_dir}record.json"]

    assert world.audit("a").waiting == ()


@pytest.mark.parametrize("prefix", sorted(RESERVED))
def test_a_change_log_under_another_prefix_of_the_data_bucket_is_refused(prefix: str) -> None:
    given = {name.upper(): str(value) for name, value in DEFAULTS.items()}

    for place in (prefix, f"{prefix}/deeper"):
        with pytest.raises(SettingsError, match=f"DATA_BUCKET.*{prefix.upper()}/ CANNOT CONTAIN THE CHANGE LOG"):
            ClaimSettings.from_environment({**given, "CHANGE_LOG_DIR": f"s3://{BUCKET}/{place}"})
    for place in (f"{BUCKET}/{prefix}s", f"changes/{prefix}", BUCKET):
        ClaimSettings.from_environment({**given, "CHANGE_LOG_DIR": f"s3://{place}"})
