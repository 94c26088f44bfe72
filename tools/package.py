"""Builds one Lambda package: `tools/package INTO SOURCE... [--lock LOCK]`.

`sam build` runs it through functions/Makefile and glue/Makefile, once for each function and in parallel. It needs no
Python 3.13 and no container: pip and uv can both install the wheels of another Python and of another system. The wheels
of a lock are installed once, into a folder named by the lock's hash, and hard-linked from there.

Whatever installs them on whatever Python, the package has the same bytes. See docs/decisions.md, D45.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".aws-sam" / "packages"
OLDEST = (3, 11)

PYTHON_VERSION = "3.13"
"""Lambda's runtime and Glue's Python; a test compares with the template."""
GLIBC_MINOR = 34
"""Amazon Linux 2023, on which python3.13 runs, has glibc 2.34."""

NOT_PACKAGED = ("__pycache__", "*.pyc", ".*", "Makefile", "requirements.*")
LEFT_BY_INSTALLERS = (
    *("bin", ".lock", "**/__pycache__", "*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED"),
    *("*.dist-info/uv_cache.json", "*.dist-info/direct_url.json"),
)
"""Files that Lambda does not use: commands with the path of this Python, and files that differ between pip and uv."""


class PackageError(Exception):
    """The package could not be built; the message says what to do."""


def build(into: Path, sources: list[Path], lock: Path | None) -> None:
    """Put the packages that `lock` lists, and the sources, into the folder `into`.

    Parameters
    ----------
    into
        Where the package is built; `sam build` makes the folder.
    sources
        Folders of the project. The contents of the first are the package's top level; each other one is a folder in it.
    lock
        Requirements with hashes, or None for a package without dependencies.

    Raises
    ------
    PackageError
        The lock could not be installed, or a source has the name of a dependency.
    """
    if lock is not None:
        shutil.copytree(installed(lock), into, copy_function=_link, dirs_exist_ok=True)
    handlers, *shared = sources
    for path in sorted([*handlers.iterdir(), *shared]):
        if path.name in shutil.ignore_patterns(*NOT_PACKAGED)(str(path.parent), [path.name]):
            continue
        target = into / path.name
        if target.exists():
            raise PackageError(f"{path} has the name of a package that {lock} brings. Rename one of them.")
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns(*NOT_PACKAGED))
        else:
            shutil.copy(path, target)


def installed(lock: Path) -> Path:
    """The folder with what a lock lists.

    The first caller makes it, and concurrent callers wait. It is made again after a change of one of its files, also by
    way of a built package, whose files are links.
    """
    key = hashlib.sha256(Path(__file__).read_bytes() + lock.read_bytes()).hexdigest()[:16]
    name = lock.parent.name
    folder, stamp = CACHE / f"{name}-{key}", CACHE / f"{name}.stamp"
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone(CACHE / f"{name}.lock"):
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != _state(folder):
            stamp.unlink(missing_ok=True)
            for old in CACHE.glob(f"{name}-*"):
                shutil.rmtree(old)
            _install(lock, folder)
            stamp.write_text(_state(folder), encoding="utf-8")
    return folder


def _state(folder: Path) -> str:
    """Names, sizes and times of a folder's files, as one hash with the folder's name."""
    found = sorted((path, path.stat()) for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}" for path, stat in found]
    return f"{folder.name} {hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def _link(source: str, target: str) -> None:
    """Link a file, or copy it if the build folder is on another file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a file's lock. The operating system releases it however this process ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(lock: Path, folder: Path) -> None:
    installer = _installer()
    print(f"{_shown(lock)}: installing for Python {PYTHON_VERSION} on x86-64 with {installer[0]}", flush=True)
    hashed = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command = [*installer, *hashed, "--target", str(folder), "-r", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise PackageError(_explained(lock, done.stdout + done.stderr))
    for pattern in LEFT_BY_INSTALLERS:
        for path in folder.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _installer() -> list[str]:
    """The start of the install command: the project's uv, the user's uv, or this Python's pip."""
    own = ROOT / ".uv" / "bin" / "uv"
    uv = str(own) if own.exists() else shutil.which("uv")
    if uv:
        platform = f"x86_64-manylinux_2_{GLIBC_MINOR}"
        target = ["--python", sys.executable, "--python-version", PYTHON_VERSION, "--python-platform", platform]
        # By default uv links the files of its own cache, and a change of a built package would change that.
        return [uv, "pip", "install", "--link-mode", "copy", *target]
    if importlib.util.find_spec("pip") is None:
        raise PackageError(
            f"{sys.executable} has no pip, and there is no uv. Install one of them (apt install python3-pip, "
            "brew install uv), or run `make setup` once, which installs uv for this project."
        )
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-compile"]
    pip += ["--python-version", PYTHON_VERSION, "--implementation", "cp"]
    # uv knows that a newer glibc runs what was built for an older one; pip wants each of them named.
    for minor in range(GLIBC_MINOR, 16, -1):
        pip += ["--platform", f"manylinux_2_{minor}_x86_64"]
    return [*pip, "--platform", "manylinux2014_x86_64"]


def _explained(lock: Path, output: str) -> str:
    if "hash" in output.lower():
        advice = (
            f"A package is not the one that {_shown(lock)} names. If you changed a requirement, run `make lock`. "
            "If you did not, do not deploy: the download is not what was tested."
        )
    else:
        advice = "It needs PyPI, or the index that your pip or uv is configured to use."
    return f"{_shown(lock)} could not be installed. {advice}\n{output.strip()}"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def main(arguments: list[str] | None = None) -> None:
    """Parse the arguments and build; if that fails, exit with the error."""
    parser = argparse.ArgumentParser(description="Build one Lambda package.")
    parser.add_argument("into", type=Path, help="folder in which the package is built")
    parser.add_argument("sources", type=Path, nargs="+", help="its top level, then folders beside it")
    parser.add_argument("--lock", type=Path, help="hashed requirements to bring along")
    given = parser.parse_args(arguments)
    if sys.version_info < OLDEST:
        sys.exit(f"error: {sys.executable} is Python {sys.version.split()[0]}. sam build needs Python 3.11 or newer: "
                 "PYTHON=/path/to/python3.13 sam build")  # fmt: skip
    try:
        build(given.into, [ROOT / source for source in given.sources], given.lock and ROOT / given.lock)
    except PackageError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
