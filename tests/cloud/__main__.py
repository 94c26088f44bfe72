"""`make smoke STACK=name`: `python -m tests.cloud --stack name`, or the laptop cloud of `make up` without a name."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated

import typer

from cli.command import Command, Context
from cli.errors import Exit
from tests.cloud.report import Report, show
from tests.cloud.smoke import SmokeTest

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(cls=Command)
def smoke(
    ctx: Context,
    send: Annotated[
        bool, typer.Option("--send", help="Send the messages although the queue is in use: its consumers get them.")
    ] = False,
    raise_alarm: Annotated[
        bool, typer.Option("--raise-alarm", help="Let a run fail although that raises FailedRunsAlarm.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if a part was not checked.")] = False,
) -> Exit:
    """Check a deployed stack: run a provider of its own from the tick to the messages, and clean up.

    Exit status 1 if a part is broken.
    """
    former = signal.signal(signal.SIGTERM, _interrupt)
    test = SmokeTest(ctx.obj.stack, lambda step: ctx.obj.note(f"{step} …"), send=send, raise_alarm=raise_alarm)
    interrupted = False
    try:
        test.run()
    except KeyboardInterrupt:
        interrupted = True
    finally:
        signal.signal(signal.SIGTERM, former)
    report = Report(tuple(test.checks), strict)
    ctx.obj.show(report, show)
    return Exit.INTERRUPTED if interrupted else report.status


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
