"""`fanout job …`: a job's code on local files."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from fanout.manifests import why_ignored

from ..command import Command, Context
from ..errors import Exit, UsageError
from ..jobs import BadInput, StandardJob, load_script
from ..output import Page, counted

app = typer.Typer()
job = typer.Typer(help="Try a changed job on local files, without a cloud.", no_args_is_help=True)
app.add_typer(job, name="job")

MAX_ERRORS = 100
"""The most errors in a report; the others are only counted."""


@dataclass(frozen=True)
class TrialReport:
    """The outcome of a job on local files.

    Attributes
    ----------
    kind
        "message", "row", or "output": an object that a job without `transform` and MODEL writes.
    files
        Number of files.
    ignored
        Files in the folders that are not data.
    made, bad
        Numbers of messages, rows or outputs, and of bad rows and files.
    shown
        The first messages, rows or outputs.
    errors
        The first errors.
    """

    kind: str
    files: int
    ignored: tuple[str, ...]
    made: int
    bad: int
    shown: tuple[dict[str, Any], ...]
    errors: tuple[BadInput, ...]


@job.command("try", cls=Command)
def try_job(
    ctx: Context,
    files: Annotated[list[Path], typer.Argument(help="Files, compressed or not, or folders with files.", exists=True)],
    job: Annotated[str, typer.Option("--job", help="Name of the script in glue/.")] = "change_log",
    mapping: Annotated[
        Path | None, typer.Option(help="Mapping of the files, for a job with a MODEL.", exists=True, dir_okay=False)
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Number of messages, rows or outputs to show.")] = 5,
) -> Exit:
    """Show the first messages or rows that a job makes of local files, or what else it writes, and every bad row with
    its cause. Runs the code of glue/ without a cloud and without Spark, and sends nothing. Exit status 1 if anything
    is bad.
    """
    data, ignored = _data(files)
    shown: list[dict[str, Any]] = []
    errors: list[BadInput] = []
    made = bad = 0
    with contextlib.redirect_stdout(sys.stderr):  # what the user's code prints must not disturb --json
        kind, results = _results(job, mapping, data, ctx)
        for one in results:
            if isinstance(one, int):
                bad += one
            elif isinstance(one, BadInput):
                bad += 1
                errors += [one] if bad <= MAX_ERRORS else []
            else:
                made += 1
                shown += [one] if made <= rows else []
    ctx.obj.show(TrialReport(kind, len(data), ignored, made, bad, tuple(shown), tuple(errors)), _show)
    return Exit.UNHEALTHY if bad else Exit.OK


def _data(given: list[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """Return the files that are data, also those in the folders, and the other files in the folders."""
    data: list[Path] = []
    ignored: list[str] = []
    try:
        for path in given:
            data += [] if path.is_dir() else [path]
            for file in sorted(one for one in path.rglob("*") if one.is_symlink() or not one.is_dir()):
                if file.is_file() and not why_ignored(file.relative_to(path).as_posix()):
                    data.append(file)
                else:
                    ignored.append(str(file))
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from None
    if not data:
        raise UsageError(f"{', '.join(map(str, given))}: no file is data, {len(ignored)} ignored")
    return data, tuple(ignored)


def _results(
    job: str, mapping: Path | None, files: list[Path], ctx: Context
) -> tuple[str, Iterator[dict[str, Any] | BadInput | int]]:
    """Return what the job makes, and an iterator over it, the errors, and numbers of errors that it only counts."""
    script = load_script(job)
    if hasattr(script, "MODEL"):
        if mapping is None:
            raise UsageError(f"glue/{job}.py reads files by a mapping; add --mapping FILE")
        standard = StandardJob.load(job)
        rules = standard.mapping(mapping)
        return "row", (row for file in files for row in standard.rows(rules, file))
    if mapping is not None:
        raise UsageError(f"glue/{job}.py has no MODEL, so it does not use --mapping")
    from .. import trial

    if not callable(getattr(script, "transform", None)):
        if not callable(getattr(script, "handler", None)):
            raise UsageError(f"glue/{job}.py has no MODEL, no `transform` and no `handler`, so it is not a job")
        return "output", trial.outputs(script, job, files)
    if getattr(script, "etl", None) is not None:
        ctx.obj.note("`etl` needs Spark, so it is not called; the messages are those of `transform`")
    return "message", trial.messages(script.transform, job, files)


def _show(report: TrialReport, page: Page) -> None:
    for one in report.shown:
        page.lines(json.dumps(one, indent=2, ensure_ascii=False, default=str).splitlines())
        page.line("")
    count = f"{counted(report.made, report.kind)} from {counted(report.files, 'file')}, {report.bad:,} bad"
    page.line(count if report.made <= len(report.shown) else f"{count}; {len(report.shown)} shown")
    if report.ignored:
        page.line(f"{counted(len(report.ignored), 'file')} ignored, because not data: {', '.join(report.ignored[:5])}")
    for error in report.errors:
        page.line(error.text, style="red")
    if report.bad > len(report.errors):
        page.line(f"and {report.bad - len(report.errors):,} more errors", style="red")
    page.lines(dict.fromkeys(error.failure.advice for error in report.errors))
