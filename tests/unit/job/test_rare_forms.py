"""Rare forms of source files: nil in numbers, line breaks that are escaped but not quoted, several bad rows."""

from __future__ import annotations

import pytest

from fanout_job.errors import RecordError
from fanout_job.mapping import Mapping
from fanout_job.standardizer import Standardizer
from tests.unit.job.standardizing import MODEL, rows


@pytest.mark.parametrize(("nil", "note"), [("true", None), ("1", None), ("false", ""), ("0", "")])
def test_an_xml_element_is_nil_if_its_attribute_says_so_in_either_form(nil: str, note: str | None) -> None:
    xsi = "http://www.w3.org/2001/XMLSchema-instance"
    data = f'<a i="1" xmlns:x="{xsi}"><b x:nil="{nil}"/></a>'.encode()

    found = rows("xml: {record: a}\nfields: {id: '@i', note: b}\nnulls: []", data)

    assert found == [{"id": "1"} if note is None else {"id": "1", "note": note}]


@pytest.mark.parametrize("block", [None, 16, 24, 40])
def test_an_escaped_line_break_is_part_of_a_csv_value_without_quotes_wherever_a_block_ends(
    block: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if block is not None:
        monkeypatch.setattr("fanout_job.csv_source.BLOCK_BYTES", block)
    mapping = "csv: {quote: null, escape: '\\'}\nfields: {id: a, note: b}\n"
    numbers = range(1, 20)

    found = rows(mapping, b"a,b\n" + b"".join(b"%d,x\\\ny\n" % number for number in numbers))

    assert found == [{"id": str(number), "note": "x\ny"} for number in numbers]


def test_bad_rows_are_reported_in_their_order_whichever_column_is_bad() -> None:
    """The columns are converted one after the other, so the error of row 3 is found first."""
    mapping = Mapping.parse(b"csv:\nfields: {id: a, count: b, price: c}", "m.yaml")
    found: list[tuple[int | None, str]] = []

    def bad(error: RecordError, content: bytes | None) -> None:
        found.append((error.line, str(error)))

    data = b"a,b,c\n1,2,3\n2,2,wrong\n3,wrong,3\n4,2,wrong\n"
    good = [table.num_rows for table in Standardizer(mapping, MODEL).rows(iter([data]), bad)]

    assert [line for line, _ in found] == [2, 3, 4]
    assert good == [1]
