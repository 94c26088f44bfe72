"""`python -m demo run | up`: glue-fanout on the laptop cloud."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from demo import STACK_NAME, DemoError
from laptop_cloud.__main__ import run as run_command
from laptop_cloud.__main__ import stack_arguments, up_arguments

if TYPE_CHECKING:
    from demo.plan import Plan
    from demo.run import Stage

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT / "functions"), str(ROOT / "glue")]  # `make run` installs no package of this project

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
    run.add_argument("--job", choices=["change_log", "standardize"], help="the job of each run (change_log)")
    run.add_argument("--change-log", type=Path, help="your own change log: a folder with provider=NAME/**")
    run.add_argument("--files", type=Path, help="for --job standardize: your own files, a folder with provider=NAME/**")
    run.add_argument("--mappings", type=Path, help="for --job standardize: a folder with mappings, NAME.yaml")
    run.add_argument("--table", action="store_true", help="change a table's items, and follow the changes to messages")
    run.add_argument("--providers", type=int, help="number of generated providers (6, with --table 20)")
    run.add_argument("--rows", type=int, help="number of generated rows in total (6000, with --table 5000)")
    run.add_argument("--seed", type=int, help="seed of the generated rows (1)")

    up = commands.add_parser("up", help="keep the system running, with its schedule ticking, until Ctrl-C")
    stack_arguments(up, STACK_NAME)
    up_arguments(up)
    up.add_argument("--table", action="store_true", help="add a table whose changes become messages")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status is 0 if it succeeded and the report has no faults."""
    chosen = parser().parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # for names that its encoding lacks
    return run_command(lambda: {"run": _run, "up": _up}[chosen.command](chosen))


def check_options(chosen: argparse.Namespace) -> None:
    """Refuse options of `run` that exclude each other.

    Raises
    ------
    DemoError
    """
    if chosen.table:
        what, takes = "TABLE=yes", {"table", "providers", "rows", "seed"}
    elif chosen.job == "standardize":
        own = chosen.files or chosen.mappings
        what, takes = "JOB=standardize", {"job", "files", "mappings"} if own else {"job", "rows"}
        what += " with FILES and MAPPINGS" if own else ""
    elif chosen.change_log:
        what, takes = "CHANGE_LOG", {"change_log"}
    else:
        what, takes = "JOB=change_log", {"providers", "rows", "seed"}
    takes |= {"job"} if chosen.job == "change_log" else set()
    names = ("job", "change_log", "files", "mappings", "table", "providers", "rows", "seed")
    wrong = [name.upper() for name in names if getattr(chosen, name) not in (None, False) and name not in takes]
    if wrong:
        raise DemoError(f"{what} cannot be combined with {', '.join(wrong)}.")
    if bool(chosen.files) != bool(chosen.mappings):
        raise DemoError("FILES and MAPPINGS belong together: set both, or neither.")


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _run_table(chosen: argparse.Namespace) -> int:
    from demo.screen import PlainScreen

    with PlainScreen() as shown:
        shown.say("getting ready")
        from demo import table  # imported after the first output, because it takes seconds

        providers, rows = _or(chosen.providers, 20), _or(chosen.rows, 5000)
        report = table.run(providers, rows, _or(chosen.seed, 1), chosen.template, chosen.workdir, shown.say)
    table.summary(report, print)
    return _finish(report, chosen.workdir)


def _run(chosen: argparse.Namespace) -> int:
    check_options(chosen)
    if chosen.table:
        return _run_table(chosen)
    from demo.run import run, summary
    from demo.screen import screen

    with screen() as shown:
        if folder := chosen.change_log or chosen.files:
            shown.say(f"reading {folder}")
        report = run(*_plan(chosen), chosen.template, chosen.workdir, shown)
    summary(report, print)
    return _finish(report, chosen.workdir)


def _plan(chosen: argparse.Namespace) -> tuple[Plan, type[Stage]]:
    from demo.plan import generated_plan, own_plan
    from demo.run import Stage

    if chosen.job == "standardize":
        from demo import standardize

        own = chosen.files and standardize.own_plan(chosen.files, chosen.mappings)
        return own or standardize.generated_plan(_or(chosen.rows, ROWS)), standardize.StandardStage
    if chosen.change_log:
        return own_plan(chosen.change_log), Stage
    return generated_plan(_or(chosen.providers, PROVIDERS), _or(chosen.rows, ROWS), _or(chosen.seed, 1)), Stage


def _finish(report: dict[str, object], workdir: Path) -> int:
    print(f"report: {workdir / 'report.json'}")
    return 0 if report["ok"] else 1


def _up(chosen: argparse.Namespace) -> int:
    from demo.up import up

    up(chosen)
    return 0


if __name__ == "__main__":
    sys.exit(main())
