"""`fanout console`: the page to look at, on this machine."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from cli.command import Operator
from cli.errors import UsageError

PORT = 4580

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Show everything, change nothing.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="On loopback; 0 takes any that is free.")]


def console(op: Operator, port: Port = PORT, read_only: ReadOnly = False) -> None:
    """Serve a page that shows what is late, failing, stuck and costly, and why. Ctrl-C ends it."""
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(f"port {port} cannot be used ({error.strerror}): --port 0 takes one that is free") from None
    from waitress.server import create_server

    from cli.console.app import Console
    from cli.console.guard import Guard

    guard = Guard(listening.getsockname()[1])
    page = Console(op, guard, read_only=read_only)
    page.watch.start()
    print(f"the console is at {guard.address}", flush=True)  # noqa: T201 - whoever started it waits for this line
    create_server(page.app.server, sockets=[listening], threads=8).run()
