"""The producer between two writes: a crash at any of its calls, and smaller or later batches after it."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.harness.faults import Crash, Fault
from tests.unit.functions.test_production import ASIDE, LOG, Shelf


def ids(shelf: Shelf) -> list[str]:
    """The ids of the lines that a run reads, in the order of the keys."""
    return [line["eventID"] for line in shelf.lines(LOG)]


@pytest.mark.parametrize("call", range(3))
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_after_a_crash_at_any_write_of_a_signpost_the_shard_continues_and_loses_no_record(
    call: int, fault: Fault
) -> None:
    """A smaller batch ends within an object: the attempt to write it, and the two writes of a signpost."""
    shelf = Shelf()
    batch = [shelf.change(number, "a") for number in range(1, 5)]
    shelf.deliver(*batch)
    shelf.faults.plan("objects.create", *([None] * call), fault)

    with pytest.raises(Crash):
        shelf.deliver(*batch[:2])

    assert shelf.deliver(*batch[:2]) is None
    assert shelf.deliver(*batch[2:]) is None
    assert ids(shelf) == ["id-1", "id-2", "id-3", "id-4"]


@pytest.mark.parametrize("call", [1, 2])
def test_after_a_crash_within_a_signpost_the_batch_after_it_is_delivered(call: int) -> None:
    """The poller does not return to the smaller batch: its answer may have been lost after it was accepted."""
    shelf = Shelf()
    batch = [shelf.change(number, "a") for number in range(1, 5)]
    shelf.deliver(*batch)
    shelf.faults.plan("objects.create", *([None] * call), Fault.CRASH_BEFORE)
    with pytest.raises(Crash):
        shelf.deliver(*batch[:2])

    assert shelf.deliver(*batch[2:]) is None

    assert Counter(ids(shelf)).keys() == {"id-1", "id-2", "id-3", "id-4"}
    assert shelf.said == []


def test_a_smaller_batch_within_an_object_leads_the_next_batch_to_the_rest_of_it() -> None:
    shelf = Shelf()
    batch = [shelf.change(number, "a") for number in range(1, 6)]
    shelf.deliver(*batch)

    for part in (batch[:2], batch[2:4], batch[4:]):
        assert shelf.deliver(*part) is None

    assert ids(shelf) == ["id-1", "id-2", "id-3", "id-4", "id-5"]


def test_the_counts_of_a_batch_are_its_records_written_groups_and_records_without_a_provider() -> None:
    shelf = Shelf()
    strangers = [shelf.change(number, "../x") for number in (1, 2, 3)]
    shelf.faults.plan("objects.create", None, Fault.FAIL_BEFORE)

    done = shelf.producer.produce({"Records": [*strangers, shelf.change(4, "a"), shelf.change(5, "b")]})

    assert (done.failed, done.records, done.objects, done.unassigned) == ("4", 5, 2, 3)
    assert len(shelf.lines(ASIDE)) == 3
    assert ids(shelf) == ["id-5"]


def test_a_batch_with_several_failed_groups_is_redelivered_from_the_first_of_them() -> None:
    shelf = Shelf()
    shelf.faults.plan("objects.create", None, Fault.FAIL_BEFORE, Fault.FAIL_BEFORE)

    assert shelf.deliver(*(shelf.change(number, org) for number, org in enumerate("abcbc", 1))) == "2"


def test_an_object_that_is_deleted_while_it_is_read_is_written_at_the_next_delivery() -> None:
    shelf = Shelf()
    shelf.deliver(shelf.change(1, "a"))
    read, shelf.objects.read = shelf.objects.read, lambda uri, at_most=None: None  # type: ignore[method-assign]

    assert shelf.deliver(shelf.change(1, "a")) == "1"
    assert "was deleted while it was read" in shelf.said[0]

    shelf.objects.read = read  # type: ignore[method-assign]
    shelf.objects.stored.clear()
    assert shelf.deliver(shelf.change(1, "a")) is None
    assert ids(shelf) == ["id-1"]
