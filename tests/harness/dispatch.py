"""Worlds of many providers, whose dispatcher a test calls, and the sums of its report."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fanout.config_client import HttpConfigApi
from fanout.dispatcher import TickReport
from fanout.errors import StartRefusedError
from tests.harness.transport import Reply, session
from tests.harness.world import World

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)


def world_of(count: int, **given_settings: Any) -> World:
    world = World(settings={"max_concurrent_runs": 10, "lambda_max_bytes": 0, **given_settings})
    for number in range(count):
        world.provider(f"p{number:05d}")
    return world


def started(world: World) -> set[str]:
    return {json.loads(given_input)["provider"] for given_input in world.executions.started.values()}


def names(numbers: Iterable[int]) -> set[str]:
    return {f"p{number:05d}" for number in numbers}


def with_api(world: World, reply: Reply) -> World:
    """The world with a config API that answers these bytes to the real client."""
    api = HttpConfigApi(
        "https://config.example/providers",
        lambda refused: "key",
        session(lambda request: reply),
        sleep=lambda seconds: None,
    )
    world.dispatcher = replace(world.dispatcher, provider_list=api)
    return world


def claim_runs(world: World, count: int) -> None:
    """Let a run of each of the first providers hold its lease."""
    for number in range(count):
        world.change(f"p{number:05d}", "1", "row")
        world.claim(f"p{number:05d}", f"run-{number}")


def refuse_starts(world: World, prefix: str, why: str) -> None:
    """Refuse the starts of executions whose name begins so."""
    start = world.executions.start

    def refusing(name: str, execution_input: str) -> bool:
        if name.startswith(prefix):
            raise StartRefusedError(why)
        return start(name, execution_input)

    world.executions.start = refusing  # type: ignore[method-assign]


def check_sums(report: TickReport) -> None:
    assert report.providers == (
        report.invalid
        + report.paused
        + report.maintenance
        + report.waiting
        + report.running
        + report.backing_off
        + report.due
    )
    assert report.due == report.started + report.already_started + report.deferred + report.failed_starts
