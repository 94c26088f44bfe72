"""`make up`: the laptop cloud stays up, its schedule ticking, until it is told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from local.aws import schedule
from local.aws.schedule import Ticker
from local.cloud import LaptopCloud
from local.errors import LaptopCloudError


def keep_up(template: Path, workdir: Path, port: int, speed: float, overrides: Mapping[str, object]) -> None:
    """Start the cloud and its schedules, print where everything is, and wait for Ctrl-C or SIGTERM.

    Parameters
    ----------
    template, workdir, port
        As for `LaptopCloud`.
    speed
        How many times faster than on AWS the schedules tick.
    overrides
        Of the template's parameters.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with LaptopCloud(template, overrides, port, workdir, progress=_say) as cloud:
            tickers = _tickers(cloud, speed)
            _say(describe(cloud))
            for ticker in tickers:
                ticker.start()
            stop.wait()
            _say("stopping")
            for ticker in tickers:
                ticker.stop()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _tickers(cloud: LaptopCloud, speed: float) -> list[Ticker]:
    tickers = []
    for found in schedule.schedules(cloud.client("scheduler")):
        if found["State"] != "ENABLED" or schedule.interval(found["ScheduleExpression"]) is None:
            _say(f"{found['Name']} ({found['ScheduleExpression']}, {found['State']}) does not tick here")
            continue
        ticker = Ticker(found, _firing(cloud, found), speed)
        _say(f"{found['Name']} ticks now and every {ticker.pause.total_seconds():.0f} s")
        tickers.append(ticker)
    return tickers


def _firing(cloud: LaptopCloud, fired: dict[str, Any]) -> Any:
    def fire(at: datetime) -> None:
        try:
            _say(f"{at:%H:%M:%S} tick: {cloud.fire(fired, at)}")
        except LaptopCloudError as error:  # the schedule ticks on, as on AWS
            _say(f"{at:%H:%M:%S} tick failed: {error}")

    return fire


def describe(cloud: LaptopCloud) -> str:
    """Where everything is, and how to look at it from another terminal."""
    outputs = "\n".join(f"  {name:<24} {value}" for name, value in cloud.outputs.items())
    region = cloud.region
    return f"""
The laptop cloud is up. In another terminal:

  export AWS_ENDPOINT_URL={cloud.endpoint} AWS_REGION={region} AWS_DEFAULT_REGION={region} \\
    AWS_ACCESS_KEY_ID=operator AWS_SECRET_ACCESS_KEY=laptop
  aws cloudformation describe-stacks
  aws stepfunctions list-executions --state-machine-arn ...

Outputs of the template:
{outputs}

Logs: {cloud.workdir}/logs. Ctrl-C ends it.
"""


def _say(line: str) -> None:
    print(line, flush=True)
