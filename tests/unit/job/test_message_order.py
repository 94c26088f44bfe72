"""MessageOrder=key: the position of a message in its group."""

from __future__ import annotations

from typing import Any

import pytest

from fanout_job.changes import Change, Payload, parse_change
from fanout_job.messages import Draft
from tests.unit.job.records import export, kinesis, line, stream
from tests.unit.job.test_messages import maker, unchanged


def drafts(record: dict[str, Any], index: int = 0, number: int = 1, transform: Any = unchanged) -> list[Draft]:
    return maker(order="key", transform=transform).drafts(parse_change(line(record), "x"), index, number)


def at(moment: int, **record: Any) -> dict[str, Any]:
    return kinesis(moment=moment, **record)


def test_several_messages_of_a_row_keep_the_order_in_which_transform_returned_them() -> None:
    def several(change: Change) -> list[Payload]:
        return [{"n": n} for n in range(12)]

    made = drafts(stream(), transform=several)

    assert [draft.payload["n"] for draft in sorted(made, key=lambda draft: draft.position)] == list(range(12))
    assert len({draft.position for draft in made}) == 12
    assert len({maker(order="key").message(draft).group for draft in made}) == 1


def test_several_messages_of_a_row_are_between_those_of_the_rows_before_and_after_it() -> None:
    first, last = (drafts(stream(SequenceNumber=number))[0] for number in ("9", "11"))
    between = drafts(stream(SequenceNumber="10"), transform=lambda change: [{}, {}])

    positions = [first.position, *(draft.position for draft in between), last.position]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ((at(1_700_000_000_000_001), 5, 5), (at(1_700_000_000_000_002), 1, 1)),
        ((export(), 0, 9), (export(), 1, 1)),
        ((export(), 0, 9), (export(), 0, 10)),
        ((stream(SequenceNumber="9"), 7, 7), (stream(SequenceNumber="10"), 0, 1)),
    ],
    ids=["time before place", "object", "line", "sequence number before place"],
)
def test_rows_are_ordered_by_sequence_number_else_by_time_else_by_object_and_line(earlier: Any, later: Any) -> None:
    assert drafts(*earlier)[0].position < drafts(*later)[0].position


def test_the_position_has_these_numbers() -> None:
    (draft,) = drafts(at(1_700_000_000_123_456), 3, 4)
    assert draft.position == (0, 1_700_000_000_123_456, 3, 4)

    (draft,) = drafts(stream(SequenceNumber="42"), 3, 4)
    assert draft.position[0] == 42
