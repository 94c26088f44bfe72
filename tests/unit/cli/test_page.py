"""Output to a terminal and to a pipe."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from cli.output import Page, counted, safe

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
NAME = "a-provider-whose-name-is-as-long-as-names-may-be-" + "x" * 15
RUN = f"{NAME}-20261122T080000Z"
WHY = f"RecordError: s3://bucket/change_log/provider={NAME}/2026/11/22/08/part-0001.json.gz, line 12: not a record"
COLUMNS = ("PROVIDER", "STATUS", "LAST SUCCESS", "NEXT DUE", "LATE BY", ">FAILURES", "RUN", "DETAILS")
ROWS = [
    ("acme", "waiting", NOW, NOW + timedelta(hours=1), None, None, None, None),
    (NAME, "failing", NOW, NOW, timedelta(hours=2), 12, RUN, WHY),
]
HOSTILE = "\x1b[2J\x1b]0;title\x07 \r\n \x9b31m \u202e \ud800 \x7f"
anything = st.text(st.characters(), max_size=60)


def shown(width: int | None, view: Callable[[Page], None]) -> list[str]:
    """The lines that a view prints to a terminal of this width, or with None to a pipe."""
    file = io.StringIO()
    view(Page(Console(file=file, markup=False, emoji=False, highlight=False, soft_wrap=True), width))
    assert file.getvalue().endswith("\n")
    return file.getvalue().split("\n")[:-1]


def everything(text: str) -> Callable[[Page], None]:
    """Every way in which a command can print a text."""

    def view(page: Page) -> None:
        page.line(text, style="red", indent="  ")
        page.facts([("name", text), ("", text)])
        page.table(("FIRST", ">SECOND", "LAST"), [(text, text, text)])

    return view


@given(text=anything, width=st.sampled_from([None, 20, 80]))
def test_no_character_of_a_text_can_control_a_terminal(text: str, width: int | None) -> None:
    lines = shown(width, everything(text))

    assert all(line.isprintable() for line in lines), lines
    assert "\n".join(lines).encode()


def test_control_characters_are_printed_as_escapes() -> None:
    assert safe(HOSTILE) == r"\x1b[2J\x1b]0;title\x07 \r\n \x9b31m \u202e \ud800 \x7f"
    assert safe("plain, größer, 提供者") == "plain, größer, 提供者"
    assert shown(None, lambda page: page.line("[red]no markup[/red] :smile:")) == ["[red]no markup[/red] :smile:"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_narrow_terminal_cuts_no_time_no_name_and_no_run_id(width: int) -> None:
    lines = shown(width, lambda page: page.table(COLUMNS, ROWS))

    for whole in ("2026-11-22 08:00:00Z", "2026-11-22 09:00:00Z", NAME, RUN, *WHY.split()):
        assert any(whole in line for line in lines), whole
    assert not [line for line in lines if cell_len(line) > width and " " in line.strip()], "only one word may be longer"


def test_columns_that_do_not_fit_are_printed_below_their_row() -> None:
    rows = [(NOW, "failed", "lambda", RUN[-30:], WHY[:40])]

    assert shown(60, lambda page: page.table(("CLAIMED", "STATUS", "ENGINE", "RUN", "ERROR"), rows)) == [
        "CLAIMED               STATUS  ENGINE",
        "2026-11-22 08:00:00Z  failed  lambda",
        f"  run: {RUN[-30:]}",
        f"  error: {WHY[:40]}",
    ]


def test_the_last_column_wraps() -> None:
    rows = [("ok", "this check passed and has a long text"), ("fail", "no")]

    assert shown(36, lambda page: page.table(("", "FOUND"), rows)) == [
        "      FOUND",
        "ok    this check passed and has a",
        "      long text",
        "fail  no",
    ]


def test_a_pipe_gets_every_row_on_one_line_without_a_blank_at_its_end() -> None:
    lines = shown(None, lambda page: page.table(COLUMNS, ROWS))

    assert len(lines) == 1 + len(ROWS)
    assert all(line == line.rstrip() for line in lines)
    assert lines[2].endswith(f"{RUN}  {WHY}")
    assert lines[0].index("LAST SUCCESS") == lines[2].index("2026-11-22 08:00:00Z")
    assert shown(None, lambda page: page.line(WHY * 5)) == [WHY * 5]
    assert shown(None, lambda page: page.facts([("why", WHY), ("run", RUN)])) == [f"why  {WHY}", f"run  {RUN}"]


def test_numbers_are_aligned_to_the_right() -> None:
    assert shown(None, lambda page: page.table((">ROWS", "RUN"), [(1_000, "a"), (None, "b")])) == [
        " ROWS  RUN",
        "1,000  a",
        "    -  b",
    ]


def test_columns_with_wide_characters_are_aligned() -> None:
    lines = shown(None, lambda page: page.table(("NAME", "IN"), [("提供者", "due"), ("abc", "due")]))

    assert lines == ["NAME    IN", "提供者  due", "abc     due"]


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2_000, "2,000 rows")])
def test_a_number_has_its_noun_in_the_right_form(number: int, text: str) -> None:
    assert counted(number, "row") == text
    assert counted(1, "entry", "entries") == "1 entry"
    assert counted(2, "entry", "entries") == "2 entries"
