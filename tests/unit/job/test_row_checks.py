"""The checks of a mapping make rows or objects bad."""

from __future__ import annotations

import io
from typing import Any

import pytest

from fanout_job import row_checks, standard
from fanout_job.errors import CheckFailedError, CorruptObjectError, MappingError, RowError, TransformError
from fanout_job.mapping import Mapping
from fanout_job.standardizer import Standardizer
from tests.unit.job.standardizing import MODEL, rows

CSV = b"a,b\n1,5\n2,\n3,50\n1,7\n"


def checked(option: str, field: str = "count", more: str = "", data: bytes = CSV) -> list[Any]:
    found = rows(f"csv:\n{more}fields:\n  id: a\n  {field}: {{from: b, {option}}}", data)
    return [row if isinstance(row, str) else row.get(field) for row in found]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("required: true", [5, "sample, row 2: count has no value, and the mapping requires one", 50, 7]),
        ("min: 6", ["sample, row 1: count is less than 6", None, 50, 7]),
        ("max: 49", [5, None, "sample, row 3: count is greater than 49", 7]),
        ("min: 5, max: 50", [5, None, 50, 7]),
        (
            "factor: 10, max: 50",
            [50, None, "sample, row 3: count is greater than 50", "sample, row 4: count is greater than 50"],
        ),
    ],
)
def test_a_value_out_of_its_range_or_missing_makes_a_bad_row(option: str, expected: list[Any]) -> None:
    assert checked(option) == expected


def test_an_invalid_value_is_not_a_missing_one() -> None:
    assert checked("required: true", data=b"a,b\n1,x\n") == ["sample, row 1: count (from 'b') is not a valid integer"]


def test_a_range_of_dates_and_a_pattern() -> None:
    days = b"a,b\n1,2024-01-01\n2,2024-02-01\n"
    assert checked("min: 2024-01-02", "day", data=days)[0] == "sample, row 1: day is less than 2024-01-02"
    texts = b"a,b\n1,AB-12\n2,ab-12\n3,AB-123\n4,\n"
    wrong = "note does not match its pattern"
    expected = ["AB-12", f"sample, row 2: {wrong}", f"sample, row 3: {wrong}", None]
    assert checked("pattern: '[A-Z]{2}-\\d{2}'", "note", data=texts) == expected


def test_a_repeated_value_of_a_unique_field_makes_a_bad_row(monkeypatch: pytest.MonkeyPatch) -> None:
    how = "csv:\nfields: {id: {from: a, unique: true}}"
    same = "sample, row 4: id has the same value as an earlier row, and must be unique"
    assert rows(how, CSV) == [{"id": "1"}, {"id": "2"}, {"id": "3"}, same]
    monkeypatch.setattr(row_checks, "MAX_UNIQUE_BYTES", 150)
    with pytest.raises(CheckFailedError, match="sample: has too many different values of id"):
        rows(how, CSV)


def test_rows_without_a_value_are_not_equal() -> None:
    same = "count has the same value as an earlier row, and must be unique"
    found = checked("unique: true", data=b"a,b\n1,\n2,\n3,5\n4,5\n5,5\n")
    assert found == [None, None, 5, f"sample, row 4: {same}", f"sample, row 5: {same}"]


@pytest.mark.parametrize(
    ("field", "data", "size"), [("note", b"a,b\n1,xyz\n2,xyz\n3,x\n", 204), ("count", b"a,b\n1,5\n2,5\n3,7\n", 200)]
)
def test_different_values_of_a_unique_field_are_limited(
    field: str, data: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_checks, "MAX_UNIQUE_BYTES", size)
    assert len(checked("unique: true", field, data=data)) == 3
    monkeypatch.setattr(row_checks, "MAX_UNIQUE_BYTES", size - 1)
    with pytest.raises(CheckFailedError, match=f"too many different values of {field}"):
        checked("unique: true", field, data=data)


def test_a_failed_check_makes_the_object_bad_if_the_mapping_says_so() -> None:
    with pytest.raises(CheckFailedError, match="sample, row 3: count is greater than 49"):
        checked("max: 49", more="failed_check: object\n")


def test_a_bad_row_counts_as_one() -> None:
    data = CSV + b"1\n"
    assert len(checked("min: 0", more="min_rows: 5\nmax_rows: 5\n", data=data)) == 5
    with pytest.raises(CheckFailedError, match="sample: has 5 rows, fewer than 6"):
        checked("min: 0", more="min_rows: 6\n", data=data)


def test_an_object_with_too_few_or_too_many_rows_is_bad() -> None:
    assert len(checked("min: 0", more="min_rows: 4\nmax_rows: 4\n")) == 4
    with pytest.raises(CheckFailedError, match="sample: has 4 rows, fewer than 5"):
        checked("min: 0", more="min_rows: 5\n")
    with pytest.raises(CheckFailedError, match="sample: has more than 3 rows"):
        checked("min: 0", more="max_rows: 3\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("count: {from: b, min: x}", "count cannot be compared with 'x'"),
        ("sold: {from: b, max: true}", "sold cannot be compared with 'true'"),
        ("count: {from: b, pattern: x}", "count is not a string, so it has no pattern"),
        ("note: {from: b, pattern: '('}", "note has a pattern that is not a regular expression"),
    ],
)
def test_a_check_that_does_not_fit_is_rejected_with_its_line(line: str, message: str) -> None:
    with pytest.raises(MappingError, match=f"m.yaml, line 4: {message}"):
        Standardizer(Mapping.parse(f"csv:\nfields:\n  id: a\n  {line}".encode(), "m.yaml"), MODEL)


def test_additional_fields_are_only_read_for_a_transform() -> None:
    how = "csv:\nfields: {id: a}\nextra: {more: c}"
    assert rows(how, b"a\n1\n") == [{"id": "1"}]
    with pytest.raises(CorruptObjectError, match="its header has no column 'c'"):
        rows(how, b"a\n1\n", transform=lambda record: record)


def test_the_error_of_a_bad_row_has_what_its_check_shows() -> None:
    def transform(record: dict[str, Any]) -> dict[str, Any]:
        return {"id": record["missing"]}

    mapping = Mapping.parse(b"csv:\nfields: {id: a, day: {from: b, format: '%d.%m.%Y'}}", "m.yaml")
    sample = io.BytesIO(b"a,b,c\n1,2024-01-01,x\n2,,\n")
    (_, bad), (_, failed) = standard.check(mapping, MODEL, sample, "sample", transform)
    assert isinstance(bad, RowError)
    assert bad.values == {"b": "2024-01-01"}
    assert "%d.%m.%Y" in bad.tried
    assert isinstance(failed, TransformError)
    assert isinstance(failed.__context__, KeyError)


def test_a_transform_gets_the_name_of_the_provider_and_may_fill_required_fields() -> None:
    def transform(record: dict[str, Any]) -> dict[str, Any]:
        return record | {"id": f"{record['_provider']}!"}

    mapping = Mapping.parse(b"csv:\nfields: {count: b}", "m.yaml")
    with pytest.raises(MappingError, match="fields lacks id, which the model requires"):
        Standardizer(mapping, MODEL)
    [table] = Standardizer(mapping, MODEL, transform, "acme").rows(iter([b"b\n1\n"]), lambda error, content: None)
    assert table["id"].to_pylist() == ["acme!"]
