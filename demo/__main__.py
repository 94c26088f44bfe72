"""`python -m demo run | up | invoke`: the laptop cloud from the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from laptop_cloud.errors import LaptopCloudError

TEMPLATE = Path("template.yaml")
WORKDIR = Path(".local")
RUN_WORKDIR = WORKDIR / "run"
"""`make run` has a folder of its own, so that it disturbs no `make up` beside it."""

PROVIDERS, ROWS = 6, 6000


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m demo", description="The whole system on this machine.")
    top.add_argument("--template", type=Path, default=TEMPLATE, help="the SAM template (default: %(default)s)")
    folder = f"state, logs, report (default: {RUN_WORKDIR} of run, else {WORKDIR})"
    top.add_argument("--workdir", type=Path, help=folder)
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="start, seed, tick twice, verify, report")
    run.add_argument("--job", choices=["change_log", "standardize"], default="change_log", help="what each run does")
    run.add_argument("--change-log", type=Path, help="your own change log: provider=NAME/**/*.json.gz below it")
    run.add_argument("--files", type=Path, help="of --job standardize: your own files, provider=NAME/** below it")
    run.add_argument("--mappings", type=Path, help="of --job standardize: your providers' mappings, NAME.yaml in it")
    run.add_argument("--table", action="store_true", help="change a table's items, and follow the changes to messages")
    run.add_argument("--providers", type=int, help="providers to make up (default: 6, with --table 20)")
    run.add_argument("--rows", type=int, help="rows to make up, in all (default: 6000, with --table 5000)")
    run.add_argument("--seed", type=int, default=1, help="of the made-up rows (default: %(default)s)")

    up = commands.add_parser("up", help="keep running with the schedule ticking; Ctrl-C ends it")
    up.add_argument("--port", type=int, default=4566, help="of the AWS endpoint, 0 for any (default: %(default)s)")
    up.add_argument("--speed", type=float, default=1.0, help="how many times faster the schedule ticks")
    up.add_argument("--table", action="store_true", help="with a table whose changes become messages")
    up.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE", help="override of a parameter")

    invoke = commands.add_parser("invoke", help="one function with one event")
    invoke.add_argument("function", help="logical id of the function")
    invoke.add_argument("--event", type=Path, help="JSON file with the event (default: {})")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0 when all is well."""
    chosen = parser().parse_args(arguments)
    chosen.workdir = chosen.workdir or (RUN_WORKDIR if chosen.command == "run" else WORKDIR)
    try:
        return {"run": _run, "up": _up, "invoke": _invoke}[chosen.command](chosen)
    except LaptopCloudError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _run_table(chosen: argparse.Namespace) -> int:
    from demo.screen import PlainScreen

    providers, rows = chosen.providers or 20, chosen.rows or 5000
    with PlainScreen() as shown:
        shown.say("getting ready")
        from demo import table  # takes seconds to import: after the first sign of life

        report = table.run(providers, rows, chosen.seed, chosen.template, chosen.workdir, shown.say)
    table.summary(report, print)
    print(f"report: {chosen.workdir / 'report.json'}")
    return 0 if report["ok"] else 1


def _run(chosen: argparse.Namespace) -> int:
    if chosen.table:
        return _run_table(chosen)
    from demo.plan import Plan, generated_plan, own_plan
    from demo.run import Stage, run, summary
    from demo.screen import screen

    stage: type[Stage] = Stage
    plan: Plan
    if chosen.job == "standardize":
        from demo import standardize

        stage = standardize.StandardStage
        if bool(chosen.files) != bool(chosen.mappings):
            raise LaptopCloudError("FILES and MAPPINGS belong together: give both, or neither.")
        own = chosen.files and standardize.own_plan(chosen.files, chosen.mappings)
        plan = own or standardize.made_up_plan(chosen.rows or ROWS)
    elif chosen.change_log:
        plan = own_plan(chosen.change_log)
    else:
        plan = generated_plan(chosen.providers or PROVIDERS, chosen.rows or ROWS, chosen.seed)
    with screen() as shown:
        report = run(plan, chosen.template, chosen.workdir, shown, stage)
    summary(report, print)
    print(f"report: {chosen.workdir / 'report.json'}")
    return 0 if report["ok"] else 1


def _up(chosen: argparse.Namespace) -> int:
    from demo.up import keep_up

    overrides = dict(_pair(text) for text in chosen.parameter)
    keep_up(chosen.template, chosen.workdir, chosen.port, chosen.speed, overrides, chosen.table)
    return 0


def _pair(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise LaptopCloudError(f"--parameter {text}: write NAME=VALUE.")
    return name, value


def _invoke(chosen: argparse.Namespace) -> int:
    from demo.invoke import invoke

    try:
        event = json.loads(chosen.event.read_text(encoding="utf-8")) if chosen.event else {}
    except (OSError, ValueError) as error:
        raise LaptopCloudError(f"--event {chosen.event}: {error}") from error
    answer = invoke(chosen.function, event, chosen.template, chosen.workdir)
    print(json.dumps(answer.error if answer.error is not None else answer.result, indent=1))
    return 0 if answer.error is None else 1


if __name__ == "__main__":
    sys.exit(main())
