"""Rows wait for fields of their parents, in their order, and within limits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fanout_job import blocks, parents
from fanout_job.blocks import Block
from fanout_job.errors import CorruptObjectError, RecordError
from fanout_job.json_records import text_at
from fanout_job.parents import TEXT_CHARACTERS, Open, Rows
from tests.unit.job.standardizing import sources

RECORD = Open("r", {})


def reader(*paths: str) -> Rows:
    """Return rows with the fields at these paths, none of which is bad."""
    wanted = sources(*paths)
    return Rows(wanted, [source.path for source in wanted], text_at, lambda *bad: pytest.fail(str(bad)))


def parent(**content: str) -> Open:
    """Return a parent that is not complete."""
    return Open("p", content, closed=False)


def finish(rows: Rows, parent: Open, note: str) -> None:
    """Complete a parent with its field."""
    parent.content["note"] = note
    rows.close(parent)


def found(some: Iterator[Block]) -> list[tuple[int, list[str | None]]]:
    """Return the number and texts of each row."""
    return [
        (number, [column[place].as_py() for column in block.columns.values()])
        for block in some
        for place, number in enumerate(block.numbers.to_pylist())
    ]


def test_a_row_waits_for_the_rows_before_it() -> None:
    rows = reader("id", "../note")
    late, early = parent(), parent(note="b")
    rows.add(1, ["1", None], [late, RECORD])
    rows.add(2, ["2", None], [early, RECORD])
    assert not rows.extend(3, 1, {0: ["3"]}, [early, RECORD])
    rows.add(3, ["3", None], [early, RECORD])
    assert found(rows.taken()) == []
    finish(rows, late, "a")
    assert found(rows.rest()) == [(1, ["1", "a"]), (2, ["2", "b"]), (3, ["3", "b"])]


def test_consecutive_rows_are_added_together_as_soon_as_their_parents_have_the_fields() -> None:
    rows = reader("id", "../note", "../x")
    one = parent(note="a")
    assert not rows.extend(1, 2, {0: ["1", "2"]}, [one, RECORD])
    one.content["x"] = "b"
    assert rows.extend(1, 2, {0: ["1", "2"]}, [one, RECORD])
    assert found(rows.rest()) == [(1, ["1", "a", "b"]), (2, ["2", "a", "b"])]


@pytest.mark.parametrize("path", ["/r/note", "../../note", "key()"])
def test_consecutive_rows_are_not_added_together_with_a_field_that_each_one_has_or_none_can_have(path: str) -> None:
    rows = reader("id", path)
    assert not rows.extend(1, 2, {0: ["1", "2"]}, [parent(note="a"), RECORD])
    assert found(rows.rest()) == []


def test_a_block_is_taken_when_enough_rows_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 2)
    rows = reader("id", "../note")
    rows.add(1, ["1", None], [parent(note="a"), RECORD])
    assert found(rows.taken()) == []
    late = parent()
    rows.add(2, ["2", None], [late, RECORD])
    assert found(rows.taken()) == []
    finish(rows, late, "b")
    assert found(rows.taken()) == [(1, ["1", "a"]), (2, ["2", "b"])]


def test_a_waiting_row_whose_field_turns_out_to_be_bad_is_a_bad_row() -> None:
    told: list[tuple[str, int | None, bytes | None]] = []

    def bad(error: RecordError, text: bytes | None) -> None:
        told.append((error.args[0], error.line, text))

    wanted = sources("id", "../note")
    rows = Rows(wanted, [source.path for source in wanted], text_at, bad)
    one, other = parent(), parent()
    rows.add(7, ["1", None], [one, RECORD])
    rows.add(8, ["2", None], [other, RECORD])
    one.content["note"] = {}
    rows.close(one)
    finish(rows, other, "b")
    assert found(rows.rest()) == [(8, ["2", "b"])]
    text = b'{\n  "id": "1",\n  "../note": null\n}'
    assert told == [("'../note' is an object, not a single value", 7, text)]


def test_each_field_that_rows_have_taken_from_a_parent_must_not_change() -> None:
    for later in ("note", "x"):
        rows = reader("../note", "../x")
        one = parent(note="a", x="b")
        rows.add(1, [None, None], [one, RECORD])
        one.content[later] = []
        with pytest.raises(CorruptObjectError, match=f"'../{later}' is an array, .*, after rows that use it"):
            rows.close(one)


@pytest.mark.parametrize("more", [0, 1])
def test_waiting_rows_have_at_most_a_limited_size(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(parents, "MAX_WAITING_CHARACTERS", 2 * 3 * TEXT_CHARACTERS + 60)
    rows = reader("id", "x", "../note")
    one = parent()
    rows.add(1, ["a" * 10, None, None], [one, RECORD])
    last = ["b" * 20, "c" * (30 + more), None]
    if more:
        with pytest.raises(CorruptObjectError, match="no value yet for one of '../note'"):
            rows.add(2, last, [one, RECORD])
    else:
        rows.add(2, last, [one, RECORD])


def test_rows_do_not_count_as_waiting_when_their_parents_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parents, "MAX_WAITING_CHARACTERS", 2 * TEXT_CHARACTERS + 10)
    rows = reader("id", "../note")
    for number in range(1, 4):
        one = parent()
        rows.add(number, [str(number) * 10, None], [one, RECORD])
        finish(rows, one, "a")
    assert found(rows.rest()) == [(number, [str(number) * 10, "a"]) for number in range(1, 4)]
