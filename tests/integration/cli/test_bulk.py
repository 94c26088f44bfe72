"""Orders for 500 providers, on the laptop cloud from the file to the messages."""

from __future__ import annotations

from pathlib import Path

from registry.document import NEVER_RAN
from tests.harness.clouds import write_entries
from tests.integration.cli.conftest import Fanout

NAMES = [f"tenant-{number:03}" for number in range(500)]


def test_a_group_of_500_providers_is_exported_changed_run_and_retried(fanout: Fanout, tmp_path: Path) -> None:
    groups = {name: "retail" if name < "tenant-006" else "energy" for name in NAMES}
    entries = {name: {"frequency": 60, "group": group, **NEVER_RAN} for name, group in groups.items()}
    write_entries(fanout.cloud, entries)
    file = tmp_path / "tenants.csv"
    assert fanout("providers", "export", str(file)).status == 0
    changed = file.read_text().replace("tenant-499,60", "tenant-499,30")
    file.write_text(changed + "added,60,energy\n")

    synced = fanout.json("providers", "sync", str(file), "--yes")
    assert (synced["added"], synced["changed"], synced["unchanged"]) == (
        ["added"],
        {"tenant-499": {"frequency": [60, 30]}},
        499,
    )

    fanout.drop(NAMES[0], "one.json.gz", 3)
    fanout.drop_bytes(NAMES[1], "bad.json.gz", b"not gzip")
    ran = fanout("run", "--group", "retail", "--yes", "--json")
    assert (ran.status, list(ran.json["failed"]), ran.json["selected"]) == (1, [NAMES[1]], 6)
    assert ran.json["totals"].startswith("3 messages for 3 rows")

    fanout.drop(NAMES[1], "bad.json.gz", 1)
    retried = fanout("retry", "--failing", "CorruptObjectError", "--yes")
    assert (retried.status, retried.out.splitlines()[0]) == (0, f"{NAMES[1]} run")
    assert len(fanout.messages()) == 4

    assert fanout("pause", "--group", "retail", "--yes").out == "6 of 6 providers paused\n"
    assert fanout.json("status")["counts"] == {"due": 495, "paused": 6}
    assert fanout("remove", "--all", "--yes").out == "501 of 501 providers removed\n"


def test_in_a_maintenance_window_neither_a_tick_nor_an_operator_starts_a_run(fanout: Fanout) -> None:
    for name, group in (("held", "retail"), ("free", "energy")):
        fanout("providers", "add", name, "--group", group)

    opened = fanout("maintenance", "on", "--group", "retail", "--until", "2h", "--yes")
    assert opened.status == 0
    assert "maintenance of group retail until 20" in opened.out
    assert fanout.json("status")["counts"] == {"due": 1, "maintenance": 1}
    assert "no run starts" in fanout("status").out
    report = fanout.cloud.tick()
    fanout.cloud.wait()
    assert (report["maintenance"], report["started_providers"]) == (1, ["free"])
    for words in (
        ("run", "held"),
        ("run", "held", "--dry-run"),
        ("run", "--all", "--yes"),
        ("replay", "held", "--from", "1h", "--yes"),
    ):
        refused = fanout(*words)
        assert (refused.status, "no run of held is started" in refused.error) == (2, True)

    assert fanout("maintenance", "off").out == "no maintenance window is open\n"
    assert fanout.json("status")["counts"].get("maintenance") is None
    assert fanout.json("run", "held")["status"] == "succeeded"


def test_a_maintenance_window_needs_a_group_that_exists_an_end_in_the_future_and_a_confirmation(fanout: Fanout) -> None:
    fanout("providers", "add", "a", "--group", "g")

    for words, reason in (
        (("on", "--group", "h", "--yes"), "no provider is in the group h; the groups are g"),
        (("on", "--until", "2020-01-01", "--yes"), "is not in the future"),
        (("on", "--until", "soon", "--yes"), "is not a valid time"),
        (("on",), "Start no run of 1 provider: maintenance of all providers without an end?"),
        (("off", "--group", "g"), "the group g has no maintenance window"),
    ):
        refused = fanout("maintenance", *words)
        assert (refused.status, reason in refused.error) == (2, True), refused
    assert fanout.json("status")["maintenance"] == []
