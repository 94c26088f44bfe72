"""Which objects are data, and that the others are counted and listed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout.manifests import (
    CHECKSUM,
    EXPORT_FILE,
    FOLDER_MARKER,
    HIDDEN,
    IGNORE_PATTERN,
    SYSTEM_FILE,
    TEMPORARY,
    why_ignored,
)
from tests.harness.world import World

EXPORT = [
    "AWSDynamoDB/01690000000000-abcdef01/_started",
    "AWSDynamoDB/01690000000000-abcdef01/manifest-files.checksum",
    "AWSDynamoDB/01690000000000-abcdef01/manifest-files.json",
    "AWSDynamoDB/01690000000000-abcdef01/manifest-summary.checksum",
    "AWSDynamoDB/01690000000000-abcdef01/manifest-summary.json",
]
"""Files that a DynamoDB export writes beside its data."""
DATA = "AWSDynamoDB/01690000000000-abcdef01/data/abc.json.gz"


@pytest.mark.parametrize(
    "path",
    [
        *("part-1.gz", "2026/11/22/07/x.gz", "_day=1/part", "a_b/c.d", "a/__x=1/part", "x y/ü.gz"),
        *("manifest.json", "my-manifest-files.json", "manifest-files.json.gz", "manifest-summary.json/part-1"),
        *("x.part.gz", "part", "tmp", "a.tmp/b.json", "md5/x.json", "checksum.json", "x.partition", "a~b", "db"),
        *("thumbs.db.gz", DATA, "AWSDynamoDB/data/sgad6417s6vss4p7owp0471bcq.json.gz"),
    ],
)
def test_other_objects_are_data(path: str) -> None:
    assert why_ignored(path) is None


@pytest.mark.fault(41)
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("folder/", FOLDER_MARKER),
        ("2026/11_$folder$", FOLDER_MARKER),
        ("_SUCCESS", HIDDEN),
        ("a/.part.crc", HIDDEN),
        ("_temporary/0/part-1", HIDDEN),
        (".staging/part", HIDDEN),
        ("2026/_tmp/part", HIDDEN),
        (".DS_Store", HIDDEN),
        (EXPORT[0], HIDDEN),
        *((path, EXPORT_FILE) for path in EXPORT[1:]),
        ("manifest-files.md5", EXPORT_FILE),
        ("x.json.gz.filepart", TEMPORARY),
        ("x.json.gz.part", TEMPORARY),
        ("x.json.gz.PARTIAL", TEMPORARY),
        ("day/x.tmp", TEMPORARY),
        ("x.json~", TEMPORARY),
        ("~$x.csv", TEMPORARY),
        ("x.json.gz.md5", CHECKSUM),
        ("x.json.gz.sha256", CHECKSUM),
        ("x.crc32", CHECKSUM),
        ("SHA256SUMS", CHECKSUM),
        ("md5sum.txt", CHECKSUM),
        ("photos/Thumbs.db", SYSTEM_FILE),
        ("Desktop.ini", SYSTEM_FILE),
        ("draft-1.gz", IGNORE_PATTERN),
        ("a/b.bak", IGNORE_PATTERN),
    ],
)
def test_an_object_that_is_not_data_has_a_reason(path: str, reason: str) -> None:
    assert why_ignored(path, "draft-?.gz *.bak") == reason


def test_the_operators_patterns_apply_to_names_and_not_to_folders() -> None:
    assert why_ignored("draft-1.gz/3", "draft-?.gz") is None
    assert why_ignored("4.BAK", "*.bak") is None


@pytest.mark.fault(41)
def test_an_export_can_be_put_into_a_providers_prefix_whole() -> None:
    world = World()
    world.provider("acme")
    for path in EXPORT:
        world.change("acme", path, "bad: no change record")
    world.change("acme", DATA, "row-1")

    claim = world.run("acme", "first")

    record = world.state("acme").last_run
    assert world.sent == ["row-1"]
    assert world.planned(claim) == [DATA]
    assert record is not None
    assert (record.status, record.objects, record.ignored) == ("succeeded", 1, 5)
    assert record.reason.endswith("; 5 ignored, which are not data")
    audit = world.audit("acme")
    assert (audit.missed, audit.waiting, audit.gone) == ((), (), ())
    assert sorted((one.stored.key.removeprefix("log/provider=acme/"), one.reason) for one in audit.ignored) == [
        (EXPORT[0], HIDDEN),
        *((path, EXPORT_FILE) for path in EXPORT[1:]),
    ]


@pytest.mark.fault(41)
def test_a_run_counts_the_ignored_objects_of_the_lookback_window_only() -> None:
    world = World(settings={"lookback_minutes": 60})
    world.provider("a")
    world.change("a", "old.md5", "x", last_modified=world.clock() - timedelta(minutes=90))
    world.change("a", "1", "r1")
    assert world.manifest(world.run("a", "first")).ignored == 1

    world.clock.advance(minutes=15)
    world.change("a", "1.md5", "x")
    nothing = world.run("a", "second")

    assert (nothing.decision, nothing.reason) == ("nothing", "no new objects; 1 ignored, which are not data")
    assert world.state("a").last_run.ignored == 1  # type: ignore[union-attr]


def test_a_replay_counts_the_ignored_objects_that_are_not_older_than_its_range() -> None:
    world = World()
    world.provider("a")
    world.change("a", "0.md5", "x", last_modified=world.clock() - timedelta(minutes=1))
    for name in ("1", "1.md5"):
        world.change("a", name, "r1")
    range_ = {"from": "2026-11-22T07:30:00Z", "to": "2026-11-22T08:00:00Z"}

    assert world.manifest(world.run("a", "again", replay=range_)).ignored == 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=4).map("/".join))
def test_every_path_is_data_or_has_a_reason(path: str) -> None:
    reason = why_ignored(path)

    assert reason is None or reason in {HIDDEN, FOLDER_MARKER, EXPORT_FILE, TEMPORARY, CHECKSUM, SYSTEM_FILE}
    if path.endswith((".gz", ".json", ".csv", ".xml", ".parquet")) and not set(path) & set("._~/") - {"."}:
        assert reason is None or path.startswith((".", "manifest-"))


PARTS = st.sampled_from(
    ["a", "day=1", "_tmp", ".x", "data", "x.gz", "x.tmp", "x.md5", "manifest-files.json", "Thumbs.db"]
)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), unique=True, max_size=30))
def test_what_a_run_processes_and_ignores_adds_up_to_the_listing(paths: list[str]) -> None:
    world = World()
    world.provider("a")
    world.provider("b")
    for number, path in enumerate(paths):
        world.change("a", path, f"a-{number}")
    world.change("b", "1", "b-1")

    world.tick()
    world.run_all()

    record, audit = world.state("a").last_run, world.audit("a")
    assert record is not None
    data = [path for path in paths if why_ignored(path) is None]
    assert (record.status, record.objects, record.ignored) == ("succeeded", len(data), len(paths) - len(data))
    assert len(audit.ignored) == record.ignored
    assert (audit.missed, audit.waiting) == ((), ())
    assert sorted(world.sent) == sorted(["b-1", *(f"a-{paths.index(path)}" for path in data)])
