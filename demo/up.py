"""`make up`: glue-fanout on a laptop cloud that keeps running, with the operator's console."""

from __future__ import annotations

import argparse
import json
import threading
from pathlib import Path
from typing import Any

from demo.run import register
from demo.table import deploy_with_table
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.up import keep_up


def up(chosen: argparse.Namespace) -> None:
    """Keep the system running until Ctrl-C. With `chosen.table`, add a table and its provider."""

    def prepare(cloud: LaptopCloud) -> str:
        if chosen.table:
            deploy_with_table(cloud)
            register(cloud, ["aurora"], minutes=1)
        console = _serve_console(cloud.workdir / "cloud.json", chosen.port)
        return commands(cloud.outputs) + (_TABLE_COMMAND if chosen.table else "") + console

    parameters = dict(chosen.parameter)
    cloud = LaptopCloud(chosen.template, parameters, chosen.workdir, chosen.stack_name, port=chosen.port)
    keep_up(cloud, chosen.speed, prepare, summarize_tick)


def _serve_console(cloud_file: Path, port: int) -> str:
    """Serve the operator's page as `fanout console` does, and return its address as a sentence."""
    from cli.command import Operator
    from cli.commands.console import PORT, serve
    from cli.deployment import Where
    from cli.errors import UsageError

    try:
        address, server = serve(Operator(Where(None, cloud_file=cloud_file)), PORT if port else 0)
    except UsageError as error:
        return f"\nThe console is not served: {error} (of `fanout console`).\n"
    threading.Thread(target=server.run, daemon=True).start()
    return f"\nConsole: {address}\n"


def summarize_tick(report: Any) -> str:
    """Summarize a dispatcher's report as a sentence, followed by its faults and invalid entries."""
    if not isinstance(report, dict) or "providers" not in report:
        return json.dumps(report)
    parts = [f"{report['started']} started"]
    parts += [f"{report[name]} {name.replace('_', ' ')}" for name in ("deferred", "failed_starts") if report.get(name)]
    parts += [f"{report['invalid']} entries invalid"] if report.get("invalid") else []
    sentence = f"{report['due']} of {report['providers']} providers were due: {', '.join(parts)}."
    return " ".join([sentence, *(str(fault) for fault in [*report["faults"], *report["invalid_providers"]])])


def commands(outputs: dict[str, str]) -> str:
    """Return useful AWS CLI commands for the stack."""
    return _COMMANDS.format_map(outputs)


_COMMANDS = """
Useful commands:

  aws stepfunctions list-executions --state-machine-arn {StateMachineArn}
  aws logs tail {FunctionLogGroup}
  aws sqs receive-message --endpoint-url $AWS_ENDPOINT_URL --queue-url {ChangesQueueUrl}
  key=$(aws secretsmanager get-secret-value --secret-id {ConfigApiKeySecretArn} --query SecretString --output text)
  curl -H "x-api-key: $key" {ConfigApiUrl}
"""
"""Version 1 of the AWS CLI needs SQS's endpoint on the command line."""

_TABLE_COMMAND = """
A change of the table becomes a message at the tick after the next minute (with --speed 15, at each minute):

  aws dynamodb put-item --table-name things \\
    --item '{"pk": {"S": "ORG#aurora#1"}, "sk": {"N": "1"}, "title": {"S": "hello"}}'
"""
