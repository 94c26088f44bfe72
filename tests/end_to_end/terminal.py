"""A terminal of a given width, whose session is recorded."""

from __future__ import annotations

import os
import pty
import re
import shlex
import struct
import termios
import threading
from collections.abc import Iterable
from fcntl import ioctl
from pathlib import Path

from tests.harness.children import Child

STYLE = re.compile(r"\x1b\[[0-9;]*m")
FIGURES = (
    (re.compile(r"\d{8}T\d{6}Z"), "20261122T073000Z"),
    (
        re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|\+0000|\+00:00)"),
        "2026-11-22 07:30:00Z",
    ),
    (re.compile(r"\d{4}-\d{2}-\d{2}"), "2026-11-22"),
    (re.compile(r"\$\d[\d,.]*\d"), "$0.01"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:4566"),
    (re.compile(r"\b\d+\.\d+\b"), "0.1"),
    (re.compile(r"\b(?:\d+[dhms] ?){1,2}\b"), "1m "),
    (re.compile(r"\b\d[\d,]* (?:bytes|outputs)|within \d+ s"), "1 byte"),
    (
        re.compile(
            r"\b[0-9a-f]{32,}\b|(?<=databucket-)[a-z0-9]+|(?<=ChangesQueue-)[A-Z0-9]+"
            r"|(?<=/change_log-)[0-9a-f]{16}(?=\.py)"
        ),
        "#",
    ),
)
"""Patterns of text that differs between sessions: times, amounts, sizes, ports, hashes."""


def record(
    blocks: Iterable[str], columns: int, cwd: Path, environment: dict[str, str], seconds: float
) -> tuple[str, int]:
    """Run blocks of shell commands in one shell on a terminal; return commands, output and exit status.

    The shell stops at the first command that fails.
    """
    script = ["set -euo pipefail"]
    for block in blocks:
        for command in commands(block):
            shown = "$ " + command.replace("\n", "\n> ")
            script += [f"printf '%s\\n' {shlex.quote(shown)}", command]
        script.append("echo")
    main, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**environment, "TERM": "xterm", "COLUMNS": str(columns)}
    command = ["bash", "-c", "\n".join(script)]
    shell = Child(command, cwd=cwd, env=environment, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said, limit = b"", threading.Timer(seconds, shell.kill)
    try:
        limit.start()
        while piece := read(main):
            said += piece
    finally:
        limit.cancel()
        os.close(main)
        status = shell.wait()
    return STYLE.sub("", said.decode()).replace("\r\n", "\n"), status


def commands(block: str) -> list[str]:
    """Split a block into its commands: one per line, except for a command with a here-document."""
    found: list[str] = []
    end = ""
    for line in block.rstrip().split("\n"):
        if end:
            found[-1] += "\n" + line
            end = "" if line == end else end
        else:
            found.append(line)
            end = line.partition("<<'")[2].rstrip("'")
    return found


def read(terminal: int) -> bytes:
    """Read the next output of a terminal; empty after its last process has ended."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def comparable(session: str) -> list[str]:
    """Split a session into words, without text that differs between sessions and without line ends."""
    for pattern, same in FIGURES:
        session = pattern.sub(same, session)
    return session.split()
