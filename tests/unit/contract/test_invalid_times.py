"""Times that are rejected, each with what is wrong."""

from __future__ import annotations

import pytest

from contract.times import parse_iso, parse_mail_date


def test_a_time_without_a_zone_is_rejected() -> None:
    with pytest.raises(ValueError, match="'2026-11-22T07:30:00' has no time zone; write it as 2026-11-22T07:30:00Z"):
        parse_iso("2026-11-22T07:30:00")


@pytest.mark.parametrize("text", ["Tue, 08 Foo 2022 15:47:17 GMT", "soon"])
def test_a_date_of_another_form_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="must be an RFC 1123 date .*such as 'Tue, 08 Nov 2022 15:47:17 GMT'"):
        parse_mail_date(text)


def test_a_date_whose_time_in_utc_is_before_the_first_year_is_rejected() -> None:
    with pytest.raises(ValueError, match="is outside the years 1 to 9999"):
        parse_mail_date("Mon, 01 Jan 0001 00:30:00 +0100")
