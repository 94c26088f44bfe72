"""Texts become exact values of the model's types, or bad rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_job.columns import conversion, tried_format
from fanout_job.mapping import Rule
from fanout_job.model import Field
from tests.unit.job.standardizing import column


@pytest.mark.parametrize(
    ("field", "spelled", "text", "value"),
    [
        ("price", "", "12.5", Decimal("12.50")),
        ("price", "", " 12.50\t", Decimal("12.50")),
        ("price", "", "12.505", "bad"),
        ("price", "", "12,50", "bad"),
        ("price", "", "1e2", Decimal("100.00")),
        ("price", "", "99999999999.99", "bad"),
        ("price", "", "NaN", "bad"),
        ("price", "", "", None),
        ("price", "nulls: [n/a, '-']", "n/a", None),
        ("price", "nulls: [n/a, '-']", "", "bad"),
        ("price", "decimal: ','", "1234,5", Decimal("1234.50")),
        ("price", "decimal: ','", "1234.5", "bad"),
        ("price", "decimal: ',', thousands: '.'", "1.234,50", Decimal("1234.50")),
        ("price", "decimal: ',', thousands: '.'", "1.23", "bad"),
        ("price", "decimal: ',', thousands: '.'", "1.2.3", "bad"),
        ("price", "decimal: ',', thousands: '.'", "-1234,50", Decimal("-1234.50")),
        ("price", "thousands: ' '", "1 234.5", Decimal("1234.50")),
        ("price", 'thousands: "\'"', "1'234'567.89", Decimal("1234567.89")),
        ("price", "thousands: ','", "12,34,567", Decimal("1234567.00")),
        ("price", "factor: 0.01", "1999", Decimal("19.99")),
        ("price", "factor: 2.54", "1.333", Decimal("3.39")),
        ("price", "factor: 0.1", "0.05", Decimal("0.00")),
        ("price", "factor: 0.1", "0.15", Decimal("0.02")),
        ("price", "factor: 10", "x", "bad"),
        ("count", "", "007", 7),
        ("count", "", "-9223372036854775808", -(2**63)),
        ("count", "", "9223372036854775808", "bad"),
        ("count", "", "0x1F", "bad"),
        ("count", "", "1.0", 1),
        ("count", "", "1.5", "bad"),
        ("count", "", "-1.2e3", -1200),
        ("count", "decimal: ','", "12,0", 12),
        ("count", "thousands: ','", "1,000", 1000),
        ("count", "factor: 1000", "1.5", 1500),
        ("count", "factor: 1e3", "1.5", 1500),
        ("ratio", "", "2.5e-3", 0.0025),
        ("ratio", "decimal: ','", "0,5", 0.5),
        ("ratio", "", "half", "bad"),
        ("ratio", "", "NaN", "bad"),
        ("ratio", "", "1e400", "bad"),
        ("ratio", "nulls: [NaN]", "NaN", None),
        ("sold", "", "true", True),
        ("sold", "", "FALSE", False),
        ("sold", "", "0", False),
        ("sold", "", "yes", "bad"),
        ("sold", "values: {ja: true, nein: false}", "ja", True),
        ("sold", "values: {ja: true, nein: false}", "", None),
        ("sold", "values: {ja: true, nein: false}", "true", "bad"),
        ("day", "", "2024-02-29", date(2024, 2, 29)),
        ("day", "", "2023-02-29", "bad"),
        ("day", "", "29.02.2024", "bad"),
        ("day", "format: '%d.%m.%Y'", "29.02.2024", date(2024, 2, 29)),
        ("day", "format: '%d.%m.%Y'", "9.2.2024", date(2024, 2, 9)),
        ("day", "format: '%d.%m.%Y'", "31.02.2024", "bad"),
        ("day", "format: '%d.%m.%Y'", "01.02.2024 x", "bad"),
        ("day", "format: ['%d.%m.%Y', '%Y/%m/%d']", "2024/03/01", date(2024, 3, 1)),
        ("day", "format: '%d.%m.%Y %H:%M'", "01.03.2024 23:59", date(2024, 3, 1)),
        ("day", "format: '%d %b %Y'", "01 Mar 2024", date(2024, 3, 1)),
        ("moment", "", "2024-05-06T07:08:09.123456Z", datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)),
        ("moment", "", "2024-05-06T07:08:09.1234567Z", datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)),
        ("moment", "", "2024-05-06 07:08:09+02:00", datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)),
        ("moment", "", "2024-05-06 07:08", datetime(2024, 5, 6, 7, 8, tzinfo=UTC)),
        ("moment", "timezone: Europe/Berlin", "2024-07-06 07:08", datetime(2024, 7, 6, 5, 8, tzinfo=UTC)),
        ("moment", "timezone: Europe/Berlin", "2024-03-31 02:30", "bad"),
        ("moment", "timezone: Europe/Berlin", "2024-10-27 02:30", "bad"),
        ("moment", "format: '%d/%m/%Y %H:%M:%S.%f'", "1/2/2024 3:04:05.5", datetime(2024, 2, 1, 3, 4, 5, 500000, UTC)),
        ("moment", "format: '%Y%m%dT%H%M%S%z'", "20240201T030405-0330", datetime(2024, 2, 1, 6, 34, 5, tzinfo=UTC)),
        ("moment", "format: '%I:%M %p %d.%m.%y'", "11:30 PM 01.02.24", datetime(2024, 2, 1, 23, 30, tzinfo=UTC)),
        ("note", "", "  as it is  ", "  as it is  "),
        ("note", "trim: true", "  as it is  ", "as it is"),
        ("note", "nulls: []", "", ""),
        ("note", "values: {o: open}", " o ", "bad"),
        ("note", "values: {o: open}, trim: true", " o ", "open"),
        ("sold", "values: {o: true}", " o ", True),
        ("count", "trim: true", " 7 ", 7),
        ("count", "trim: true, nulls: [x]", " x ", None),
        ("note", "values: {o: open}", "o", "open"),
    ],
)
def test_a_text_becomes_an_exact_value_or_a_bad_row(field: str, spelled: str, text: str, value: Any) -> None:
    assert column(field, [text], spelled) == [value]


def test_a_bad_value_affects_no_other_row() -> None:
    texts = [str(number) for number in range(1_000)]
    texts[0] = texts[317] = texts[318] = texts[999] = "x"
    expected = ["bad" if text == "x" else int(text) for text in texts]
    assert column("count", texts) == expected


def test_one_column_may_hold_times_with_an_offset_and_without() -> None:
    texts = ["2024-05-06T07:08:09Z", "2024-05-06T07:08:09", "2024-05-06T07:08:09+01:00"]
    assert [moment.hour for moment in column("moment", texts, "timezone: Europe/Berlin")] == [7, 5, 6]


@given(st.lists(st.decimals(-(10**9), 10**9, places=2), min_size=1, max_size=20))
def test_every_decimal_is_read_exactly_from_german_spelling(values: list[Decimal]) -> None:
    texts = [f"{value:,.2f}".translate(str.maketrans(",.", ".,")) for value in values]
    assert column("price", texts, "decimal: ',', thousands: '.'") == values


@given(st.lists(st.datetimes(datetime.fromisoformat("1900-01-01")), min_size=1, max_size=20))
def test_every_time_is_read_exactly_by_its_format(moments: list[datetime]) -> None:
    whole = [moment.replace(microsecond=0) for moment in moments]
    texts = [moment.strftime("%d.%m.%Y %H:%M:%S") for moment in whole]
    assert column("moment", texts, "format: '%d.%m.%Y %H:%M:%S'") == [moment.replace(tzinfo=UTC) for moment in whole]


@given(st.lists(st.dates(date(1000, 1, 1)), min_size=1, max_size=20))
def test_a_day_that_does_not_exist_never_becomes_another_day(days: list[date]) -> None:
    texts = [f"{day.day + 3}.{day.month}.{day.year}" for day in days]
    expected = [
        "bad"
        if (day + timedelta(3) if day <= date(9999, 12, 28) else date.min).month != day.month
        else day + timedelta(3)
        for day in days
    ]
    assert column("day", texts, "format: '%d.%m.%Y'") == expected


MIXED = {
    "price": (["1.5", "", "x", "1.505", "-2"], "factor: 1"),
    "count": (["1", "", "x", "0x1", " 7 "], "thousands: ','"),
    "ratio": (["1", "", "x", "2e3"], ""),
    "sold": (["true", "", "x", "0"], ""),
    "day": (["1.2.2024", "", "31.02.2024", "01.02.2024"], "format: '%d.%m.%Y'"),
    "moment": (["2024-10-27 02:30", "", "2024-01-01", "2024-01-01T01:00:00Z"], "timezone: Europe/Berlin"),
    "note": (["open", "", "shut", "other", "n/a"], "values: {open: o, shut: s}, nulls: ['', n/a]"),
}


@pytest.mark.fault(36)
@given(st.sampled_from(sorted(MIXED)), st.data())
def test_a_column_is_converted_like_its_texts_one_by_one(field: str, data: st.DataObject) -> None:
    texts, spelled = MIXED[field]
    chosen = data.draw(st.lists(st.sampled_from(texts), min_size=1, max_size=12))
    assert column(field, chosen, spelled) == [column(field, [text], spelled)[0] for text in chosen]


def test_only_bytes_that_are_no_text_are_bad_in_a_column_with_empty_values() -> None:
    convert = conversion(pa.string(), Rule(source=("a",), nulls=()))

    values, bad = convert([pa.array([None, b"\xff", b"a"], pa.binary())])

    assert (values.to_pylist(), bad) == ([None, None, "a"], [1])


@pytest.mark.parametrize(
    ("kind", "options", "tried"),
    [
        ("string", {}, "text"),
        ("boolean", {}, "true, false, 1 or 0"),
        ("date", {}, "format 'ISO 8601'"),
        ("date", {"format": ("excel", "%d.%m.%Y")}, "format 'excel' or '%d.%m.%Y'"),
        ("timestamp", {}, "format 'ISO 8601', time zone UTC"),
        ("timestamp", {"timezone": "Europe/Berlin"}, "format 'ISO 8601', time zone Europe/Berlin"),
        ("integer", {}, "decimal separator '.', no thousands separator"),
        ("decimal(5,2)", {"decimal": ",", "thousands": "."}, "decimal separator ',', thousands separator '.'"),
        ("float", {"thousands": " "}, "decimal separator '.', thousands separator ' '"),
    ],
)
def test_how_texts_are_read_is_described_for_people(kind: str, options: dict[str, Any], tried: str) -> None:
    assert tried_format(Field(kind, "").arrow, Rule(source=("a",), **options)) == tried
