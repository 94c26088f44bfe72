"""`fanout remove --purge` on the laptop cloud: the data that it deletes, keeps and lists."""

from __future__ import annotations

from typing import Any

import pytest

from cli.command import utc_now
from cli.deployment import Deployment, Where
from cli.errors import OperatorError
from cli.purge import delete_items
from contract.times import format_iso
from tests.integration.cli.conftest import Fanout


def run_and_quarantine(fanout: Fanout, provider: str, group: str = "g") -> None:
    """Give a provider a run, pending objects, a deleted mapping, and an object in each other folder."""
    s3, bucket = fanout.cloud.client("s3"), fanout.cloud.outputs["DataBucketName"]
    fanout("providers", "add", provider, "--group", group)
    fanout.drop(provider, "one.json.gz", 2)
    assert fanout("run", provider).status == 0
    fanout.cloud.deliver_events()
    for key in (
        f"claim-check/provider={provider}/one.json",
        f"quarantine/provider={provider}/run/one",
        f"standard/model=orders/provider={provider}/one.parquet",
        f"standard/model=orders/provider={provider}/one.parquet",
        f"mappings/{provider}.yaml",
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=b"12345")
    s3.delete_object(Bucket=bucket, Key=f"mappings/{provider}.yaml")


def keys(fanout: Fanout, provider: str) -> set[str]:
    """The keys of all versions of the provider's objects in the data bucket, without the change log."""
    s3, outputs = fanout.cloud.client("s3"), fanout.cloud.outputs
    change_log = outputs["ChangeLogDir"].rpartition("/")[2] + "/"
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=outputs["DataBucketName"])
    found = [one["Key"] for page in pages for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))]
    names = (f"provider={provider}/", f"mappings/{provider}.")
    return {key for key in found if any(name in key for name in names) and not key.startswith(change_log)}


def item(fanout: Fanout, key: str) -> Any:
    table = fanout.cloud.outputs["RunLedgerTable"]
    return fanout.cloud.client("dynamodb").get_item(TableName=table, Key={"provider": {"S": key}}).get("Item")


def test_a_purge_lists_what_it_would_delete_deletes_it_after_one_confirmation_and_gives_a_receipt(
    fanout: Fanout,
) -> None:
    run_and_quarantine(fanout, "leaving")
    run_and_quarantine(fanout, "leaving-not")
    before, others = keys(fanout, "leaving"), keys(fanout, "leaving-not")

    dry = fanout.json("remove", "leaving", "--purge", "--dry-run")
    refused = fanout("remove", "leaving", "--purge")

    (held,) = dry["deleted"]
    assert (held["listed"], held["ledger_item"], held["pending_objects"] is not None) == (True, True, True)
    assert {part["what"]: part["versions"] for part in held["parts"]} == {
        "manifests, results, records": 3,
        "claim checks": 1,
        "quarantine": 1,
        "mapping": 2,
        "files of the model orders": 2,
    }
    assert (refused.status, "ledger item and entry of leaving for good?" in refused.error) == (2, True)
    assert keys(fanout, "leaving") == before

    purged = fanout("remove", "leaving", "--purge", "--yes", "--json")

    assert purged.status == 0, purged.error
    assert (purged.json["dry_run"], purged.json["deleted"]) == (False, dry["deleted"])
    assert keys(fanout, "leaving") == set()
    assert (item(fanout, "leaving"), item(fanout, "leaving#pending")) == (None, None)
    assert list(fanout.json("providers", "list")["providers"]) == ["leaving-not"]
    assert keys(fanout, "leaving-not") == others
    assert item(fanout, "leaving-not")["version"]
    remaining = [line.partition(":")[0] for line in purged.json["remaining"]]
    assert remaining[0] == "change log"
    assert {"messages that were sent", "log entries", "backups"} < set(remaining)
    assert fanout("audit", "leaving").status == 0  # the change log is still there


def test_what_was_purged_is_not_found_again(fanout: Fanout) -> None:
    run_and_quarantine(fanout, "twice")
    assert fanout("remove", "twice", "--purge", "--yes").status == 0

    again = fanout("remove", "twice", "--purge", "--yes")

    assert (again.status, "the stack holds nothing of twice" in again.error) == (2, True)
    run_and_quarantine(fanout, "third")
    misspelled = fanout("remove", "third", "twice", "--purge", "--yes")
    assert (misspelled.status, "the stack holds nothing of twice" in misspelled.error) == (2, True)
    assert keys(fanout, "third") != set(), "nothing was deleted of the others either"


def test_a_provider_that_was_removed_before_can_be_purged(fanout: Fanout) -> None:
    run_and_quarantine(fanout, "removed")
    fanout("remove", "removed", "--yes")

    assert fanout.json("remove", "removed", "--purge", "--yes")["deleted"][0]["listed"] is False
    assert keys(fanout, "removed") == set()


def test_a_group_is_purged_with_one_order(fanout: Fanout) -> None:
    for name in ("one", "two"):
        run_and_quarantine(fanout, name, "closing")

    done = fanout("remove", "--group", "closing", "--purge", "--yes")

    assert done.status == 0
    assert "2 providers purged" in done.out
    assert keys(fanout, "one") | keys(fanout, "two") == set()


def test_a_ledger_item_that_a_run_has_changed_meanwhile_is_kept(fanout: Fanout) -> None:
    run_and_quarantine(fanout, "changed")
    stack = Deployment.find(Where(None, cloud_file=fanout.cloud.workdir / "cloud.json"))
    read = stack.ledger.get("changed")
    stack.ledger.put(read)

    with pytest.raises(OperatorError, match="because a run has started"):
        delete_items(stack, read)
    assert item(fanout, "changed")["version"] == {"N": str(read.version + 1)}

    delete_items(stack, stack.ledger.get("changed"))
    delete_items(stack, stack.ledger.get("changed"))
    assert item(fanout, "changed") is None


def test_a_provider_with_a_run_in_progress_is_not_purged(fanout: Fanout) -> None:
    run_and_quarantine(fanout, "busy")
    table, now = fanout.cloud.outputs["RunLedgerTable"], format_iso(utc_now())
    lease = {"run_id": "busy-1", "claimed_at": now, "expires_at": now, "run_dir": "s3://b/runs/x/", "scheduled_at": now}
    fanout.cloud.client("dynamodb").update_item(
        TableName=table,
        Key={"provider": {"S": "busy"}},
        UpdateExpression="SET lease = :lease",
        ExpressionAttributeValues={":lease": {"M": {name: {"S": value} for name, value in lease.items()}}},
    )

    refused = fanout("remove", "busy", "--purge", "--yes")

    assert (refused.status, "runs in progress: busy-1" in refused.error) == (2, True)
    assert "busy" in fanout.json("providers", "list")["providers"]
