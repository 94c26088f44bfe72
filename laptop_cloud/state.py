"""A laptop cloud's folder, which only its owner can use, and cloud.json, by which other processes find the cloud."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

from laptop_cloud.errors import LaptopCloudError, NotRunningError

PRIVATE = 0o077
"""A umask with which only the owner can use new files and folders."""


def lock(folder: Path) -> IO[str]:
    """Create a cloud's folder, if necessary, and lock it until the returned file is closed or this process ends.

    Raises
    ------
    LaptopCloudError
        Another cloud uses the folder, or other users can write to it.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(0o700)
    found = folder.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise LaptopCloudError(
            f"Other users can write to {folder}. Choose another folder with --workdir, or, if the folder is yours, run "
            f"`chmod go-w {folder}`."
        )
    try:
        opened = os.fdopen(os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "w")
    except OSError as error:
        raise LaptopCloudError(
            f"Cannot open {folder / 'lock'}: {error.strerror}. Delete this file, or choose another folder with "
            "--workdir."
        ) from None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        opened.close()
        raise LaptopCloudError(
            f"Another laptop cloud uses {folder}. Stop it, or choose another folder with --workdir."
        ) from None
    return opened


def empty_folder(folder: Path) -> None:
    """Create a folder, instead of what is at its path. The target of a link is not changed."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(0o700)


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Write cloud.json in one step, readable by its owner only."""
    number, unfinished = tempfile.mkstemp(dir=folder, prefix="cloud.json.")
    with os.fdopen(number, "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
    Path(unfinished).replace(folder / "cloud.json")


def running_state(folder: Path) -> dict[str, Any]:
    """Read the cloud.json of the laptop cloud that is running in `folder`.

    Raises
    ------
    NotRunningError
        The file does not exist, or the process that wrote it has ended.
    LaptopCloudError
        The file is damaged.
    """
    file = folder / "cloud.json"
    try:
        state: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        os.kill(int(state["pid"]), 0)
        for name in ("endpoint", "access_key_id", "functions"):
            state[name]
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # no permission: the process of another user
        raise NotRunningError(f"No laptop cloud is running in {folder}. Start one with `up`.") from None
    except (OSError, ValueError, TypeError, LookupError, OverflowError) as error:
        raise LaptopCloudError(f"{file} is damaged ({error}). Stop the laptop cloud, and start it again.") from None
    return state
