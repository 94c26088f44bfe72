"""`fanout providers …`"""

from __future__ import annotations

import json

import pytest

from cli.command import utc_now
from fanout.adapters import DynamoLedger, DynamoPending
from registry.document import NEVER_RAN
from tests.integration.cli.conftest import Fanout


def listed(fanout: Fanout) -> dict[str, object]:
    found: dict[str, object] = fanout.json("providers", "list")["providers"]
    return found


def test_a_provider_is_added_changed_paused_resumed_and_removed(fanout: Fanout) -> None:
    assert fanout("providers", "add", "a", "--frequency", "30", "--field", 'owner="sales"').status == 0
    assert listed(fanout) == {"a": {"frequency": 30, "owner": "sales", **NEVER_RAN}}

    assert fanout("set", "a", "--new-group", "g", "--field", "owner=null").status == 0
    assert listed(fanout) == {"a": {"frequency": 30, "group": "g", **NEVER_RAN}}

    fanout("pause", "a")
    assert listed(fanout) == {"a": {"frequency": 30, "group": "g", "paused": True, **NEVER_RAN}}
    fanout("resume", "a")
    assert listed(fanout) == {"a": {"frequency": 30, "group": "g", **NEVER_RAN}}

    assert fanout("remove", "a", "--yes").status == 0
    assert listed(fanout) == {}


def test_adding_a_provider_twice_changes_nothing(fanout: Fanout) -> None:
    fanout("providers", "add", "a", "--frequency", "30")

    again = fanout("providers", "add", "a", "--frequency", "60")

    assert again.status == 2
    assert "exists already" in again.error
    assert listed(fanout) == {"a": {"frequency": 30, **NEVER_RAN}}


def test_a_removal_needs_a_confirmation(fanout: Fanout) -> None:
    fanout("providers", "add", "a")

    refused = fanout("remove", "a", stdin="")

    assert refused.status == 2
    assert "--yes" in refused.error
    assert "a" in listed(fanout)


def test_errors_say_what_is_wrong(fanout: Fanout) -> None:
    assert "fanout providers add unknown" in fanout("set", "unknown", "--frequency", "5").error
    assert "not allowed" in fanout("providers", "add", "../a").error
    assert "NAME=JSON" in fanout("providers", "add", "a", "--field", "owner=sales").error
    assert "NAME=JSON" in fanout("providers", "add", "a", "--field", "limit=NaN").error
    assert "a lone surrogate" in fanout("providers", "add", "a", "--field", r'owner="\ud800"').error
    for frequency in ("0", "527041", "inf", "nan", "1e999"):
        assert fanout("providers", "add", "a", "--frequency", frequency).status == 2
    assert listed(fanout) == {}


def test_discover_adds_the_folders_that_are_not_in_the_list(fanout: Fanout) -> None:
    fanout("providers", "add", "known")
    fanout.drop("known", "a.json.gz", 1)
    fanout.drop("found", "a.json.gz", 1)

    dry = fanout.json("providers", "discover", "--dry-run")
    assert "found" in dry["added"]
    assert list(listed(fanout)) == ["known"]

    done = fanout.json("providers", "discover", "--frequency", "45", "--yes")
    assert "found" in done["added"]
    assert listed(fanout)["found"] == {"frequency": 45, **NEVER_RAN}
    assert fanout.json("providers", "discover", "--yes")["added"] == []


@pytest.mark.fault(39)
def test_unlisted_providers_and_a_list_that_shrank_are_shown_until_they_are_accepted(fanout: Fanout) -> None:
    fanout("providers", "add", "here")
    ledger = DynamoLedger(fanout.cloud.client("dynamodb"), fanout.cloud.outputs["RunLedgerTable"])
    pending = DynamoPending(fanout.cloud.client("dynamodb"), fanout.cloud.outputs["RunLedgerTable"])
    ledger.put_list_size(10)
    pending.add("gone", 2, 20, utc_now())
    pending.add("Tenant Ö", 1, 10, utc_now())

    shown = fanout.json("status")
    text = fanout("status").out
    one = fanout.json("providers", "accept", "Tenant Ö", "--yes")
    unknown = fanout("providers", "accept", "here", "--yes")
    before = fanout.json("status")
    all_ = fanout.json("providers", "accept", "--yes")
    after = fanout.json("status")

    found = {health["provider"]: health["failure"]["message"] for health in shown["shown"]}
    assert (shown["healthy"], shown["missing_providers"]) == (False, 9)
    assert found["gone"] == "gone is not in the config API's list"
    assert "use 1 to 64 ASCII letters" in found["provider=Tenant Ö"]
    assert "The config API's list has lost 9 providers" in text
    assert one["forgotten"] == ["Tenant Ö"]
    assert unknown.status == 2
    assert "provider=Tenant Ö" not in {health["provider"] for health in before["shown"]}
    assert "gone" in all_["forgotten"]
    assert (after["missing_providers"], after["counts"].get("unlisted", 0)) == (0, 0)


def test_an_export_can_be_imported(fanout: Fanout) -> None:
    fanout("providers", "add", "a", "--frequency", "30", "--field", "limits=[1,2.5]")
    fanout("providers", "add", "b")
    file = fanout.folder / "providers.json"
    assert fanout("providers", "export", str(file)).status == 0
    before = listed(fanout)
    fanout("remove", "a", "--yes")
    fanout("set", "b", "--frequency", "5")

    done = fanout.json("providers", "import", str(file), "--yes")
    assert (done["added"], done["changed"]) == (["a"], {"b": {"frequency": [5, 60]}})
    assert listed(fanout) == before


def test_an_import_with_one_invalid_entry_writes_nothing(fanout: Fanout) -> None:
    file = fanout.folder / "providers.json"
    file.write_text(json.dumps({"good": {"frequency": 5}, "bad": {"frequency": "often"}}))

    refused = fanout("providers", "import", str(file))

    assert refused.status == 2
    assert "bad: frequency" in refused.error
    assert listed(fanout) == {}
