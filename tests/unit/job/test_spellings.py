"""Times and numbers as real files write them become exact values; texts that do not fit make bad rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_job.errors import MappingError
from fanout_job.mapping import Mapping
from tests.unit.job.standardizing import column, rows

BERLIN = "timezone: Europe/Berlin"
NANOS = datetime(2024, 5, 6, 7, 8, 9, 123456, UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("field", "spelled", "text", "value"),
    [
        ("moment", "format: epoch", "1714979289", utc(2024, 5, 6, 7, 8, 9)),
        ("moment", "format: epoch", "1714979289.1234569", NANOS),
        ("moment", "format: epoch", "1.714979289123456E9", NANOS),
        ("moment", "format: epoch", "-0.5", utc(1969, 12, 31, 23, 59, 59, 500_000)),
        ("moment", "format: epoch", "1e300", "bad"),
        ("moment", "format: epoch", "99999999999999", "bad"),
        ("moment", "format: epoch", "9999999999999", "bad"),
        ("moment", "format: epoch", "-9999999999999", "bad"),
        ("moment", "format: epoch, decimal: ','", "1714979289,5", utc(2024, 5, 6, 7, 8, 9, 500_000)),
        ("moment", "format: epoch", "2024", utc(1970, 1, 1, 0, 33, 44)),
        ("moment", "format: epoch", "today", "bad"),
        ("moment", f"format: epoch_ms, {BERLIN}", "1714979289123", utc(2024, 5, 6, 7, 8, 9, 123_000)),
        ("day", "format: epoch", "1714946400", date(2024, 5, 5)),
        ("day", f"format: epoch, {BERLIN}", "1714946400", date(2024, 5, 6)),
        ("day", "format: epoch", "-1", date(1969, 12, 31)),
        ("moment", "format: excel", "45413.604166666664", utc(2024, 5, 1, 14, 30)),
        ("moment", f"format: excel, {BERLIN}", "45413.604166666664", utc(2024, 5, 1, 12, 30)),
        ("day", "format: excel", "45413", date(2024, 5, 1)),
        ("day", "format: excel", "61", date(1900, 3, 1)),
        ("day", "format: excel", "45413.99", date(2024, 5, 1)),
        ("day", "format: excel", "60", "bad"),
        ("day", "format: excel", "2958466", "bad"),
        ("day", "format: [excel, '%d.%m.%Y']", "1.5.2024", date(2024, 5, 1)),
        ("moment", "format: rfc2822", "Mon, 06 May 2024 07:08:09 GMT", utc(2024, 5, 6, 7, 8, 9)),
        ("moment", "format: rfc2822", "Mon, 6 May 2024 07:08:09 +0200", utc(2024, 5, 6, 5, 8, 9)),
        ("moment", "format: rfc2822", "06 May 2024 07:08 EDT", utc(2024, 5, 6, 11, 8)),
        ("moment", "format: rfc2822", "Tue, 06 May 2024 07:08:09 GMT", "bad"),
        ("moment", "format: rfc2822", "Mon, 06 May 2024 07:08:09", "bad"),
        ("moment", "format: rfc2822", "Mon, 06 May 2024 07:08:09 CEST", "bad"),
        ("moment", "format: rfc2822", "rfc2822", "bad"),
        ("moment", "", "20240506T070809Z", utc(2024, 5, 6, 7, 8, 9)),
        ("moment", "", "20240506T0708+0200", utc(2024, 5, 6, 5, 8)),
        ("moment", "", "20240506T070809.123456789Z", NANOS),
        ("moment", "", "2024-05-06 07:08:09,123 +02:00", utc(2024, 5, 6, 5, 8, 9, 123_000)),
        ("moment", "", "20240230T070809Z", "bad"),
        ("moment", "", "2024-05-06T24:00:00Z", "bad"),
        ("moment", "", "2024-05-06T07:08:60Z", "bad"),
        ("moment", "", "2023-02-29T07:08:09Z", "bad"),
        ("moment", "", "2000-02-29T07:08:09Z", utc(2000, 2, 29, 7, 8, 9)),
        ("moment", "", "1900-02-29T07:08:09Z", "bad"),
        ("day", "", "20240506", date(2024, 5, 6)),
        ("day", "", "20240431", "bad"),
        ("day", "", "0000-12-31", "bad"),
        ("day", "", "0001-01-01", date(1, 1, 1)),
        ("day", "", "9999-12-31", date(9999, 12, 31)),
        ("moment", "", "0000-12-31T23:59:59Z", "bad"),
        ("moment", "", "0001-01-01T00:00:00Z", utc(1, 1, 1)),
        ("moment", "", "9999-12-31T23:59:59.999999Z", utc(9999, 12, 31, 23, 59, 59, 999_999)),
        ("moment", "format: '%Y-%m-%d %z'", "0001-01-01 +02", "bad"),
        ("moment", f"format: '%Y-%m-%d %H %z', {BERLIN}", "2024-05-06 07 -03", utc(2024, 5, 6, 10)),
        ("moment", "format: '%Y-%m-%d %H %Z'", "2024-05-06 07 GMT", utc(2024, 5, 6, 7)),
        ("moment", f"format: '%Y-%m-%d %H', {BERLIN}", "2024-05-06 07", utc(2024, 5, 6, 5)),
        ("day", "format: '%Y-%m-%d %H %z'", "2024-05-06 23 -03", date(2024, 5, 6)),
        ("moment", "format: '%Y-%m-%d %H:%M:%S.%f'", "2024-05-06 07:08:09.123456789", NANOS),
        ("moment", BERLIN, "2024-10-27 02:30", "bad"),
        ("moment", f"{BERLIN}, ambiguous: earlier", "2024-10-27 02:30", utc(2024, 10, 27, 0, 30)),
        ("moment", f"{BERLIN}, ambiguous: later", "2024-10-27 02:30", utc(2024, 10, 27, 1, 30)),
        ("moment", f"{BERLIN}, ambiguous: later", "2024-03-31 02:30", "bad"),
        ("moment", f"{BERLIN}, ambiguous: later", "2024-07-01 02:30", utc(2024, 7, 1, 0, 30)),
        ("price", "negative: parentheses", "(12.50)", Decimal("-12.50")),
        ("price", "negative: parentheses", "12.50-", "bad"),
        ("price", "negative: [parentheses, trailing]", "12.50-", Decimal("-12.50")),
        ("price", "negative: trailing", "(12.50)", "bad"),
        ("price", "negative: trailing", "-12.50", Decimal("-12.50")),
        ("price", "negative: trailing", "-12.50-", "bad"),
        ("price", "", "(12.50)", "bad"),
        ("price", "", "12.50-", "bad"),
        ("price", "", "\u221212.50", Decimal("-12.50")),
        ("count", "", "\u221212", -12),
        ("ratio", "", "\u22121.5", -1.5),
        ("price", "decimal: ','", "\u221212,50", Decimal("-12.50")),
        ("price", "unit: '€'", "€ 12.50", Decimal("12.50")),
        ("price", "unit: ['€', EUR]", "-12.50\u00a0EUR", Decimal("-12.50")),
        ("price", "unit: '$'", "$-12.50", Decimal("-12.50")),
        ("price", "unit: '$'", "-$12.50", Decimal("-12.50")),
        ("price", "unit: '$', negative: parentheses, thousands: ','", "($1,234.50)", Decimal("-1234.50")),
        ("price", "unit: '$'", "€12.50", "bad"),
        ("price", "", "$12.50", "bad"),
        ("ratio", "unit: '%', factor: 0.01", "12.5 %", 0.125),
        ("ratio", "unit: '%', factor: 0.01", "12.5", 0.125),
        ("price", "decimal: ',', thousands: ' '", "1\u202f234\u00a0567,50", Decimal("1234567.50")),
        ("price", "decimal: ',', thousands: ' '", "1 234,50", Decimal("1234.50")),
        ("price", "decimal: ','", "1,5E+3", Decimal("1500.00")),
        ("ratio", "decimal: ','", "1,5e-3", 0.0015),
        ("count", "thousands: '.', decimal: ','", "1.234,00", 1234),
        ("count", "", "9223372036854775807.0", 2**63 - 1),
        ("count", "", "9223372036854775808.0", "bad"),
        ("count", "", "-9223372036854775808.0", -(2**63)),
        ("count", "", "-9223372036854775807.0", -(2**63) + 1),
        ("count", "", "-9223372036854775809.0", "bad"),
        ("count", "", "1e1000000", "bad"),
        ("count", "", "1e999999999", "bad"),
        ("count", "", "1e-999999999", "bad"),
        ("count", "", "0e999999999", 0),
        ("count", "factor: 0.01", "250", 2),
        ("count", "factor: 0.01", "351", 4),
        ("ratio", "factor: 0.1", "0.000000000000000004", 0.0),
        ("ratio", "factor: 1e17", "1e18", 1e35),
        ("count", "factor: 100000000000000000", "123", "bad"),
        ("price", "factor: 1000000000000", "123", "bad"),
        ("count", "", "+5", 5),
        ("count", "", "00000000000000000000000000000000000000000000007", 7),
    ],
)
def test_a_time_or_number_becomes_an_exact_value_or_a_bad_row(field: str, spelled: str, text: str, value: Any) -> None:
    assert column(field, [text], spelled) == [value]


@given(
    st.lists(
        st.datetimes(datetime.fromisoformat("1970-01-02"), datetime.fromisoformat("2100-01-01")), min_size=1, max_size=9
    )
)
def test_every_time_is_read_from_numbers_and_dates_of_mail(moments: list[datetime]) -> None:
    whole = [moment.replace(microsecond=0, tzinfo=UTC) for moment in moments]
    assert column("moment", [str(int(moment.timestamp())) for moment in whole], "format: epoch") == whole
    assert column("moment", [format_datetime(moment) for moment in whole], "format: rfc2822") == whole
    start = datetime(1899, 12, 30, tzinfo=UTC)
    assert column("moment", [repr((m - start) / timedelta(days=1)) for m in whole], "format: excel") == whole


BAD = {
    "price": "12.505",
    "count": "12x",
    "ratio": "1.2.3",
    "sold": "maybe",
    "day": "2024-02-30",
    "moment": "2024-02-30T00:00:00Z",
}


@pytest.mark.parametrize("field", sorted(BAD))
def test_bad_values_make_only_their_own_rows_bad(field: str) -> None:
    good = {"price": "1.5", "count": "7", "ratio": "0.5", "sold": "true", "day": "2024-01-31", "moment": "2024-01-31"}
    found = column(field, [good[field], BAD[field], "", good[field], BAD[field]])
    [value] = column(field, [good[field]])
    assert found == [value, "bad", None, value, "bad"]
    assert column(field, [BAD[field]] * 3) == ["bad"] * 3


def test_the_error_of_a_time_names_the_formats_that_were_tried() -> None:
    how = "csv:\nfields: {id: a, day: {from: b, format: [excel, '%d.%m.%Y']}}"
    assert rows(how, b"a,b\n1,x\n") == [
        "sample, row 1: day (from 'b') is not a valid date in the format 'excel' or '%d.%m.%Y'"
    ]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("format: unix", "format is not a format of Python's strptime .* or one of epoch, epoch_ms, excel, rfc2822"),
        ("format: '%Y-%m-%d %H'", None),
        ("format: '%H:%M'", "format is .*: it needs a year, a month and a day"),
        ("ambiguous: first", "ambiguous is not 'earlier' or 'later'"),
        ("unit: '1'", "unit is not a list of texts without digits"),
        ("unit: ''", "unit is not a list of texts without digits"),
        ("negative: brackets", "negative is not 'parentheses' or 'trailing'"),
    ],
)
def test_an_option_that_no_value_can_fit_is_rejected_when_the_mapping_is_read(option: str, message: str | None) -> None:
    text = f"csv:\nfields:\n  id: {{from: a, {option}}}".encode()
    if message is None:
        assert Mapping.parse(text, "m.yaml")
        return
    with pytest.raises(MappingError, match=r"m.yaml, line 3: fields.id." + message):
        Mapping.parse(text, "m.yaml")
