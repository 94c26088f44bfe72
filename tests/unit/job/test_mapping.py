"""A mapping is read exactly, or an error names file and line."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_job.errors import MappingError
from fanout_job.mapping import Csv, Json, JsonLines, Mapping, Rule, Xml
from fanout_job.model import Field, Model
from fanout_job.standardizer import Standardizer
from tests.unit.job.standardizing import MODEL, rows

WHOLE = """
csv:
  delimiter: ";"
  encoding: latin-1
  quote: null
decimal: ","
nulls: [n/a, null, ~, no]
timezone: Europe/Berlin
fields:
  id: Nummer
  count: {value: 007}
  price: {from: Preis, factor: 0.01, decimal: "."}
  sold: {from: Verkauft, values: {yes: true, off: false}}
  day: {from: Tag, format: "%d.%m.%Y"}
extra: {first: Vorname}
"""


def test_every_text_is_read_as_it_is_written() -> None:
    mapping = Mapping.parse(WHOLE.encode(), "acme.yaml")
    assert mapping.format_of == Csv(";", None, None, "latin-1")
    assert mapping.nulls == ("n/a", "null", "~", "no")
    assert mapping.fields["id"] == Rule(source=("Nummer",), line=10)
    assert mapping.fields["count"].value == "007"
    assert mapping.fields["price"].factor == Decimal("0.01")
    assert mapping.fields["sold"].values == {"yes": "true", "off": "false"}
    assert mapping.fields["day"].format == ("%d.%m.%Y",)
    assert mapping.extra["first"].source == ("Vorname",)


def test_options_for_all_fields_apply_unless_a_field_has_its_own() -> None:
    mapping = Mapping.parse(WHOLE.encode(), "acme.yaml")
    assert mapping.rule("price").decimal == "."
    assert mapping.rule("count").decimal == ","
    assert mapping.rule("day").timezone == "Europe/Berlin"


def test_a_mapping_in_json_equals_the_same_in_yaml() -> None:
    document = {
        "xml": {"record": "o:a", "namespaces": {"o": "urn:o"}},
        "fields": {"id": "@id", "note": {"from": "o:b", "nulls": [""]}},
    }
    as_json = Mapping.parse(json.dumps(document, indent="\t").encode(), "acme.json")
    as_yaml = Mapping.parse(
        b"xml: {record: 'o:a', namespaces: {o: urn:o}}\n\nfields:\n\n\n\n"
        b"  id: '@id'\n  note: {from: 'o:b', nulls: ['']}",
        "acme.json.yaml",
    )
    assert as_json.format_of == as_yaml.format_of == Xml("o:a", {"o": "urn:o"})
    assert as_json.rule("note").source == as_yaml.rule("note").source == ("o:b",)
    assert as_json.rule("note").nulls == as_yaml.rule("note").nulls == ("",)


@pytest.mark.parametrize(
    ("text", "how"),
    [("csv:", Csv()), ("json: {records: a/b}", Json("a/b")), ("json:", Json()), ("json_lines: {}", JsonLines())],
)
def test_a_format_needs_no_options(text: str, how: object) -> None:
    assert Mapping.parse(f"{text}\nfields: {{id: a}}".encode(), "m.yaml").format_of == how


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "m.yaml, line 1: is empty"),
        ("- a", "m.yaml, line 1: the mapping is not a map of names to values"),
        ("csv:\nfields:\n  id: [", "m.yaml, line 3: is not YAML: did not find expected node content"),
        ("csv:\nfields: {id: a}\nmore: 1", "m.yaml, line 3: the mapping has no 'more'"),
        ("fields: {id: a}", "m.yaml, line 1: has no format; set one of csv, json, json_lines, xml"),
        ("csv:\njson:\nfields: {id: a}", "m.yaml, line 1: has csv and json; set one of csv"),
        ("csv:\nfields:", "m.yaml, line 1: has no fields"),
        ("csv:\nfields:\n  id: a\n  id: b", "m.yaml, line 4: fields has 'id' twice"),
        ("csv:\nfields:\n  id: {}", "m.yaml, line 3: fields.id needs either 'from' or 'value'"),
        ("csv:\nfields:\n  id: {from: a, value: b}", "m.yaml, line 3: fields.id needs either"),
        ("csv:\nfields:\n  id: {from: a, form: b}", "m.yaml, line 3: fields.id has no 'form'; it may have"),
        ("csv:\nfields:\n  id: {from: [[a]]}", "m.yaml, line 3: fields.id.from is not a single value"),
        ("csv:\nfields:\n  id: {from: a, factor: x}", "m.yaml, line 3: fields.id.factor is 'x', not a number"),
        ("csv:\nfields:\n  id: {from: a, factor: .inf}", "m.yaml, line 3: fields.id.factor is '.inf', not a number"),
        ("csv:\nfields:\n  id: {from: a, factor: 1e-19}", "m.yaml, line 3: fields.id.factor is '1e-19', not a number"),
        ("csv:\nfields:\n  id: {from: a, factor: 1e18}", "m.yaml, line 3: fields.id.factor is '1e18', not a number"),
        ("csv:\nfields:\n  id: {from: a, trim: 1}", "m.yaml, line 3: fields.id.trim is '1', not true or false"),
        ("csv:\nfields:\n  id: {from: a, timezone: Mars}", "m.yaml, line 3: fields.id.timezone is not a time zone"),
        ("csv:\nfields:\n  id: {from: a, format: '%Q'}", "m.yaml, line 3: fields.id.format is not a format of Python"),
        ("csv:\n  skip: -1\nfields: {id: a}", "m.yaml, line 2: csv.skip is '-1', not a whole number"),
        ("csv:\n  delimiter: ;;\nfields: {id: a}", "m.yaml, line 2: csv.delimiter is not one ASCII character"),
        ("csv:\n  encoding: klingon\nfields: {id: a}", "m.yaml, line 2: csv.encoding is not a text encoding"),
        ("csv:\n  encoding: base64\nfields: {id: a}", "m.yaml, line 2: csv.encoding is not a text encoding"),
        ("xml: {}\nfields: {id: a}", "m.yaml, line 1: xml lacks 'record'"),
        ("a: &x 1\nb: *x", "m.yaml, line 2: has an alias"),
        ("csv:\nfields: {[a]: b}", "m.yaml, line 2: fields has a name that is not a text"),
        ("{a: " * 100, "m.yaml, line 1: is nested too deeply"),
        ("a: \x01", "m.yaml, line 1: is not YAML: it has an invalid character"),
        ("#" * (2**20 + 1), "m.yaml, line 1: has more than 262144 bytes"),
    ],
)
def test_the_error_of_a_mapping_names_the_fault_and_its_line(text: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        Mapping.parse(text.encode(), "m.yaml")
    assert str(caught.value).startswith(message)


def test_the_error_of_invalid_json_names_its_line() -> None:
    with pytest.raises(MappingError, match=r"m.json, line 2: is not JSON: Expecting property name"):
        Mapping.parse(b'{"csv": {},\n}', "m.json")
    with pytest.raises(MappingError, match=r"m.json, line 1: is not UTF-8 text"):
        Mapping.parse(b"\xff", "m.json")
    with pytest.raises(MappingError, match=r"m.json, line 1: is nested too deeply"):
        Mapping.parse(b"[" * 100_000, "m.json")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("id: a\n  ID: b", "m.yaml, line 4: 'ID' is not a field of the model things, which has id, count, price"),
        ("id: a\nextra:\n  note: b", "m.yaml, line 5: 'note' is a field of the model things"),
        ("note: a", "m.yaml, line 1: fields lacks id, which the model requires"),
        ("id: a\n  count: {value: few}", "m.yaml, line 4: count's value is not a valid integer"),
    ],
)
def test_a_mapping_that_does_not_match_the_model_is_rejected(fields: str, message: str) -> None:
    with pytest.raises(MappingError) as caught:
        Standardizer(Mapping.parse(f"csv:\nfields:\n  {fields}".encode(), "m.yaml"), MODEL)
    assert str(caught.value).startswith(message)


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_a_mapping_or_a_mapping_error(raw: bytes) -> None:
    for name in ("m.yaml", "m.json"):
        with contextlib.suppress(MappingError):
            assert Mapping.parse(raw, name).fields


def test_a_constant_is_in_every_row_and_a_field_without_a_rule_is_empty() -> None:
    assert rows("csv:\nfields: {id: a, price: {value: 1.5}}", b"a\n1\n2") == [
        {"id": "1", "price": Decimal("1.50")},
        {"id": "2", "price": Decimal("1.50")},
    ]


TRANSFORMED = "csv:\nfields: {id: a, count: b}\nextra: {first: c, last: d}"
DATA = b"a,b,c,d\n1,1,x,y\n2,,x,y\n3,3,,y\n4,x,x,y\n5,0,x,y"


def test_a_transform_can_change_drop_and_reject_rows() -> None:
    def transform(record: dict[str, object]) -> dict[str, object] | None:
        if record["count"] == 3:
            return None
        inverse = 10 // record["count"]  # type: ignore[operator]
        return record | {"note": f"{record['first']} {record['last']}", "count": inverse}

    first, *others = rows(TRANSFORMED, DATA, transform=transform)
    assert first == {"id": "1", "count": 10, "note": "x y"}
    assert [str(row).partition(" at ")[0] for row in others] == [
        "sample, row 2: transform, or what it returned, raised TypeError",
        "sample, row 4: count (from 'b') is not a valid integer",
        "sample, row 5: transform, or what it returned, raised ZeroDivisionError",
    ]


def test_the_values_that_a_transform_returns_must_match_the_model() -> None:
    found = rows(TRANSFORMED, DATA.splitlines()[0] + b"\n1,1,x,y", transform=lambda record: record | {"count": "one"})
    assert str(found[0]).startswith("sample, row 1: transform, or what it returned, raised Arrow")
    found = rows(TRANSFORMED, DATA.splitlines()[0] + b"\n1,1,x,y", transform=lambda record: {"note": "y"})
    assert found == ["sample, row 1: id has no value, and the model requires one"]
    found = rows(TRANSFORMED, DATA.splitlines()[0] + b"\n1,1,x,y", transform=lambda record: record | {"nte": "y"})
    assert found == ["sample, row 1: transform returned nte: not in the model"]


def test_an_invalid_string_makes_a_bad_row_before_the_transform() -> None:
    found = rows(TRANSFORMED, b"a,b,c,d\n1,1,\xff,y\n2,2,x,y", transform=lambda record: record)
    assert found == ["sample, row 1: first (from 'c') is not a valid string", {"id": "2", "count": 2}]


def test_the_error_of_an_unknown_type_names_the_types_of_a_model() -> None:
    with pytest.raises(ValueError, match=r"'number' is not one of the model's types: string, integer"):
        _ = Model("m", {"a": Field("number", "")}).schema


@pytest.mark.parametrize("key", ["a/b.csv", "a-b.csv", "_a.csv", ".a.csv", "/a.csv", "a?b.csv", "x" * 900, "ż", "-"])
def test_a_source_has_its_own_output_file_that_readers_do_not_hide(key: str) -> None:
    def output(source: str) -> str:
        return MODEL.output_key("acme", f"in/provider=acme/{source}")

    folder, _, name = output(key).rpartition("/")
    assert folder == "standard/model=things/provider=acme"
    assert name[0] not in "._"
    assert len(name) < 200
    assert output(key) == output(key) != output(f"{key}0")
    assert len({output(other) for other in ("a/b.csv", "a-b.csv", "a_b.csv", "a?b.csv")}) == 4


def test_only_required_columns_and_the_provenance_of_a_row_are_never_empty() -> None:
    schema = MODEL.schema

    assert [field.name for field in schema if not field.nullable] == ["id", "_source", "_row", "_run"]
    assert [str(schema.field(name).type) for name in ("_source", "_row", "_run")] == ["string", "int64", "string"]
