"""tools.definition: which definitions are rejected or found faulty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.template.reading import TEMPLATE
from tools.definition import DefinitionError, faults, main, substitute

SOUND: dict[str, Any] = {"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}


def test_a_sound_definition_has_no_faults() -> None:
    assert faults(SOUND) == []


def test_the_linter_finds_a_missing_state() -> None:
    assert any("Nowhere" in fault for fault in faults({**SOUND, "StartAt": "Nowhere"}))


def test_the_linter_finds_an_unreachable_state() -> None:
    broken = {**SOUND, "States": {**SOUND["States"], "Island": {"Type": "Succeed"}}}

    assert any("Island" in fault for fault in faults(broken))


def test_placeholders_are_replaced_by_their_values() -> None:
    assert substitute('{"TimeoutSeconds": ${a}}', {"a": 5}) == {"TimeoutSeconds": 5}


@pytest.mark.parametrize("values", [{}, {"a": 1, "b": 2}])
def test_a_missing_or_an_unused_substitution_is_rejected(values: dict[str, int]) -> None:
    with pytest.raises(DefinitionError, match="DefinitionSubstitutions"):
        substitute('{"TimeoutSeconds": ${a}}', values)


def test_a_definition_that_would_hold_a_secret_is_refused() -> None:
    with pytest.raises(DefinitionError, match="not contain a secret"):
        substitute('{"Comment": "${a}"}', {"a": "{{resolve:secretsmanager:key}}"})


def test_invalid_json_after_substitution_is_rejected() -> None:
    with pytest.raises(DefinitionError, match="not JSON"):
        substitute('{"Comment": ${a}}', {"a": "text"})


def lint(template: Path) -> int:
    """The exit status that `make validate` gets."""
    with pytest.raises(SystemExit) as left:
        main(template)
    return int(left.value.code or 0)


def test_the_template_s_state_machine_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert lint(TEMPLATE) == 0
    said, errors = capsys.readouterr()
    assert errors == ""
    assert said.endswith(" 0 faults\n")


def test_a_faulty_definition_fails_with_its_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "machine.json").write_text(json.dumps({**SOUND, "StartAt": "Nowhere"}))
    machine = {"Type": "AWS::Serverless::StateMachine", "Properties": {"DefinitionUri": "machine.json"}}
    template = tmp_path / "template.yaml"
    template.write_text(json.dumps({"Transform": "AWS::Serverless-2016-10-31", "Resources": {"Machine": machine}}))

    assert lint(template) == 1
    errors = capsys.readouterr().err
    assert "Machine: " in errors
    assert "Nowhere" in errors
