"""The output of `make run` for few and many providers, at 80 columns and without a terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from demo.screen import LiveScreen, PlainScreen, Row, counts


def rows(count: int, state: str = "running", sent: str = "3") -> list[Row]:
    return [(f"provider-{n:03d}", "yes", "lambda", state, "4", sent, sent, f"{n / 10:.1f}") for n in range(count)]


def test_each_of_few_providers_has_a_line_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen()
    for state in ("claiming", "claiming", "running"):
        screen.show("tick", rows(2, state))
    said = capsys.readouterr().out.splitlines()
    assert [line.split("tick: ")[1].split()[0] for line in said] == ["provider-000", "provider-001"] * 2


def test_a_change_of_the_seconds_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen()
    screen.show("tick", rows(2))
    screen.show("tick", [(*row[:-1], "99.0") for row in rows(2)])
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_many_providers_have_lines_of_counts_and_the_last_counts_are_always_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = PlainScreen()
    for done in range(200):
        screen.show("tick", rows(200)[done:] + rows(done, "succeeded"))
    screen.show("tick", rows(200, "succeeded"))
    said = capsys.readouterr().out.splitlines()
    assert len(said) < 20
    assert said[-1].endswith("tick: 200 providers: 200 succeeded; 600 rows, 600 messages")


def test_the_current_step_is_repeated_after_a_time_without_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.screen.SILENCE_SECONDS", 0.1)
    said = ""
    with PlainScreen() as screen:
        screen.say("tick 1")
        while said.count("still running: tick 1") < 2:  # until pytest ends it
            said += capsys.readouterr().out
    assert said.splitlines()[0].endswith(" s  tick 1")


def test_counts_name_every_state() -> None:
    mixed = [*rows(2), *rows(1, "failed"), *rows(1, "", "")]
    assert counts(mixed) == "4 providers: 1 failed, 2 running, 1 waiting; 9 rows, 9 messages"


@pytest.mark.parametrize("count", [6, 200])
def test_at_80_columns_no_cell_is_truncated_and_the_table_stays_short(count: int) -> None:
    out = io.StringIO()
    screen = LiveScreen(Console(file=out, width=80, force_terminal=True, color_system=None))
    with screen:
        screen.show("tick 1", rows(count, "succeeded", "12345"))
    table = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()
    assert max(len(line.rstrip()) for line in table) <= 80
    assert "…" not in out.getvalue()
    last = f"provider-{min(count, 12) - 1:03d}"
    assert any(last in line and "12345" in line for line in table)
    assert ("200 providers: 200 succeeded" in out.getvalue()) == (count == 200)


def test_a_long_name_is_wrapped_at_80_columns() -> None:
    out, name = io.StringIO(), "x" * 40 + "y" * 24
    screen = LiveScreen(Console(file=out, width=80, force_terminal=True, color_system=None))
    with screen:
        screen.show("tick 1", [(name, "yes", "lambda", "succeeded", "4", "123456", "123456", "123.4")])
    said, times = out.getvalue(), out.getvalue().count("succeeded")  # a live table is printed again at its end
    assert (said.count("x"), said.count("y")) == (40 * times, 25 * times)  # the 25th y is that of yes
    assert said.count("123456") == 2 * times


def test_failed_and_running_providers_are_shown_first() -> None:
    out = io.StringIO()
    screen = LiveScreen(Console(file=out, width=80, force_terminal=True, color_system=None))
    with screen:
        screen.show("tick 1", [*rows(200, "succeeded"), ("late", "yes", "glue", "failed", "", "", "", "")])
    assert "late" in out.getvalue()
