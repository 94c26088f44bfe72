"""Hostile text in the config API, ledger or logs cannot control the terminal, and hides no other provider."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from cli.command import Operator
from cli.commands.providers import list_providers
from cli.commands.status import failed, status
from cli.commands.trace import Trace, _show
from cli.deployment import Where
from cli.output import page
from contract.failure import Failure
from fanout.ledger import ProviderState
from fanout.providers import InvalidEntry
from fanout.run_state import RunState

ESCAPES = "\x1b[2J\x1b]0;owned\x07\r\n\x9b31m\u202e\ud800\x7f"
ENTRIES: dict[str, object] = {
    "acme": {"frequency": 15},
    f"evil{ESCAPES}": {"frequency": 15},
    "escapes": {"frequency": 15, "status": "failed", "error": f"boom{ESCAPES}", "group": "g"},
    "surrogate": {"frequency": 15, "group": "\ud800"},
    "wrong": {"frequency": "often"},
    "list": [1],
    "null": None,
    "twice": InvalidEntry("a field appears more than once in the entry"),
    "zeta": {"frequency": 60},
}


@dataclass
class Stack:
    """A stack whose config API has hostile entries."""

    listed: Mapping[str, object] = field(default_factory=lambda: ENTRIES)

    executions: Any = None
    data_bucket: str = "data"

    def client(self, service: str) -> Any:
        assert service == "s3"
        return self

    def list_objects_v2(self, **request: Any) -> dict[str, int]:
        return {"KeyCount": 1}

    def get_paginator(self, operation: str) -> Any:
        folder = {"Prefix": f"quarantine/provider=folder{ESCAPES}/"}
        return SimpleNamespace(paginate=lambda **_: [{"CommonPrefixes": [folder]}])

    def failed_executions(self) -> tuple[Any, ...]:
        return ()

    @property
    def config_api(self) -> Any:
        return SimpleNamespace(entries=lambda: dict(self.listed))

    @property
    def dispatching(self) -> Any:
        return SimpleNamespace(discovery="events", sweep=timedelta(days=1))

    @property
    def pending(self) -> Any:
        return SimpleNamespace(waiting=dict)

    @property
    def maintenance(self) -> Any:
        return SimpleNamespace(windows=list)

    @property
    def ledger(self) -> Any:
        none: dict[str, ProviderState] = {}
        return SimpleNamespace(attention=list, get_many=lambda names: none, list_size=lambda: 0)


def operator(json_wanted: bool) -> Operator:
    return Operator(Where(None), json_wanted, connect=lambda where: Stack())  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("command", [list_providers, status, failed], ids=lambda command: command.__name__)
@pytest.mark.parametrize("as_json", [False, True])
def test_control_characters_are_escaped_and_every_entry_is_shown(
    command: Callable[..., Any], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"every": True} if command is status else {}

    command(SimpleNamespace(obj=operator(as_json)), **options)

    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()
    bad = ["evil", "surrogate", "wrong", "list", "null", "twice"]
    for name in bad if command is failed else [*bad, "acme", "escapes", "zeta"]:
        assert name in said
    if as_json:
        json.loads(said)


def test_a_run_with_hostile_input_claim_and_log_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from cli.commands.trace import ExecutionPart
    from tests.unit.cli.test_page import NOW

    part = ExecutionPart(f"arn{ESCAPES}", "FAILED", NOW, None, f"null{ESCAPES}", ())
    failure = Failure(type="E", message=f"boom{ESCAPES}", object=f"s3://b/{ESCAPES}", line=2)
    log = (json.dumps({"message": f"line one{ESCAPES}line two"}), f"plain{ESCAPES}")
    state, claim = RunState.FAILED, {"decision": ESCAPES}
    _show(Trace("run", state, None, part, claim, None, None, None, None, failure, (failure,), None, log), page())

    said = capsys.readouterr().out
    assert said.replace("\n", "").isprintable()
    for words in ("null", "boom", "line one", "line two", "plain"):
        assert words in said


def test_a_note_is_printed_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    operator(False).note(f"note{ESCAPES}")

    said = capsys.readouterr().err
    assert said.startswith("note\\x1b[2J")
    assert said.replace("\n", "").isprintable()
