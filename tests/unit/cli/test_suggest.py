"""`fanout mapping suggest` on public documents: the mapping passes the check, and few lines need an edit."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest

from cli.suggest.layouts import encoding_of, layouts
from cli.suggest.matching import Suggestion, suggest
from fanout_job import standard
from fanout_job.archives import unpacked
from fanout_job.mapping import Mapping
from fanout_job.model import Field, Model
from tests.unit.job.documents import DOCUMENTS, TABLES
from tests.unit.job.test_public_documents import READINGS

NAMES = [name for name in TABLES if name != "osm tags"]  # the same file as "osm", for another table

EDITS: dict[str, list[str]] = {
    "ubl": [
        "order_id: ../cbc:ID",
        "customer: ../cac:AccountingCustomerParty/cac:Party/cac:PartyName/cbc:Name",
        "country: ../cac:AccountingCustomerParty/cac:Party/cac:PostalAddress/cac:Country/cbc:IdentificationCode",
    ],
    "camt.053": [
        "timezone: Europe/Berlin",
        "text: {from: [NtryDtls/TxDtls/RmtInf/Ustrd, AddtlNtryInf], join: ' '}",
        "note: ../AddtlStmtInf",
    ],
    "gtfs": ["runs: {from: exception_type, values: {'1': true, '2': false}}"],
    "rss": ["feed: ../title"],
    "atom": ["feed: ../title"],
    "osm": ["name: [\"tag[@k='name:en']/@v\", \"tag[@k='name']/@v\"]", "kind: tag[@k='amenity']/@v"],
    "geojson": ["layer: /name"],
    "socrata": [],
    "orders": [
        "order_id: ../name",
        "customer: ../customer/last_name",
        "weight_kg: {from: grams, factor: 0.001}",
    ],
    "french csv": [],
    "german csv": ["name: {from: name, trim: true}"],
    "excel": ["timezone: Europe/Berlin"],
    "log": ["tags: {from: tags/*, join: ','}"],
}
"""The lines that must be changed or added in a suggested mapping, so that its table is the wanted one."""


def suggestion(name: str) -> Suggestion:
    file, _, model = TABLES[name]
    return suggest([b"".join(unpacked(iter([(DOCUMENTS / file).read_bytes()]), file))], model, file)


def table(name: str, mapping: str) -> list[Any]:
    file, _, model = TABLES[name]
    sample = io.BytesIO((DOCUMENTS / file).read_bytes())
    return [row for _, row in standard.check(Mapping.parse(mapping.encode(), "m.yaml"), model, sample, file)]


def edited(mapping: str, edits: list[str]) -> str:
    for edit in edits:
        name = edit.split(":")[0]
        if name == "timezone":
            mapping = f"{edit}\n{mapping}"
            continue
        lines = [line for line in mapping.splitlines() if not re.match(rf"  (# )?{name}: ", line)]
        mapping = "\n".join([*lines, f"  {edit}", ""])
    return mapping


@pytest.mark.parametrize("name", NAMES)
def test_a_suggested_mapping_passes_the_check_without_an_edit(name: str) -> None:
    rows = table(name, suggestion(name).mapping)
    assert len(rows) == len(list(READINGS[name]()))
    assert [str(row) for row in rows if isinstance(row, Exception)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_few_edits_of_a_suggested_mapping_give_the_wanted_table(name: str) -> None:
    assert table(name, edited(suggestion(name).mapping, EDITS[name])) == list(READINGS[name]())


def test_at_most_three_lines_of_each_mapping_need_an_edit() -> None:
    assert sorted(EDITS) == sorted(NAMES)
    assert {name: len(edits) for name, edits in EDITS.items() if len(edits) > 3} == {}


def test_an_id_without_a_name_of_its_own_is_that_of_its_element() -> None:
    model = Model("m", {name: Field("string", "") for name in ("parcel", "customer", "weight")})
    part = "<part><weight>1</weight></part>"
    parcel = f"<parcel><id>p1</id><customer><id>c1</id></customer>{part * 2}</parcel>"
    found = suggest([f"<all>{parcel * 2}</all>".encode()], model, "a.xml")
    fields = [line for line in found.mapping.splitlines() if line.startswith("  ") and "#" not in line]
    assert fields == ['  parcel: "../id"', '  customer: "../customer/id"', "  weight: weight"]


def test_doubts_are_comments_and_missing_required_fields_are_named() -> None:
    model = Model("m", {"order_id": Field("string", "", required=True), "sold_on": Field("date", "", required=True)})
    found = suggest([b"order number;when\n1;01/02/2024\n"], model, "a.csv")
    assert found.mapping == (
        "# Suggested from a.csv. Try it with `fanout mapping check`.\n"
        'csv: {delimiter: ";"}\n'
        "fields:\n"
        "  order_id: order number\n"
        "  # sold_on: no source field was found for this date, which the model requires\n"
    )
    assert found.unsure == ("sold_on has no source field",)


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (b"a,b\n1,2\n", "csv:"),
        (b"a\tb\n1\t2\n", 'csv: {delimiter: "\\t"}'),
        ("a;b\n1;ü\n".encode("cp1252"), 'csv: {delimiter: ";", encoding: cp1252}'),
        (b"title\n\na;b\n1;2\nTotal;2\n", 'csv: {delimiter: ";", skip: 1, footer: [Total]}'),
        (b'{"a": 1}\n{"a": 2}\n', "json_lines:"),
        (b'[{"a": 1}]', "json:"),
        (b"<x><r a='1'/><r a='2'/></x>", "xml: {record: r}"),
    ],
)
def test_the_format_of_a_sample_is_recognized(data: bytes, form: str) -> None:
    assert form in [layout.form[0] for layout in layouts(data)]


def test_the_encoding_is_that_of_the_mark_or_the_first_that_fits() -> None:
    assert [encoding_of(data) for data in (b"a", "ü".encode(), b"\xfc----", "a".encode("utf-16"))] == [
        "utf-8",
        "utf-8",
        "cp1252",
        "utf-16",
    ]


def test_samples_of_one_provider_are_read_together() -> None:
    model = Model("m", {"id": Field("string", ""), "note": Field("string", "")})
    found = suggest([json.dumps([{"id": 1}]).encode(), json.dumps([{"id": 2, "note": "x"}]).encode()], model, "a.json")
    assert found.mapping.splitlines()[-2:] == ["  id: id", "  note: note"]
