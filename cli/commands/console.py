"""`fanout console`: the page to look at, on this machine."""

from __future__ import annotations

import socket
from typing import Annotated, Any

import typer

from cli.command import Operator
from cli.errors import UsageError

PORT = 4580

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Show everything, change nothing.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="On loopback; 0 takes any that is free.")]


def console(op: Operator, port: Port = PORT, read_only: ReadOnly = False) -> None:
    """Serve a page that shows what is late, failing, stuck and costly, and why. Ctrl-C ends it."""
    address, server = serve(op, port, read_only=read_only)
    print(f"the console is at {address}", flush=True)  # noqa: T201 - whoever started it waits for this line
    server.run()


def serve(op: Operator, port: int, *, read_only: bool = False) -> tuple[str, Any]:
    """Make the console ready to be served.

    Returns
    -------
    The address at which to open it, with its key, and a server whose `run` serves it for ever.

    Raises
    ------
    UsageError
        Another program has the port.
    """
    from waitress.server import create_server

    from cli.console.app import Console
    from cli.console.guard import Guard

    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; --port 0 takes one that is free") from None
    guard = Guard(listening.getsockname()[1])
    page = Console(op, guard, read_only=read_only)
    page.watch.start()
    return guard.address, create_server(page.app.server, sockets=[listening], threads=8)
