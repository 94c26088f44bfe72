"""`python -m demo run | up`: glue-fanout on the laptop cloud."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from demo import STACK_NAME, DemoError
from laptop_cloud.__main__ import run as run_command
from laptop_cloud.__main__ import stack_arguments, up_arguments

RUN_WORKDIR = Path(".local/run")
"""Separate from the folder of `make up`, so that both can run at the same time."""

PROVIDERS, ROWS = 6, 6000


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="python -m demo", description="Run glue-fanout on this machine.")
    commands = top.add_subparsers(dest="command", required=True)

    run = commands.add_parser("run", help="start the system, process sample data, verify the result, report")
    run.add_argument("--template", type=Path, default="template.yaml", help="the SAM template (%(default)s)")
    run.add_argument("--workdir", type=Path, default=RUN_WORKDIR, help="folder for state, logs, report (%(default)s)")
    run.add_argument("--job", choices=["change_log", "standardize"], default="change_log", help="the job of each run")
    run.add_argument("--change-log", type=Path, help="your own change log: a folder with provider=NAME/**")
    run.add_argument("--files", type=Path, help="for --job standardize: your own files, a folder with provider=NAME/**")
    run.add_argument("--mappings", type=Path, help="for --job standardize: a folder with mappings, NAME.yaml")
    run.add_argument("--table", action="store_true", help="change a table's items, and follow the changes to messages")
    run.add_argument("--providers", type=int, help="number of generated providers (6, with --table 20)")
    run.add_argument("--rows", type=int, help="number of generated rows in total (6000, with --table 5000)")
    run.add_argument("--seed", type=int, default=1, help="seed of the generated rows (%(default)s)")

    up = commands.add_parser("up", help="keep the system running, with its schedule ticking, until Ctrl-C")
    stack_arguments(up, STACK_NAME)
    up_arguments(up)
    up.add_argument("--table", action="store_true", help="add a table whose changes become messages")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0 if it succeeded and the report has no faults."""
    chosen = parser().parse_args(arguments)
    return run_command(lambda: {"run": _run, "up": _up}[chosen.command](chosen))


def _run_table(chosen: argparse.Namespace) -> int:
    from demo.screen import PlainScreen

    with PlainScreen() as shown:
        shown.say("getting ready")
        from demo import table  # imported after the first output, because it takes seconds

        providers, rows = chosen.providers or 20, chosen.rows or 5000
        report = table.run(providers, rows, chosen.seed, chosen.template, chosen.workdir, shown.say)
    table.summary(report, print)
    return _finish(report, chosen.workdir)


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
            raise DemoError("FILES and MAPPINGS belong together: set both, or neither.")
        own = chosen.files and standardize.own_plan(chosen.files, chosen.mappings)
        plan = own or standardize.generated_plan(chosen.rows or ROWS)
    elif chosen.change_log:
        plan = own_plan(chosen.change_log)
    else:
        plan = generated_plan(chosen.providers or PROVIDERS, chosen.rows or ROWS, chosen.seed)
    with screen() as shown:
        report = run(plan, chosen.template, chosen.workdir, shown, stage)
    summary(report, print)
    return _finish(report, chosen.workdir)


def _finish(report: dict[str, object], workdir: Path) -> int:
    print(f"report: {workdir / 'report.json'}")
    return 0 if report["ok"] else 1


def _up(chosen: argparse.Namespace) -> int:
    from demo.up import up

    up(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
