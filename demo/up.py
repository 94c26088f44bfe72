"""`make up`: the laptop cloud stays up, its schedule ticking, until it is told to stop."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from demo.run import register
from demo.table import deploy_with_table
from laptop_cloud.aws import schedule
from laptop_cloud.aws.account import REGION, STACK_NAME
from laptop_cloud.aws.schedule import Ticker
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import LaptopCloudError


def keep_up(
    template: Path, workdir: Path, port: int, speed: float, overrides: Mapping[str, object], table: bool = False
) -> None:
    """Start the cloud and its schedules, `speed` times faster than on AWS, print where everything is, and wait for
    Ctrl-C or SIGTERM. With `table`, make a table whose changes become messages, and a provider of it.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    former = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _say("the laptop cloud is coming up")
        with LaptopCloud(template, overrides, workdir, port=port) as cloud:
            if table:
                deploy_with_table(cloud)
                register(cloud, ["aurora"], minutes=1)
            tickers = _tickers(cloud, speed)
            _say(describe(cloud) + (_TABLE_COMMAND if table else ""))
            _serve_console(workdir / "cloud.json", port)
            for ticker in tickers:
                ticker.start()
            stop.wait()
            _say("stopping")
            for ticker in tickers:
                ticker.stop()
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _serve_console(cloud_file: Path, port: int) -> None:
    """Serve the operator's page as `fanout console` does, at a port of its own beside the endpoint's."""
    from cli.command import Operator
    from cli.commands.console import PORT, serve
    from cli.deployment import Where
    from cli.errors import UsageError

    try:
        address, server = serve(Operator(Where(None, cloud_file=cloud_file)), PORT if port else 0)
    except UsageError as error:
        _say(f"The console is not served: {error} (of `fanout console`).\n")
        return
    threading.Thread(target=server.run, daemon=True).start()
    _say(f"Look at it in a browser: {address}\n")


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
            _say(f"{at:%H:%M:%S} {told(cloud.fire(fired, at))}")
        except LaptopCloudError as error:  # the schedule ticks on, as on AWS
            _say(f"{at:%H:%M:%S} the tick failed: {error}")

    return fire


def told(ticked: dict[str, Any]) -> str:
    """A tick's report as a sentence, its faults and refused entries after it."""
    if "providers" not in ticked:  # not the report of a dispatcher
        return json.dumps(ticked)
    parts = [f"{ticked['started']} started"]
    parts += [f"{ticked[name]} {name.replace('_', ' ')}" for name in ("deferred", "failed_starts") if ticked.get(name)]
    parts += [f"{ticked['rejected']} entries refused"] if ticked.get("rejected") else []
    sentence = f"Of {ticked['providers']} providers {ticked['due']} were due: {', '.join(parts)}."
    return " ".join([sentence, *(str(fault) for fault in [*ticked["faults"], *ticked["rejected_providers"]])])


def describe(cloud: LaptopCloud) -> str:
    """Where everything is, and how to look at it from another terminal."""
    outputs = cloud.outputs
    names = {"ConfigApiUrl", "ConfigApiKeySecretArn", "ChangesQueueUrl", "StateMachineArn", "FunctionLogGroup"}
    commands = _COMMANDS.format_map(outputs) if names <= set(outputs) else ""
    listed = "\n".join(f"  {name:<24} {value}" for name, value in outputs.items())
    return f"""
The laptop cloud is up at {cloud.endpoint}. In another terminal:

  export AWS_ENDPOINT_URL={cloud.endpoint} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION} \\
    AWS_ACCESS_KEY_ID=operator AWS_SECRET_ACCESS_KEY=laptop
  aws cloudformation list-stack-resources --stack-name {STACK_NAME}
{commands}
Outputs of the template:
{listed}

Logs are also files in {cloud.workdir}/logs. Ctrl-C ends it.
"""


_COMMANDS = """\
  aws stepfunctions list-executions --state-machine-arn {StateMachineArn}
  aws logs tail {FunctionLogGroup}
  aws sqs receive-message --endpoint-url $AWS_ENDPOINT_URL --queue-url {ChangesQueueUrl}
  key=$(aws secretsmanager get-secret-value --secret-id {ConfigApiKeySecretArn} --query SecretString --output text)
  curl -H "x-api-key: $key" {ConfigApiUrl}
"""
"""What one looks at first; version 1 of the AWS CLI wants to be told SQS's endpoint on the command line."""

_TABLE_COMMAND = """\
A change of the table becomes a message at the tick after the next minute (--speed 15 ticks each minute):

  aws dynamodb put-item --table-name things \\
    --item '{"pk": {"S": "ORG#aurora#1"}, "sk": {"N": "1"}, "title": {"S": "hello"}}'
"""


def _say(line: str) -> None:
    print(line, flush=True)
