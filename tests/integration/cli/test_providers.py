"""`fanout providers …`"""

from __future__ import annotations

import json

from registry.document import NEVER_RAN
from tests.integration.cli.conftest import Fanout


def listed(fanout: Fanout) -> dict[str, object]:
    found: dict[str, object] = fanout.json("providers", "list")["providers"]
    return found


def test_a_provider_is_added_changed_paused_resumed_and_removed(fanout: Fanout) -> None:
    assert fanout("providers", "add", "a", "--frequency", "30", "--field", 'owner="sales"').status == 0
    assert listed(fanout) == {"a": {"frequency": 30, "owner": "sales", **NEVER_RAN}}

    assert fanout("providers", "set", "a", "--group", "g", "--field", "owner=null").status == 0
    assert listed(fanout) == {"a": {"frequency": 30, "group": "g", **NEVER_RAN}}

    fanout("providers", "pause", "a")
    assert listed(fanout) == {"a": {"frequency": 30, "group": "g", "paused": True, **NEVER_RAN}}
    fanout("providers", "resume", "a")
    assert listed(fanout) == {"a": {"frequency": 30, "group": "g", **NEVER_RAN}}

    assert fanout("providers", "remove", "a", "--yes").status == 0
    assert listed(fanout) == {}


def test_adding_a_provider_twice_changes_nothing(fanout: Fanout) -> None:
    fanout("providers", "add", "a", "--frequency", "30")

    again = fanout("providers", "add", "a", "--frequency", "60")

    assert again.status == 2
    assert "exists already" in again.error
    assert listed(fanout) == {"a": {"frequency": 30, **NEVER_RAN}}


def test_a_removal_needs_a_confirmation(fanout: Fanout) -> None:
    fanout("providers", "add", "a")

    refused = fanout("providers", "remove", "a", stdin="")

    assert refused.status == 2
    assert "--yes" in refused.error
    assert "a" in listed(fanout)


def test_errors_say_what_is_wrong(fanout: Fanout) -> None:
    assert "fanout providers list" in fanout("providers", "set", "unknown", "--frequency", "5").error
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


def test_an_export_can_be_imported(fanout: Fanout) -> None:
    fanout("providers", "add", "a", "--frequency", "30", "--field", "limits=[1,2.5]")
    fanout("providers", "add", "b")
    file = fanout.folder / "providers.json"
    assert fanout("providers", "export", str(file)).status == 0
    before = listed(fanout)
    fanout("providers", "remove", "a", "--yes")
    fanout("providers", "set", "b", "--frequency", "5")

    added = fanout.json("providers", "import", str(file))
    assert (added["added"], added["existing"]) == (["a"], ["b"])
    assert fanout.json("providers", "import", str(file), "--replace")["added"] == ["a", "b"]
    assert listed(fanout) == before


def test_an_import_with_one_invalid_entry_writes_nothing(fanout: Fanout) -> None:
    file = fanout.folder / "providers.json"
    file.write_text(json.dumps({"good": {"frequency": 5}, "bad": {"frequency": "often"}}))

    refused = fanout("providers", "import", str(file))

    assert refused.status == 2
    assert "bad: frequency" in refused.error
    assert listed(fanout) == {}
