"""A format of times results in exactly one time for each text that fits it, or its error says what is wrong with it."""

from __future__ import annotations

import pytest

from fanout_job.time_formats import MAX_LENGTH, RFC_2822, TimeFormat, time_format


@pytest.mark.parametrize(
    ("form", "text", "moment"),
    [
        ("%d.%m.%y", "01.02.68", "2068-02-01T00:00:00"),
        ("%d.%m.%y", "01.02.69", "1969-02-01T00:00:00"),
        ("%d.%m.%y", "1.2.4", None),
        ("%d %B %Y", "1 November 2024", "2024-11-01T00:00:00"),
        ("%d %B %Y", "1 Nov 2024", None),
        ("%d %b %Y", "1 MAY 2024", "2024-05-01T00:00:00"),
        ("%A, %d %B %Y", "thursday, 29 February 2024", "2024-02-29T00:00:00"),
        ("%A, %d %B %Y", "friday, 29 February 2024", None),
        ("%a %d %b %Y", "thu 29 feb 2024", "2024-02-29T00:00:00"),
        ("%a %d %b %Y", "fri 29 feb 2024", None),
        ("%Y-%m-%d %I:%M %p", "2024-02-01 12:00 am", "2024-02-01T00:00:00"),
        ("%Y-%m-%d %I:%M %p", "2024-02-01 1:00 am", "2024-02-01T01:00:00"),
        ("%Y-%m-%d %I:%M %p", "2024-02-01 12:59 pm", "2024-02-01T12:59:00"),
        ("%Y-%m-%d %I:%M %p", "2024-02-01 0:30 am", None),
        ("%Y-%m-%d %I:%M %p", "2024-02-01 13:30 pm", None),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-02-01 3:04:05.5", "2024-02-01T03:04:05.500000"),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-02-01 03:04:05.123456789", "2024-02-01T03:04:05.123456"),
        ("%Y-%m-%d %H:%M:%S.%f", "2024-02-01 03:04:05.1234567890", None),
        ("%Y-%m-%d %H %Z", "2024-02-01 03 GMT", "2024-02-01T03:00:00+00:00"),
        ("%Y-%m-%d %H %z", "2024-02-01 03 z", "2024-02-01T03:00:00+00:00"),
        ("%Y-%m-%d %H %z", "2024-02-01 03 +02", "2024-02-01T03:00:00+02:00"),
        ("%Y-%m-%d %H %z", "2024-02-01 03 -03:59", "2024-02-01T03:00:00-03:59"),
        ("%Y-%m-%d %H %z", "2024-02-01 03 -0360", None),
        ("%Y-%j", "2024-366", "2024-12-31T00:00:00"),
        ("%Y-%j", "2024-1", "2024-01-01T00:00:00"),
        ("%Y-%j", "2023-366", None),
        ("%Y-%j", "2023-0", None),
        ("%Y %%%m%%%d", "2024 %2%1", "2024-02-01T00:00:00"),
        ("%Y %m\t%d", "2024   02 \n01", "2024-02-01T00:00:00"),
        ("%Y\u00a0%m-%d", "2024\u00a002-01", "2024-02-01T00:00:00"),
        ("%Y\u00a0%m-%d", "2024 02-01", None),
        ("0%m/%d/%Y", "01/2/2024", None),
        ("0%m/%d/%Y", "011/2/2024", "2024-11-02T00:00:00"),
        ("%m0/%d/%Y", "10/2/2024", None),
        ("%m0/%d/%Y", "110/2/2024", "2024-11-02T00:00:00"),
        ("%d%m.%Y", "0112.2024", "2024-12-01T00:00:00"),
        ("%d%m.%Y", "012.2024", None),
        ("%d%b%Y", "1feb2024", "2024-02-01T00:00:00"),
        ("%y%m%d", "240201", "2024-02-01T00:00:00"),
        ("%Y-%m-%dT", "2024-02-01t", "2024-02-01T00:00:00"),
        (RFC_2822, "Thu, 1 Feb 2024 03:04 GMT", "2024-02-01T03:04:00+00:00"),
        (RFC_2822, "1 Feb 2024 03:04:05 PDT", "2024-02-01T03:04:05-07:00"),
    ],
)
def test_a_text_is_read_by_a_format(form: str, text: str, moment: str | None) -> None:
    found = time_format(form).read(text)

    assert (found and found.isoformat()) == moment


@pytest.mark.parametrize(
    ("form", "has_offset"),
    [(RFC_2822, True), ("%Y-%m-%d", False), ("%Y-%m-%d%z", True), ("%Y-%m-%d%Z", True), ("%Y-%m-%dz", False)],
)
def test_a_format_has_an_offset_or_has_none(form: str, has_offset: bool) -> None:
    assert TimeFormat(form).has_offset is has_offset


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ("%Y-%m-%d %Q", "it may have %A %B .* and %%, and not %Q"),
        ("%Y-%m-%d %", "and not %$"),
        ("%Y-%m-%d-%d", "it has %d twice"),
        ("%Y-%m-%d-%Y-%m", "it has %Y twice"),
        ("%Y-%y-%m-%d", "it has more than one of %Y or %y"),
        ("%Y-%m-%b-%d", "it has more than one of %m or %b or %B"),
        ("%Y-%m-%d %H %I %p", "it has more than one of %H or %I"),
        ("%A %a %Y-%m-%d", "it has more than one of %a or %A"),
        ("%Y-%m-%d %H %z %Z", "it has more than one of %z or %Z"),
        ("%d.%m.", "it needs a year, a month and a day"),
        ("%Y", "it needs a year, a month and a day"),
        ("%j", "it needs a year, a month and a day"),
        ("%Y-%m-%j", "it has more than one of %j and the month and day"),
        ("%Y-%d-%j", "it has more than one of %j and the month and day"),
        ("%Y-%m", "%m also needs %d"),
        ("%Y-%b", "%b also needs %d"),
        ("%Y-%B", "%B also needs %d"),
        ("%Y-%j %M", "%M also needs %H or %I"),
        ("%Y-%j %H:%S", "%S also needs %M"),
        ("%Y-%j %H:%M.%f", "%f also needs %S"),
        ("%Y-%j %I", "%I also needs %p"),
        ("%Y-%j %p", "%p also needs %I"),
        ("%Y-%m-%d %z5", "a digit may not follow %z"),
        ("%d.%m %z%Y", "a digit may not follow %z"),
        ("%d.%m %H:%M:%S.%f%Y", "a digit may not follow %f"),
        ("%Y-%m-%d\x1c", "no time fits it"),
    ],
)
def test_a_format_that_does_not_result_in_one_time_is_rejected(form: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        TimeFormat(form)


def test_a_format_has_at_most_100_characters() -> None:
    form = "%Y-%m-%d" + "x" * (MAX_LENGTH - 8)

    assert TimeFormat(form).read(f"2024-02-01{form[8:]}")
    with pytest.raises(ValueError, match="it has more than 100 characters"):
        TimeFormat(f"{form}x")
