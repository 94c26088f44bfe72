"""Paths lead to parents, repeated elements and chosen ones, in JSON and XML alike; the rows stay exact and in order."""

from __future__ import annotations

import itertools
import json
import re
from decimal import Decimal
from typing import Any

import pytest

from fanout_job.errors import CorruptObjectError, MappingError
from fanout_job.mapping import Mapping
from fanout_job.mapping_formats import Json, Xml
from fanout_job.paths import Path, Step, parsed_path
from fanout_job.standardizer import Standardizer
from fanout_job.xml_source import xml_blocks
from tests.unit.job.standardizing import MODEL, Row, rows, sources


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (".", Path(())),
        ("a/b", Path((Step("a"), Step("b")))),
        ("../../a", Path((Step("a"),), up=2)),
        ("../.", Path((), up=1)),
        ("/a/@b", Path((Step("a"), Step("@b")), absolute=True)),
        ("tag[@k='it''s']/@v", Path((Step("tag", ("@k", "it's")), Step("@v")))),
        ("'a/b'/'[c]'", Path((Step("a/b"), Step("[c]")))),
        ("a/*/key()", Path((Step("a"), Step("", every=True), Step("", key=True)))),
        ("log.level", Path((Step("log.level"),))),
    ],
)
def test_a_path_consists_of_steps(text: str, path: Path) -> None:
    assert parsed_path(text) == path


@pytest.mark.parametrize(
    "text", ["", "/", "a/", "a//b", "a/../b", "a[b]", "a[b='c", "a]", "'a", "key()/a", "..", "a/.", "/../a"]
)
def test_other_texts_are_rejected_with_the_line_of_the_mapping(text: str) -> None:
    mapping = Mapping.parse(f"json:\nfields:\n  id: {json.dumps(text)}".encode(), "m.yaml")
    with pytest.raises(MappingError, match=r"m.yaml, line 3: id: .* is not a path such as buyer/name"):
        Standardizer(mapping, MODEL)


ORDERS = """[
  {"no": 7, "lines": [{"sku": "a", "q": 1}, {"sku": "b", "q": 2}], "currency": "EUR"},
  {"no": 8, "lines": [], "currency": "GBP"},
  {"no": 9, "lines": [{"sku": "c", "q": 3}]}
]"""
LINE_FIELDS = "fields: {id: ../no, count: q, note: [../currency, sku]}"
LINES = [
    {"id": "7", "count": 1, "note": "EUR"},
    {"id": "7", "count": 2, "note": "EUR"},
    {"id": "9", "count": 3, "note": "c"},
]


@pytest.mark.parametrize(
    ("how", "data"),
    [
        ("json: {records: '*/lines'}", ORDERS),
        ("json: {records: d/o/*/lines}", f'{{"d": {{"x": 1, "o": {ORDERS}}}}}'),
        ("json: {records: '*/lines', concatenated: true}", "\n".join(json.dumps([one]) for one in json.loads(ORDERS))),
        ("json_lines: {records: lines}", "\n".join(map(json.dumps, json.loads(ORDERS)))),
        ("json: {records: '*/*/lines'}", json.dumps({"x": json.loads(ORDERS)[:2], "y": json.loads(ORDERS)[2:]})),
    ],
)
def test_an_element_of_a_nested_array_is_a_row_with_fields_of_its_parent(how: str, data: str) -> None:
    assert rows(f"{how}\n{LINE_FIELDS}", data.encode()) == LINES


ORDER_XML = """<x xmlns="urn:o"><shop>S</shop>
<order no="7"><line q="1"><sku>a</sku></line><line q="2"><sku>b</sku></line><currency>EUR</currency></order>
<order no="8"><currency>GBP</currency></order><order no="9"><line q="3"><sku>c</sku></line></order>
<site>W</site></x>"""
ORDER_MAPPING = (
    "xml: {record: line, namespaces: {'': 'urn:o'}}\nfields: {id: ../@no, count: '@q', note: [../currency, sku]}"
)


def test_an_element_of_xml_is_a_row_with_fields_of_its_parent_before_and_after_it() -> None:
    assert rows(ORDER_MAPPING, ORDER_XML.encode()) == LINES
    far = ORDER_MAPPING.replace("[../currency, sku]", "/x/shop")
    assert [row["note"] for row in rows(far, ORDER_XML.encode()) if isinstance(row, dict)] == ["S"] * 3
    for path in ("/x/none", "/none"):
        none = ORDER_MAPPING.replace("[../currency, sku]", path)
        assert rows(none, ORDER_XML.encode()) == [{"id": row["id"], "count": row["count"]} for row in LINES]
    late = ORDER_MAPPING.replace("[../currency, sku]", "../../site")
    assert [row["note"] for row in rows(late, ORDER_XML.encode()) if isinstance(row, dict)] == ["W"] * 3


@pytest.mark.parametrize("size", [1, 7, 64])
def test_rows_that_wait_for_their_parents_keep_their_order(size: int) -> None:
    data = ORDER_XML.encode()
    pieces = iter([data[start : start + size] for start in range(0, len(data), size)])
    wanted = sources("../@no", "../currency", "/x/site", "sku")
    how = Xml("line", {"": "urn:o"})
    blocks = list(xml_blocks(pieces, how, wanted, lambda error, content: None))
    numbers = list(itertools.chain(*(block.numbers.to_pylist() for block in blocks)))
    found = [list(itertools.chain(*(block.columns[source].to_pylist() for block in blocks))) for source in wanted]
    assert numbers == [1, 2, 3]
    assert found == [["7", "7", "9"], ["EUR", "EUR", None], ["W", "W", "W"], ["a", "b", "c"]]


def test_a_path_from_the_document_follows_the_parents_of_the_record() -> None:
    data = b"<d><s><no>1</no><e>a</e><e>b</e></s><s><no>2</no><e>c</e></s></d>"
    assert rows("xml: {record: s/e}\nfields: {id: ., note: /d/s/no}", data) == [
        {"id": "a", "note": "1"},
        {"id": "b", "note": "1"},
        {"id": "c", "note": "2"},
    ]


def test_a_path_from_the_document_with_a_condition_does_not_follow_the_parents_of_the_record() -> None:
    data = b"<d><s k='x'><no>1</no></s><s k='y'><no>2</no><e>a</e></s></d>"
    for path, no in [("/d/s[@k='x']/no", "1"), ("/d/s/no", "2")]:
        assert rows(f'xml: {{record: s/e}}\nfields: {{id: ., note: "{path}"}}', data) == [{"id": "a", "note": no}]


def test_a_path_from_the_document_may_lead_into_the_record() -> None:
    data = b"<d><e i='1'><n>a</n></e><e i='2'/><e i='3'><n>c</n></e></d>"
    assert rows("xml: {record: e}\nfields: {id: '@i', note: /d/e/n}", data) == [
        {"id": "1", "note": "a"},
        {"id": "2"},
        {"id": "3", "note": "c"},
    ]


def test_records_are_no_field_of_their_parent() -> None:
    how = "xml: {record: e}\nfields: {id: '@i', note: ../e}"
    assert rows(how, b"<d><e i='1'>a</e><e i='2'>b</e></d>") == [{"id": "1"}, {"id": "2"}]


def test_a_record_may_be_named_with_its_parents() -> None:
    data = b"<osm><node><tag k='1'/></node><way><tag k='2'/></way></osm>"
    assert rows("xml: {record: way/tag}\nfields: {id: '@k'}", data) == [{"id": "2"}]


TWICE = b"<d><n>1</n><e>a</e><n>2</n></d>"


@pytest.mark.parametrize(
    ("how", "data"),
    [
        ("xml: {record: e}\nfields: {id: ., note: ../n}", TWICE),
        ("json: {records: e}\nfields: {id: i, note: ../n}", b'{"n": 1, "e": [{"i": 1}], "n": 2}'),
    ],
)
def test_a_field_of_a_parent_that_has_two_values_makes_a_bad_object(how: str, data: bytes) -> None:
    with pytest.raises(CorruptObjectError, match=r"has '../n' more than once, after rows that use it|has 'n' twice"):
        rows(how, data)


def test_a_field_of_a_parent_that_has_two_values_before_the_record_makes_a_bad_row() -> None:
    data = b"<d><n>1</n><n>2</n><e>a</e></d>"
    found = rows("xml: {record: e}\nfields: {id: ., note: ../n}", data)
    assert found == ["sample, row 1: has '../n' more than once"]


@pytest.mark.parametrize(("choice", "note"), [("take: first", "1"), ("take: last", "2"), ("join: '+'", "1+2")])
def test_of_several_values_of_a_parent_before_and_after_the_record_one_is_taken(choice: str, note: str) -> None:
    assert rows(f"xml: {{record: e}}\nfields: {{id: ., note: {{from: ../n, {choice}}}}}", TWICE) == [
        {"id": "a", "note": note}
    ]


def test_too_many_rows_before_a_field_of_their_parent_make_a_bad_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanout_job.parents.MAX_WAITING_CHARACTERS", 10_000)
    records = b"".join(b"<e>%d</e>" % number for number in range(1_000))
    how = "xml: {record: e}\nfields: {id: ., note: ../n}"
    assert len(rows(how, b"<d><n>1</n>" + records + b"</d>")) == 1_000
    with pytest.raises(CorruptObjectError, match=r"before the end of their parent, and no value yet for one of '../n'"):
        rows(how, b"<d>" + records + b"<n>1</n></d>")


def test_a_path_above_the_document_makes_bad_rows() -> None:
    assert rows("json:\nfields: {id: ../a}", b'[{"a": 1}]') == [
        "sample, row 1: has a path that leads out of the document"
    ]


TAGS: dict[str, Any] = {
    "tags": [{"k": "name", "v": "N"}, {"k": "id", "v": "I"}, {"k": "n", "v": "A"}, {"k": "n", "v": "B"}]
}
TAGS_XML = b"<r><a>x</a><a>y</a><tags k='name' v='N'/><tags k='id' v='I'/><tags k='n' v='A'/><tags k='n' v='B'/></r>"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("tags[@k='name']/@v", "N"),
        ("tags[@k='other']/@v", None),
        ("{from: tags[@k='n']/@v, take: first}", "A"),
        ("{from: tags[@k='n']/@v, take: last}", "B"),
        ("{from: tags[@k='n']/@v, join: ', '}", "A, B"),
        ("[tags[@k='other']/@v, tags[@k='name']/@v]", "N"),
        ("{from: [tags[@k='other']/@v, tags[@k='n']/@v], take: last}", "B"),
    ],
)
def test_an_element_is_chosen_by_an_attribute_or_key_and_of_several_values_one_is_taken(
    field: str, expected: str | None
) -> None:
    row: Row = {"id": "I"} | ({"note": expected} if expected else {})
    quoted = re.sub(r"tags\[[^,}]*/@v", r'"\g<0>"', field)
    xml = f"xml: {{record: r}}\nfields: {{id: \"tags[@k='id']/@v\", note: {quoted}}}"
    assert rows(xml, TAGS_XML) == [row]
    assert rows(xml.replace("xml: {record: r}", "json:").replace("@", ""), json.dumps(TAGS).encode()) == [row]


BOTH = [{"k": False, "v": "a"}, {"k": True, "v": "b"}]


@pytest.mark.parametrize(
    ("path", "value", "note"),
    [
        ("n/*/v", [{"v": None}, {"v": "a"}, {}], "a"),
        ("n/*/v", {"x": {"v": "a"}}, "a"),
        ("n/*", "abc", None),
        ("n[k='x']", "abc", None),
        ("n[k='x']/v", {"k": "x", "v": "a"}, "a"),
        ("n[k='x']/v", ["x", {"k": "x", "v": "a"}], "a"),
        ("n[k='false']/v", BOTH, "a"),
        ("n[k='true']/v", BOTH, "b"),
        ("n/0", "abc", None),
        ("n/x", ["abc"], None),
        ("n/0", [None], None),
        ("n/0", [False], "false"),
        ("n/0", [True], "true"),
        ("n/000000000", ["a"], "a"),
        ("n/0000000000", ["a"], None),
    ],
)
def test_a_path_in_a_json_record_leads_to_one_value_or_none(path: str, value: Any, note: str | None) -> None:
    how = f"json_lines:\nfields: {{id: id, note: {json.dumps(path)}}}"
    data = json.dumps({"id": 1, "n": value}).encode()
    assert rows(how, data) == [{"id": "1"} | ({"note": note} if note else {})]


def test_several_values_without_a_choice_make_a_bad_row() -> None:
    assert rows("xml: {record: r}\nfields: {id: a}", TAGS_XML) == ["sample, row 1: has 'a' more than once"]
    assert rows("json:\nfields: {id: tags/*/k}", json.dumps(TAGS).encode()) == [
        "sample, row 1: has 'tags/*/k' more than once"
    ]


def test_an_element_may_be_chosen_by_its_child() -> None:
    data = b"<r><p><role>S</role><n>1</n></p><p><n>2</n><role>B</role></p></r>"
    assert rows("xml: {record: r}\nfields: {id: \"p[role='B']/n\"}", data) == [{"id": "2"}]


@pytest.mark.parametrize(
    ("how", "data", "expected"),
    [
        (
            "json: {records: rates/*}\nfields: {id: key(), price: ., note: /base}",
            {"base": "EUR", "rates": {"USD": 1.08, "GBP": 0.85}},
            [
                {"id": "USD", "price": Decimal("1.08"), "note": "EUR"},
                {"id": "GBP", "price": Decimal("0.85"), "note": "EUR"},
            ],
        ),
        (
            "json: {records: '*/l'}\nfields: {id: ../key(), count: n}",
            {"x": {"l": [{"n": 1}, {"n": 2}]}, "y": {"l": [{"n": 3}]}},
            [{"id": "x", "count": 1}, {"id": "x", "count": 2}, {"id": "y", "count": 3}],
        ),
        (
            "json: {records: data, header: /meta/columns/*/name}\nfields: {id: a, count: n}",
            {"meta": {"columns": [{"name": "n"}, {"name": "a"}]}, "data": [[1, "x"], [2, "y"], [3]]},
            [{"id": "x", "count": 1}, {"id": "y", "count": 2}, "sample, row 3: has 1 values, not 2"],
        ),
        ("json: {header: first}\nfields: {id: a}", [["a", "b"], [1, 2]], [{"id": "1"}]),
        ("json: {columns: [a, b]}\nfields: {id: b}", [[1, 2]], [{"id": "2"}]),
        ("json: {columns: [a, b]}\nfields: {id: b}", {"a": 1, "b": 2}, [{"id": "2"}]),
        ("json:\nfields: {id: '*'}", [{"a": 1}, ["x"]], [{"id": "1"}, {"id": "x"}]),
        ("json:\nfields: {id: id}", {"id": True}, [{"id": "true"}]),
        ("json:\nfields: {id: id}", {"id": {}}, ["sample, row 1: 'id' is an object, not a single value"]),
        ("json:\nfields: {id: n/x}", {"n": "a"}, ["sample, row 1: id has no value, and the model requires one"]),
        ("json:\nfields: {id: '0', note: x}", [["a"]], ["sample, row 1: is JSON, but not an object"]),
        ("json:\nfields: {id: '1', note: '0'}", [["x", "y"]], [{"id": "y", "note": "x"}]),
        ("json:\nfields: {id: log.level}", [{"log.level": "e", "log": {"level": "x"}}], [{"id": "e"}]),
    ],
)
def test_a_shape_of_json_is_read(how: str, data: Any, expected: list[Row]) -> None:
    assert rows(how, json.dumps(data).encode()) == expected


@pytest.mark.parametrize("names", [["a", "a"], ["a", ""], ["a", None], ["a", ["b"]]])
def test_a_header_without_different_names_makes_a_bad_object(names: list[Any]) -> None:
    with pytest.raises(CorruptObjectError, match="has no list of different column names in its first record"):
        rows("json: {header: first}\nfields: {id: a}", json.dumps([names, [1, 2]]).encode())


def test_a_header_after_its_records_makes_a_bad_object() -> None:
    with pytest.raises(CorruptObjectError, match=r"has no list of different column names in '/m', before its records"):
        rows("json: {records: d, header: /m}\nfields: {id: a}", b'{"d": [[1]], "m": "a"}')


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_json_of_another_encoding_is_recognized_by_its_byte_order_mark(encoding: str) -> None:
    assert rows("json:\nfields: {id: a}", '[{"a": "ż"}]'.encode(encoding)) == [{"id": "ż"}]
    assert rows("json_lines:\nfields: {id: a}", '{"a": "ż"}\n{"a": "b"}'.encode(encoding)) == [{"id": "ż"}, {"id": "b"}]
    latin = "json_lines: {encoding: latin-1}\nfields: {id: a}"
    assert rows(latin, '{"a": "é"}'.encode("latin-1")) == [{"id": "é"}]


def test_alternatives_of_csv_are_aliases_and_a_column_may_be_optional() -> None:
    how = "csv:\nfields: {id: [No, Number], note: {from: Note, optional: true}}"
    assert rows(how, b"Number\n1\n") == rows(how, b"No,x\n1,\n") == [{"id": "1"}]
    assert rows(how, b"No,Number,Note\n,2,n\n1,2,\n") == [{"id": "2", "note": "n"}, {"id": "1"}]
    with pytest.raises(CorruptObjectError, match="its header has no column 'No' or 'Number'"):
        rows(how, b"Note\nx\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("csv:\nfields:\n  id: {from: a, take: last}", "id: 'a' is not a path, so it has neither"),
        ("json:\nfields:\n  id: {from: a, take: any}", "fields.id.take is not 'first' or 'last'"),
        ("json:\nfields:\n  id: {from: a, take: last, join: x}", "fields.id has both 'take' and 'join'"),
        ("json: {records: ../a}\nfields:\n  id: a", "json.records is not a path to the records"),
        ("json: {header: a}\nfields:\n  id: a", "json.header is not 'first' or a path from the document"),
        ("json: {header: first, columns: [a]}\nfields:\n  id: a", "json has both 'columns' and 'header'"),
        ("xml: {record: a/@b}\nfields:\n  id: a", "xml.record is not the name of an element"),
        ("xml: {record: a}\nfields:\n  id: a/*/b", "id: 'a/*/b' is not a path in XML, which has neither"),
        ("xml: {record: a}\nfields:\n  id: '@a/b'", "id: '@a/b' is not a path in XML: an attribute may only be"),
    ],
)
def test_options_that_do_not_fit_are_rejected_when_the_mapping_is_read(text: str, message: str) -> None:
    with pytest.raises(MappingError, match=r"m.yaml, line \d: " + message.replace("*", r"\*")):
        Standardizer(Mapping.parse(text.encode(), "m.yaml"), MODEL)


def test_json_and_json_lines_have_the_same_options() -> None:
    assert Mapping.parse(b"json: {records: a}\nfields: {id: a}", "m.yaml").format_of == Json("a")
