"""Makes a virtual environment from a lock file: `python tools/environment.py FOLDER LOCK`.

It runs before anything is installed, on any supported Python, so it imports only the standard library. It uses a pinned
uv, which is installed once, into .uv, with its hash checked.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

SUPPORTED = ((3, 11), (3, 14))
REQUIREMENTS = Path(__file__).parents[1] / "requirements"
UV_FOLDER = Path(".uv")
SILENCE_SECONDS = 2.5
"""A line is printed at least this often, so that a slow network does not look like a hang."""

UNUSED_PARTS_OF_SPARK = (
    *("jars/connect-repl", "jars/rocksdbjni-*", "jars/spark-connect_*", "jars/scala-compiler-*", "jars/jline-*"),
    *("jars/*kubernetes*", "jars/vertx-*", "jars/*hive*", "jars/datanucleus-*", "jars/derby*"),
    *("jars/zookeeper*", "jars/curator-*", "jars/netty-codec-native-quic-*"),
    *("jars/netty-*-osx-*", "jars/netty-*-windows-*", "examples", "data"),
)
"""220 of 477 MB: shells, Kubernetes, Hive, stores for streams, and native code of other systems. A batch job on one
machine loads none of it."""


class SetupError(Exception):
    """The environment could not be made; the message says what to do."""


def main(folder: Path, lock: Path) -> None:
    """Install into `folder` exactly the packages that `lock` lists."""
    _check_version(sys.version_info[:2])
    _say(f"Setting up {folder} from {lock} with Python {sys.version.split()[0]} (once)")
    uv = _installer()
    if not (folder / "pyvenv.cfg").exists():
        _run("creating the environment", [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, folder])
    sync: list[str | Path] = [uv, "pip", "sync", "--python", folder / "bin" / "python", "--require-hashes", lock]
    # pyspark is published as source only. Packing 460 MB of jars without compressing them again saves half of the time.
    sync += ["--build-constraints", REQUIREMENTS / "build.txt"]
    sync += ["--config-settings-package", "pyspark:--build-option=--compression=stored"]
    _run(f"installing {_count(lock)} packages", [*sync, "--quiet"])
    for spark in folder.glob("lib/python*/site-packages/pyspark"):
        _remove_unused(spark)


def _check_version(version: tuple[int, ...]) -> None:
    low, high = SUPPORTED
    if not low <= version <= high:
        found = ".".join(map(str, version))
        raise SetupError(f"{sys.executable} is Python {found}. {supported()}")


def supported() -> str:
    """The error for a Python that is not supported."""
    low, high = (".".join(map(str, version)) for version in SUPPORTED)
    return f"This project runs on Python {low} to {high}: make run PYTHON=/path/to/python3.13"


def _installer() -> Path:
    """The pinned uv; installed by this Python's pip if it is missing."""
    lock = REQUIREMENTS / "uv.txt"
    uv, installed = UV_FOLDER / "bin" / "uv", UV_FOLDER / "installed"
    if installed.exists() and installed.read_bytes() == lock.read_bytes():
        return uv
    shutil.rmtree(UV_FOLDER, ignore_errors=True)
    pip: list[str | Path] = [sys.executable, "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        # Debian's Python has no pip, but can put one into an environment if python3-venv is installed.
        _run("installing pip", [sys.executable, "-m", "venv", str(UV_FOLDER / "venv")])
        pip = [UV_FOLDER / "venv" / "bin" / "python", "-m", "pip"]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--target", str(UV_FOLDER)]
    environment = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}
    _run("installing uv", [*pip, "install", *options, "-r", lock], environment)
    shutil.copy(lock, installed)
    return uv


def _run(what: str, command: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    """Run a command, and print regularly that it is still running.

    Raises
    ------
    SetupError
        The command failed; the message has its output.
    """
    _say(f"  {what}")
    started = time.monotonic()
    words = [str(word) for word in command]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        while True:
            try:
                output = process.communicate(timeout=SILENCE_SECONDS)[0]
                break
            except subprocess.TimeoutExpired:
                _say(f"  {what}: {time.monotonic() - started:.0f} s")
    if process.returncode:
        raise SetupError(f"{what} failed:\n{output}")


def _count(lock: Path) -> int:
    return sum("==" in line for line in lock.read_text(encoding="utf-8").splitlines() if line[:1].isalnum())


def _remove_unused(spark: Path) -> None:
    for pattern in UNUSED_PARTS_OF_SPARK:
        for path in spark.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except SetupError as error:
        sys.exit(f"error: {error}")
