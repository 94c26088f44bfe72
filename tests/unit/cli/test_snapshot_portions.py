"""A snapshot in several portions: each has objects of its own, and a crash between two of them loses no item."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from cli.snapshot import Written
from fanout_job.changes import parse_change
from tests.harness.fakes import MemoryObjects
from tests.harness.faults import Clock, Crash, Fault, Faults
from tests.unit.cli.test_snapshot import LOG, exported, item, lines, snapshot

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
