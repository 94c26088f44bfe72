"""The records in a JSON document are found at any path, and their parents keep what fields need."""

from __future__ import annotations

import pytest

from fanout_job.json_text import Text
from fanout_job.json_tree import Document
from fanout_job.parents import Open
from fanout_job.paths import parsed_path
from tests.unit.job.standardizing import Row, rows

ONE = [{"id": "1", "note": "a"}]


@pytest.mark.parametrize(
    ("records", "path", "data", "expected"),
    [
        ("d/r", "/d/x", '{"x": "b", "d": {"x": "a", "r": [{"i": 1}]}}', ONE),
        ("d/e/r", "/d/e/x", '{"d": {"e": {"x": "a", "r": [{"i": 1}]}}}', ONE),
        ("d/r", "../d/x", '{"d": {"d": {"x": "a"}, "r": [{"i": 1}]}}', ONE),
        ("d/r", "/d/r/x", '{"d": {"r": {"i": 1, "x": "a"}}}', ONE),
        ("d/r", "/d/r/x", '{"d": {"x": "b", "r": [{"i": 1, "x": "a"}]}}', ONE),
        ("d/r", "../x", '{"d": {"r": [{"i": 1}], "x": "a"}, "x": "b"}', ONE),
        ("d/r", "../x", '{"d": {"r": [{"i": 1}], "x": []}}', ["sample, row 1: '../x' is an array, not a single value"]),
        ("d/r", "/d", '{"d": {"r": [{"i": 1}]}}', ["sample, row 1: '/d' is an object, not a single value"]),
        ("d/r", "../.", '{"d": {"r": [{"i": 1}]}}', ["sample, row 1: '../.' is an object, not a single value"]),
        ("d/r", "x", '{"d": {"x": 1, "x": 2, "r": [{"i": 1, "x": "a"}]}}', ONE),
        ("'*/r'", "'/*/x'", '{"p": {"x": 1, "x": 2, "r": [{"i": 1}]}}', [{"id": "1"}]),
        ("'*/r'", "../x", '[{"x": "a", "x": "b", "r": [{"i": 1}]}]', ["sample, row 1: has 'x' twice in one object"]),
        ("'*/*'", "x", '[[{"i": 1, "x": "a"}], [{"i": 2}]]', [*ONE, {"id": "2"}]),
    ],
)
def test_a_field_of_a_parent_is_read(records: str, path: str, data: str, expected: list[Row]) -> None:
    assert rows(f"json: {{records: {records}}}\nfields: {{id: i, note: {path}}}", data.encode()) == expected


def test_the_name_by_which_an_element_is_chosen_may_be_there_once() -> None:
    how = "json:\nfields: {id: i, note: \"t[k='x']/v\"}"
    data = b'[{"i": 1, "t": [{"k": "x", "k": "y", "v": "a"}]}]'
    assert rows(how, data) == ["sample, row 1: has 'k' twice in one object"]


@pytest.mark.parametrize(
    ("options", "lines", "expected"),
    [
        ("records: d", ['{"d": {"i": 1}}', '{"x": 1}', '{"d": null}', '{"d": [{"i": 2}, {"i": 3}]}'], "123"),
        ("records: d/e/r", ['{"d": {"e": {"r": [{"i": 1}]}}}', '{"d": 1}'], "1"),
        (
            "records: d/*/r",
            ['{"d": {"x": {"r": [{"i": 1}]}, "y": {"r": {"i": 2}}}}', '{"d": [{"r": [{"i": 3}]}]}'],
            "123",
        ),
        ("records: d/*/r", ['{"d": 5}', '{"d": null}', '{"d": [{"r": [{"i": 1}]}]}'], "1"),
        ("records: d/*, columns: [i]", ['{"d": {"x": ["1"], "y": ["2"]}}', '{"d": [["3"], ["4"]]}'], "1234"),
    ],
)
def test_the_records_of_a_line_are_found(options: str, lines: list[str], expected: str) -> None:
    found = rows(f"json_lines: {{{options}}}\nfields: {{id: i}}", "\n".join(lines).encode())
    assert found == [{"id": number} for number in expected]


def test_each_parent_is_closed_after_its_last_member() -> None:
    closed: list[Open] = []
    document = Document(Text(iter([b'{"d": {"r": [{}]}, "x": 1}'])), set(), closed.append)
    assert len(list(document.records(parsed_path("d/r").steps, False))) == 1
    assert [parent.name for parent in closed] == ["d", ""]
