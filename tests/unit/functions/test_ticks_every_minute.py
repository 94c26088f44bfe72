"""docs/how-to/fresher-data.md: the dispatcher, claims and commits with a tick every minute."""

from __future__ import annotations

from tests.harness.world import World


def every_minute() -> World:
    """Two providers with a frequency of one minute, which have succeeded once."""
    world = World(settings={"tick_minutes": 1, "discovery": "events"})
    for name in ("busy", "idle"):
        world.provider(name, frequency="1")
        world.change(name, "first", f"{name}-first")
    world.tick()
    world.run_all()
    return world


def test_with_a_tick_every_minute_each_change_is_sent_by_the_next_tick() -> None:
    world = every_minute()
    world.sent.clear()

    for minute in range(30):
        world.change("busy", f"{minute:02}", f"row-{minute}")
        world.tell("busy")
        world.clock.advance(minutes=1)
        report = world.tick()
        world.run_all()

        assert (report.due, report.started, report.idle) == (1, 1, 1)
        assert world.sent[minute:] == [f"row-{minute}"]


def test_no_second_run_starts_while_a_run_outlasts_its_tick() -> None:
    world = every_minute()
    world.sent.clear()
    reports = []

    for minute in range(4):
        world.change("busy", f"{minute:02}", f"row-{minute}")
        world.tell("busy")
        world.clock.advance(minutes=1)
        reports.append(world.tick())
        if minute == 0:
            (name,) = world.executions.running()
            claim = world.claim("busy", name)
    world.job(claim)
    world.succeed(claim)
    world.executions.statuses[name] = "SUCCEEDED"
    world.clock.advance(minutes=1)
    world.tick()
    world.run_all()

    assert [(report.started, report.running) for report in reports] == [(1, 0), (0, 1), (0, 1), (0, 1)]
    assert world.sent == ["row-0", "row-1", "row-2", "row-3"]
