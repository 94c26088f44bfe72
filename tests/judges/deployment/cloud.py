"""MiniStack as a process of its own, on a free port of loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from laptop_cloud.aws.account import ACCOUNT_ID, REGION
from tests.harness.children import Child
from tests.harness.waiting import eventually

SERVER = Path(__file__).with_name("server.py")
LOG = "ministack.log"
"""File in the folder of a MiniStack: its log, with those of the functions."""
FOREIGN = ("AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Beginnings of the names of variables that would lead to other endpoints or credentials."""


@contextmanager
def ministack(python: Path, folder: Path) -> Iterator[dict[str, str]]:
    """Run MiniStack until the context ends.

    Parameters
    ----------
    python
        The Python in which MiniStack is installed.
    folder
        For its files.

    Returns
    -------
    The environment in which boto3 and the SAM CLI use it.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "AUTH": "true",  # requests are signed, and each function may only do what its role allows
        "LAMBDA_EXECUTOR": "local",
        "IOT_MTLS_ENABLED": "0",
        "TMPDIR": str(folder),
        "PYTHONPATH": "",  # a function imports its package, and nothing of this repository
    }
    own, url, log = clean_environment(), f"http://127.0.0.1:{port}", folder / LOG
    with (
        log.open("w", encoding="utf-8") as file,
        Child([python, SERVER], env={**own, **settings}, cwd=folder, stdout=file, stderr=file) as server,
    ):
        try:
            eventually(lambda: server.poll() is not None or _answers(url), "MiniStack's first answer", every=0.3)
            if server.poll() is not None:
                raise RuntimeError(f"MiniStack did not start:\n{log.read_text(encoding='utf-8')[-2000:]}")
            yield {**own, "AWS_ENDPOINT_URL": url}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)  # with the processes of the functions


def clean_environment() -> dict[str, str]:
    """Return this process's environment without its AWS settings and proxies, and with MiniStack's root user."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(FOREIGN)}
    return kept | {
        "AWS_ACCESS_KEY_ID": ACCOUNT_ID,
        "AWS_SECRET_ACCESS_KEY": "of MiniStack's root user",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/_ministack/health", timeout=10).ok
    except requests.RequestException:
        return False
