"""`fanout console`: a web page on this machine."""

from __future__ import annotations

import socket
from typing import Annotated, Any

import typer

from ..command import Command, Context, Operator, iam
from ..errors import UsageError

PORT = 4580
app = typer.Typer()

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Disable all changes.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for any free port.")]


@app.command(cls=Command, epilog=iam("console"))
def console(ctx: Context, port: Port = PORT, read_only: ReadOnly = False) -> None:
    """Serve a web page with the status, runs, logs and cost of all providers. Stop it with Ctrl-C."""
    address, server = serve(ctx.obj, port, read_only=read_only)
    print(f"the console is at {address}", flush=True)  # noqa: T201 - a program that started it reads this line
    server.run()


def serve(op: Operator, port: int, *, read_only: bool = False) -> tuple[str, Any]:
    """Create the console's server.

    Returns
    -------
    The address to open, with its key; and a server, whose `run` serves until it is stopped.

    Raises
    ------
    UsageError
        Another program uses the port.
    """
    from waitress.server import create_server

    from ..console.app import Console
    from ..console.guard import IDLE_SECONDS, MAX_BODY, Guard

    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(f"cannot use port {port}: {error.strerror}; use --port 0 for any free port") from None
    guard = Guard(listening.getsockname()[1])
    page = Console(op, guard, read_only=read_only)
    page.watch.start()
    limits = {"max_request_body_size": MAX_BODY, "channel_timeout": IDLE_SECONDS, "cleanup_interval": IDLE_SECONDS}
    server = create_server(page.app.server, sockets=[listening], threads=8, **limits)
    guard.protect_connections(server)
    return guard.address, server
