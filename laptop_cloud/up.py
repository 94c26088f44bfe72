"""Keeps a laptop cloud running, with its schedules ticking and its code reloaded, until it gets SIGINT or SIGTERM."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from types import FrameType
from typing import Any

from laptop_cloud.aws import schedule
from laptop_cloud.aws.account import process_environment
from laptop_cloud.aws.schedule import Ticker
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import BusyError

SHOWN_FILES = 5


def keep_up(
    cloud: LaptopCloud,
    speed: float = 1.0,
    prepare: Callable[[LaptopCloud], str] = lambda cloud: "",
    report: Callable[[Any], str] = json.dumps,
) -> None:
    """Start a cloud and its schedules, print how to use it, and wait for Ctrl-C or SIGTERM.

    Parameters
    ----------
    cloud
        A laptop cloud that has not been started.
    speed
        How many times faster than on AWS its schedules tick.
    prepare
        Called after the start and before the first tick; returns further text to print.
    report
        Converts what a schedule's target returned to a line to print.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _say("starting the laptop cloud")
        with cloud:
            more = prepare(cloud)
            tickers = _tickers(cloud, speed, report)
            _say(describe(cloud) + more)
            reloader = Reloader(cloud)
            for ticker in tickers:
                ticker.start()
            reloader.start()
            stop.wait()
            _say("stopping")
            reloader.stop()
            for ticker in tickers:
                ticker.stop()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class Reloader:
    """Deploys the stack again when its code has changed, until it is stopped."""

    def __init__(self, cloud: LaptopCloud, pause: float = 1.0) -> None:
        self._cloud = cloud
        self._pause = pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reloader", daemon=True)

    def start(self) -> None:
        """Look at the files now and then."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking, and wait for a deployment in progress."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        known, before = self._cloud.stamps()
        while not self._stopped.wait(self._pause):
            now = self._cloud.stamps()[1]
            if now == before and now != known:  # and no file is being written any more
                changed = sorted({path.name for path, _ in known.items() ^ now.items()})
                known = self._cloud.stamps()[0] if self._deployed(changed) else now
            before = now

    def _deployed(self, changed: list[str]) -> bool:
        names = ", ".join(changed[:SHOWN_FILES]) + (", …" if len(changed) > SHOWN_FILES else "")
        try:
            self._cloud.update()
        # An error in the files must not end the cloud, whatever it is: the next change may correct it.
        except Exception as error:  # noqa: BLE001 - see above
            _say(f"changed, but not deployed: {names}: {error}")
            return False
        _say(f"changed and deployed for the next run: {names}")
        return True


def describe(cloud: LaptopCloud) -> str:
    """Describe a running cloud: its endpoint, the environment for the AWS CLI, and the outputs of its stack."""
    environment = process_environment(cloud.endpoint, cloud.access_key_id)
    variables = " ".join(f"{name}={value}" for name, value in environment.items())
    outputs = "\n".join(f"  {name:<24} {value}" for name, value in cloud.outputs.items())
    return f"""
The laptop cloud is running at {cloud.endpoint}. In another terminal:

  export {variables}
  aws cloudformation list-stack-resources --stack-name {cloud.stack_name}

Outputs of the template:
{outputs}

Logs are in {cloud.workdir}/logs. Changed code is deployed within seconds. Press Ctrl-C to stop.
"""


def _tickers(cloud: LaptopCloud, speed: float, report: Callable[[Any], str]) -> list[Ticker]:
    tickers = []
    for found in schedule.schedules(cloud.client("scheduler")):
        name, expression = found["Name"], found["ScheduleExpression"]
        if found["State"] != "ENABLED" or schedule.interval(expression) is None:
            _say(f"{name} ({expression}, {found['State']}) does not tick: only enabled rate() schedules do")
            continue
        ticker = Ticker(found, _firing(cloud, found, report), speed)
        _say(f"{name} ticks now and every {ticker.pause.total_seconds():.0f} s")
        tickers.append(ticker)
    return tickers


def _firing(cloud: LaptopCloud, fired: dict[str, Any], report: Callable[[Any], str]) -> Callable[[datetime], None]:
    def fire(at: datetime) -> None:
        try:
            _say(f"{at:%H:%M:%S} {report(cloud.fire(fired, at))}")
        except BusyError:
            raise
        # As on AWS, a failed tick does not end the schedule, whatever failed.
        except Exception as error:  # noqa: BLE001 - see above
            _say(f"{at:%H:%M:%S} the tick failed: {error}")

    return fire


def _say(line: str) -> None:
    print(line, flush=True)
