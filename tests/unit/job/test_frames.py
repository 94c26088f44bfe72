"""The rows of a native ETL's DataFrame: the drafts of messages as strings."""

from __future__ import annotations

from typing import Any

import pytest

from fanout_job.errors import TransformError
from fanout_job.frames import FRAME_COLUMNS, as_frame_row, from_frame_row, record_batch
from tests.unit.job.records import export, kinesis, stream
from tests.unit.job.test_message_order import drafts
from tests.unit.job.test_messages import maker


@pytest.mark.parametrize("record", [stream("INSERT"), stream("REMOVE", NewImage=None), kinesis(), export()])
def test_a_message_is_the_same_after_its_draft_was_a_row(record: dict[str, Any]) -> None:
    [draft] = drafts(record)
    [row] = record_batch([as_frame_row(draft)], FRAME_COLUMNS).to_pylist()

    assert maker(order="key").message(from_frame_row(row)) == maker(order="key").message(draft)


def test_rows_sort_by_position_like_their_drafts() -> None:
    made = [drafts(stream(SequenceNumber=number))[0] for number in ("9", "10", "1" * 40)]
    positions = [as_frame_row(draft)["position"] or "" for draft in made]

    assert positions == sorted(positions)


@pytest.mark.parametrize(
    ("column", "value"),
    [("data", "{"), ("data", None), ("position", "first"), ("position", ""), ("position", None)],
)
def test_a_row_with_an_invalid_value_is_a_typed_error(column: str, value: str | None) -> None:
    row = as_frame_row(drafts(stream())[0]) | {column: value}

    with pytest.raises(TransformError, match="an invalid position, or with data that is not JSON"):
        from_frame_row(row)


def test_a_batch_has_a_column_of_strings_for_each_name() -> None:
    batch = record_batch([{"a": "1", "c": "2"}, {}], ("a", "b"))

    assert batch.to_pydict() == {"a": ["1", None], "b": [None, None]}
    assert [str(kind) for kind in batch.schema.types] == ["string", "string"]
