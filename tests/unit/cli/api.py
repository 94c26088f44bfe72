"""A config API in memory, and the command line that uses it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.command import Operator
from cli.main import app
from fanout.config_client import Answer
from fanout.errors import ConfigApiAnswerError


@dataclass
class Api:
    """A config API with a list of its changes."""

    listed: dict[str, Any]
    refuse: Callable[[str, str], Exception | None] = lambda method, provider: None
    changes: list[tuple[str, str, Any]] = field(default_factory=list)

    def entries(self) -> Mapping[str, object]:
        return dict(self.listed)

    def change(self, method: str, provider: str, body: Any = None, headers: Any = None, tries: int = 1) -> Answer:
        if error := self.refuse(method, provider):
            raise error
        if method == "GET":
            return Answer(200, {}, json.dumps(self.listed[provider]).encode(), None)
        if headers and provider in self.listed:
            raise ConfigApiAnswerError("exists", 412, "")
        self.changes.append((method, provider, body))
        if method == "DELETE":
            del self.listed[provider]
            return Answer(204, {}, b"", None)
        entry = {**(self.listed.get(provider, {}) if method == "PATCH" else {}), **(body or {})}
        self.listed[provider] = {name: value for name, value in entry.items() if value is not None}
        return Answer(200, {}, json.dumps(self.listed[provider]).encode(), None)


def fanout(*words: str, stdin: str | None = None) -> Any:
    """Run a command."""
    done = CliRunner().invoke(app, list(words), input=stdin)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def use(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the config API of the stack that commands find."""
    monkeypatch.setattr(Operator, "stack", SimpleNamespace(config_api=api))
