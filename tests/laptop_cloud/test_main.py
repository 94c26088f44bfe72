"""`python -m laptop_cloud`: its errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from laptop_cloud.__main__ import main


def test_a_parameter_without_a_value_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["up", "--parameter", "PriceLimit"])
    assert raised.value.code == 2
    assert "--parameter: write NAME=VALUE instead of 'PriceLimit'" in capsys.readouterr().err


def test_an_unreadable_event_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = tmp_path / "event.json"
    event.write_text("{")
    assert main(["invoke", "Echo", "--workdir", str(tmp_path), "--event", str(event)]) == 2
    assert capsys.readouterr().err.startswith(f"error: --event {event}: ")


def test_a_missing_template_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "template.yaml"
    assert main(["invoke", "Echo", "--workdir", str(tmp_path), "--template", str(template)]) == 2
    assert f"error: No template found at {template}." in capsys.readouterr().err


def test_an_error_has_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "ä\x1b[2J.yaml"
    assert main(["invoke", "Echo", "--workdir", str(tmp_path), "--template", str(template)]) == 2
    assert "ä\\x1b[2J.yaml." in capsys.readouterr().err
