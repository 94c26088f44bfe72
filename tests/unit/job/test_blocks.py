"""Rows and columns are gathered into blocks of bounded size, in their order."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa  # type: ignore[import-untyped]
import pytest

from fanout_job import blocks
from fanout_job.blocks import Gathering
from tests.unit.job.standardizing import sources

LONE = "\ud800"


def taken(gathering: Gathering) -> Iterator[tuple[list[int], list[list[str | bytes | None]]]]:
    for block in gathering.taken():
        yield block.numbers.to_pylist(), [column.to_pylist() for column in block.columns.values()]


def is_full(gathering: Gathering) -> bool:
    return gathering.full


@pytest.fixture
def gathering(monkeypatch: pytest.MonkeyPatch) -> Gathering:
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 3)
    monkeypatch.setattr(blocks, "BLOCK_CHARACTERS", 100)
    return Gathering(sources("a", "b"))


def test_single_rows_and_columns_stay_in_their_order(gathering: Gathering) -> None:
    gathering.add(1, ["a1", None])
    gathering.extend(2, 2, [["a2", "a3"], ["b2", "b3"]])
    gathering.add(4, ["a4", "b4"])
    gathering.extend(6, 1, [["a6"], [None]])
    assert list(taken(gathering)) == [
        ([1, 2, 3, 4, 6], [["a1", "a2", "a3", "a4", "a6"], [None, "b2", "b3", "b4", None]])
    ]
    assert list(taken(gathering)) == []


def test_rows_without_wanted_fields_have_their_numbers_only() -> None:
    gathering = Gathering([])
    gathering.add(1, [])
    gathering.extend(2, 2, [])
    assert list(taken(gathering)) == [([1, 2, 3], [])]


def test_a_lone_surrogate_keeps_its_bytes_beside_other_texts(gathering: Gathering) -> None:
    gathering.extend(1, 2, [["a1", None], ["b1", "b2"]])
    gathering.extend(3, 2, [[LONE, None], ["b3", "b4"]])
    [(_, columns)] = taken(gathering)
    assert columns == [[b"a1", None, b"\xed\xa0\x80", None], ["b1", "b2", "b3", "b4"]]


def test_a_block_is_full_at_its_maximum_number_of_rows(gathering: Gathering) -> None:
    for first in (1, 4):
        gathering.add(first, ["", ""])
        gathering.extend(first + 1, 1, [[""], [""]])
        assert not is_full(gathering)
        gathering.add(first + 2, ["", ""])
        assert is_full(gathering)
        assert [numbers for numbers, _ in taken(gathering)] == [[first, first + 1, first + 2]]
        assert not is_full(gathering)


def test_a_block_is_full_at_its_maximum_number_of_characters(gathering: Gathering) -> None:
    for number in (1, 3):
        gathering.add(number, ["x" * 60, "y" * 39])
        assert not is_full(gathering)
        gathering.add(number + 1, ["z", None])
        assert is_full(gathering)
        list(gathering.taken())


@pytest.mark.parametrize(("missing", "full"), [(0, True), (1, False)])
def test_a_block_is_full_when_its_columns_have_the_maximum_size(gathering: Gathering, missing: int, full: bool) -> None:
    columns = [["x" * 40], ["y" * 30]]
    gathering.extend(1, 1, columns)
    gathering.add(2, ["z" * (100 - sum(pa.array(column).nbytes for column in columns) - missing), ""])
    assert is_full(gathering) == full
