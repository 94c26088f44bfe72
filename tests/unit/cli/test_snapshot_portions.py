"""A snapshot in several portions: each has objects of its own, and a crash between two of them loses no item."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import pytest

from cli.errors import UsageError
from cli.snapshot import Written
from fanout.production import MAX_RECORD_AGE
from fanout.stream_records import json_line
from fanout_job.changes import parse_change
from tests.harness.fakes import MemoryObjects
from tests.harness.faults import Clock, Crash, Fault, Faults
from tests.unit.cli.test_snapshot import FOLDER, LOG, exported, item, lines, snapshot

ITEMS = [item(number, "ab"[number % 2]) for number in range(8)]
OBJECTS = 4
"""One for each provider and portion: the items of "a" are in the export's first file, those of "b" in its second."""


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> MemoryObjects:
    """The store with an export, of which two items fit into a portion."""
    stored = MemoryObjects(Faults(clock))
    exported(stored, ITEMS, clock())
    monkeypatch.setattr("cli.snapshot.MAX_HELD_BYTES", 2**30)
    probe = MemoryObjects(Faults(clock), stored.stored.copy())  # type: ignore[arg-type]
    snapshot(probe, clock)
    size = len(json.dumps(lines(probe, LOG)[0]))
    monkeypatch.setattr("cli.snapshot.MAX_HELD_BYTES", size + 10)
    return stored


def keys(objects: MemoryObjects) -> list[str]:
    return sorted(uri.removeprefix(f"{LOG}/provider=") for uri in objects.stored if uri.startswith(LOG))


def items(objects: MemoryObjects) -> Counter[str]:
    return Counter(line["dynamodb"]["Keys"]["id"]["S"] for line in lines(objects, LOG))


def test_each_portion_is_written_to_objects_of_its_own(objects: MemoryObjects, clock: Clock) -> None:
    written = snapshot(objects, clock)

    assert written == Written(items=8, providers=2, unassigned=0, written=OBJECTS, there=0)
    assert items(objects) == Counter({f"i{number}": 1 for number in range(8)})
    assert [(key[0], key.rpartition("-")[2]) for key in keys(objects)] == [
        ("a", "00000.json.gz"),
        ("a", "00001.json.gz"),
        ("b", "00002.json.gz"),
        ("b", "00003.json.gz"),
    ]


def test_a_portion_is_written_once_it_is_larger_than_the_limit(
    objects: MemoryObjects, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = MemoryObjects(Faults(clock), objects.stored.copy())  # type: ignore[arg-type]
    snapshot(probe, clock)
    monkeypatch.setattr("cli.snapshot.MAX_HELD_BYTES", 2 * len(json_line(lines(probe, LOG)[0])))

    snapshot(objects, clock)

    portions = Counter[str]()
    for uri, (body, _) in objects.stored.items():
        if uri.startswith(LOG):
            portions[uri[-13:-8]] += len(gzip.decompress(body).splitlines())
    assert portions == {"00000": 3, "00001": 3, "00002": 2}


@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
@pytest.mark.parametrize("call", range(OBJECTS))
def test_after_a_crash_at_any_write_a_repeated_snapshot_is_complete(
    objects: MemoryObjects, clock: Clock, call: int, fault: Fault
) -> None:
    objects.faults.plan("objects.create", *([None] * call), fault)
    with pytest.raises(Crash):
        snapshot(objects, clock)
    before = dict(objects.stored)

    written = snapshot(objects, clock)

    there = call + (fault is Fault.CRASH_AFTER)
    assert (written.written, written.there) == (OBJECTS - there, there)
    assert items(objects) == Counter({f"i{number}": 1 for number in range(8)})
    assert before.items() <= objects.stored.items()


def test_an_insert_of_a_snapshot_has_no_sequence_number_so_it_sorts_before_every_change(
    objects: MemoryObjects, clock: Clock
) -> None:
    snapshot(objects, clock)

    found: list[dict[str, Any]] = lines(objects, LOG)
    assert {parse_change(json.dumps(line), "").sequence for line in found} == {None}


def test_an_insert_has_the_region_of_its_table_and_an_id_of_32_digits(objects: MemoryObjects, clock: Clock) -> None:
    snapshot(objects, clock)

    found: list[dict[str, Any]] = lines(objects, LOG)
    assert {(line["awsRegion"], len(line["eventID"])) for line in found} == {("us-east-1", 32)}


def test_an_export_is_accepted_up_to_the_age_of_the_oldest_key(objects: MemoryObjects, clock: Clock) -> None:
    clock.now += MAX_RECORD_AGE
    assert snapshot(objects, clock).items == 8

    clock.advance(seconds=1)
    with pytest.raises(UsageError, match="export again"):
        snapshot(objects, clock)


def test_an_export_without_its_list_of_files_is_incomplete(objects: MemoryObjects, clock: Clock) -> None:
    del objects.stored[FOLDER + "manifest-files.json"]

    with pytest.raises(UsageError, match="should have 8 items, but its files have 0"):
        snapshot(objects, clock)


def test_an_export_without_one_of_its_data_files_is_incomplete(objects: MemoryObjects, clock: Clock) -> None:
    del objects.stored[FOLDER + "data/1.json.gz"]

    with pytest.raises(UsageError, match=r"data/1\.json\.gz not found.*export again"):
        snapshot(objects, clock)


def test_an_empty_line_of_a_data_file_is_no_item(objects: MemoryObjects, clock: Clock) -> None:
    file = FOLDER + "data/1.json.gz"
    body, time = objects.stored[file]
    objects.add(file, gzip.compress(gzip.decompress(body) + b"\n"), time)

    assert snapshot(objects, clock).items == 8
