"""`python -m laptop_cloud up | invoke`: the laptop cloud from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from laptop_cloud.errors import LaptopCloudError, NotRunningError


def stack_arguments(parser: argparse.ArgumentParser, stack_name: str = "laptop") -> None:
    """Add the options that choose a template, a folder and a stack name."""
    parser.add_argument("--template", type=Path, default="template.yaml", help="the SAM template (%(default)s)")
    parser.add_argument("--workdir", type=Path, default=".local", help="folder for state and logs (%(default)s)")
    parser.add_argument("--stack-name", default=stack_name, help="value of AWS::StackName (%(default)s)")
    parser.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="override of a template parameter; can be repeated",
    )


def up_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `up`."""
    parser.add_argument("--port", type=int, default=4566, help="port of the AWS endpoint, 0 for any (%(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times faster schedules tick (%(default)s)")


def run(command: Callable[[], int]) -> int:
    """Run a command, print its error if it fails, and return the exit status."""
    try:
        return command()
    except LaptopCloudError as error:
        text = "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in str(error))
        print(f"error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    top = argparse.ArgumentParser(prog="python -m laptop_cloud", description="Run a SAM template on this machine.")
    commands = top.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="keep the stack running, with its schedules ticking, until Ctrl-C")
    invoke = commands.add_parser("invoke", help="invoke one function of the running stack, or of a temporary one")
    for command in (up, invoke):
        stack_arguments(command)
    up_arguments(up)
    invoke.add_argument("function", help="logical id of the function")
    invoke.add_argument("--event", type=Path, help="JSON file with the event; {} by default")
    chosen = top.parse_args(arguments)
    return run(lambda: {"up": _up, "invoke": _invoke}[chosen.command](chosen))


def _up(chosen: argparse.Namespace) -> int:
    from laptop_cloud.cloud import LaptopCloud
    from laptop_cloud.up import keep_up

    parameters = dict(chosen.parameter)
    cloud = LaptopCloud(chosen.template, parameters, chosen.workdir, chosen.stack_name, port=chosen.port)
    keep_up(cloud, chosen.speed)
    return 0


def _invoke(chosen: argparse.Namespace) -> int:
    from laptop_cloud.invoke import invoke

    try:
        event = json.loads(chosen.event.read_text(encoding="utf-8")) if chosen.event else {}
    except (OSError, ValueError) as error:
        raise LaptopCloudError(f"--event {chosen.event}: {error}") from error
    call = (chosen.function, event, chosen.template, chosen.workdir)
    try:
        answer = invoke(*call)
    except NotRunningError:
        from laptop_cloud.cloud import LaptopCloud  # imported only now, because it takes seconds

        print("no laptop cloud is running: starting one for this call", file=sys.stderr)
        with LaptopCloud(chosen.template, dict(chosen.parameter), chosen.workdir, chosen.stack_name):
            answer = invoke(*call)
    print(json.dumps(answer.error if answer.error is not None else answer.result, indent=1))
    return 0 if answer.error is None else 1


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"write NAME=VALUE instead of {text!r}")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
