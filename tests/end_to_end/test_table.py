"""`make run TABLE=yes`: every change of a table becomes one message, in order and with the table's values."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import table
from tests.template.reading import TEMPLATE


@pytest.mark.slow
def test_every_change_of_a_table_becomes_one_message_in_order_with_its_values(tmp_path: Path) -> None:
    report = table.run(5, 400, 1, TEMPLATE, tmp_path, lambda line: None)

    assert report["faults"] == []
    assert report["totals"]["messages"] == report["totals"]["changes"] >= 400
    assert set(report["totals"]["kinds"]) == {"dynamodb.insert", "dynamodb.modify", "dynamodb.remove"}


def test_a_missing_repeated_reordered_or_damaged_message_is_a_fault() -> None:
    def change(kind: str, old: str | None, new: str | None) -> table.Change:
        return table.Change(kind, *({"n": {"N": n}} if n else None for n in (old, new)))

    def message(number: int, kind: str, **data: object) -> dict[str, object]:
        images = {name: {"n": value} for name, value in data.items()}
        return {"provider": "a", "id": str(number), "type": kind, "data": {"keys": {"pk": "k"}, **images}}

    expected = {("a", "k"): [change("dynamodb.insert", None, "1"), change("dynamodb.modify", "1", "2")]}
    first, second = message(1, "dynamodb.insert", new=1), message(2, "dynamodb.modify", old=1, new=2)

    assert table.compare(expected, [first, second]) == []
    for wrong in ([first], [second, first], [first, second, second], [first, {**second, "id": "1"}], []):
        assert table.compare(expected, wrong), wrong
    assert table.compare(expected, [first, message(2, "dynamodb.modify", old=1, new=3)])
    assert table.compare({}, [first])
