"""Compares the modules in docs/architecture.md, from tick to commit, with those of a real run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import claim as claim_handler
import dispatch
import update_status
from fanout import bootstrap
from tests.harness.world import World

ROOT = Path(__file__).parents[3]
CODE = {ROOT / "functions", ROOT / "contract"}
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## A provider's way through the code")[2].partition("\n## ")[0]
NOT_COUNTED = set(re.findall(r"`(\w+)`", SECTION.partition("are not counted")[2].partition("\n\n")[0]))
"""Modules that decide nothing about a provider: adapters, data types, documents and the composition root."""
BESIDE = {"recovery", "pending"}
"""Modules that work in the same tick on other providers' runs and on events."""


class LambdaContext:
    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "test"

    def get_remaining_time_in_millis(self) -> int:
        return 300_000


def test_the_docs_show_the_modules_that_a_provider_passes_from_tick_to_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.provider("a")
    world.change("a", "1", "r1")
    for part in ("dispatcher", "claims", "endings"):
        monkeypatch.setattr(bootstrap, part, lambda part=part: getattr(world, part))
    passed: set[str] = set()

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        ours = CODE & set(path.parents)
        if event == "call" and ours and world.state("a").bookmark.generation == 0:
            passed.add(path.stem)

    sys.setprofile(watch)
    try:
        dispatch.handler({"scheduled_at": "2026-11-22T07:30:00Z"}, LambdaContext())  # type: ignore[arg-type]
        ((name, given),) = world.executions.started.items()
        event = {"run_id": name, "execution_arn": f"arn:{name}", "input": json.loads(given)}
        claimed = claim_handler.handler(event, LambdaContext())  # type: ignore[arg-type]
        world.job(world.claim("a", name))
        ending = {"outcome": "succeeded", "provider": claimed["provider"], "run_id": name}
        update_status.handler(ending, LambdaContext())  # type: ignore[arg-type]
    finally:
        sys.setprofile(None)

    shown = set(re.findall(r"^  (\w+) -", SECTION, re.MULTILINE)) | set(
        re.findall(r"> ?(?:\|[^|]*\| )?(\w+)$", SECTION, re.MULTILINE)
    )
    assert world.state("a").bookmark.generation == 1
    assert passed - NOT_COUNTED - BESIDE == shown
    assert len(shown) == 10
