"""Replaces local paths in a template by S3 locations, as `sam package` does.

The bucket LOCAL_FILES exists only in memory. A key consists of the file's path and a hash of its content. Changed
content therefore has another location, by which an update notices the change, and a rollback still finds the content
that was packaged before.

Nothing is built. If a build adds more folders of the project to each function's package, `pyproject.toml` beside the
template names them: ``[tool.laptop-cloud]``, ``shared = ["folder"]``.
"""

from __future__ import annotations

import copy
import hashlib
import io
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

LOCAL_FILES = "local-files"
_PREFIX = f"s3://{LOCAL_FILES}/"

_PATH_PROPERTIES: dict[str, tuple[str, ...]] = {
    "AWS::Serverless::Function": ("CodeUri",),
    "AWS::Serverless::StateMachine": ("DefinitionUri",),
    "AWS::Glue::Job": ("Command.ScriptLocation",),
}


Stamps = dict[Path, tuple[int, int]]
"""Time of the last change and size of files."""


class Package:
    """The files that one template names, by paths relative to its folder, `root`.

    Attributes
    ----------
    stamps
        The files as they were when they were packaged.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._shared = [root / name for name in shared_folders(root)]
        self._contents: dict[str, bytes] = {}
        self._paths: set[Path] = set()
        self.stamps: Stamps = {}

    def packaged(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Return the template with S3 locations in place of local paths."""
        template = copy.deepcopy(dict(source))
        self._replace(template.get("Globals", {}).get("Function", {}), "CodeUri")
        for body in template["Resources"].values():
            for name in _PATH_PROPERTIES.get(body.get("Type"), ()):
                self._replace(body.get("Properties", {}), name)
        return template

    def content(self, location: str) -> bytes | None:
        """Return a file's content, or a folder's as a zip, by its location or key; None if it was not packaged."""
        return self._contents.get(location.removeprefix(_PREFIX))

    def current_stamps(self) -> Stamps:
        """Return the same for the files as they are now."""
        return stamps_of(self._paths)

    def _replace(self, properties: dict[str, Any], name: str) -> None:
        outer, _, inner = name.rpartition(".")
        holder = properties.get(outer, {}) if outer else properties
        if isinstance(holder.get(inner), str) and "://" not in holder[inner]:
            holder[inner] = self._add(holder[inner])

    def _add(self, location: str) -> str:
        path = self._root / location
        if path not in self._paths:
            new = {path, *(self._shared if path.is_dir() else ())} - self._paths
            self._paths |= new
            self.stamps |= stamps_of(new)
        # A missing file is an error when its resource is made, not when the template is only read.
        content = zipped(path, self._shared) if path.is_dir() else path.read_bytes() if path.exists() else None
        key = f"{location.removeprefix('./').rstrip('/') or '.'}@{hashlib.sha256(content or b'').hexdigest()[:16]}"
        if content is not None:
            self._contents[key] = content
        return _PREFIX + key


def zipped(folder: Path, shared: Sequence[Path] = ()) -> bytes:
    """Return a folder's files, and shared folders beside them, as a zip; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for top, base in ((folder, folder), *((one, one.parent) for one in shared)):
            for path in files_in(top):
                archive.writestr(zipfile.ZipInfo(str(path.relative_to(base))), path.read_bytes())
    return buffer.getvalue()


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """Return time and size of files, and of the files in folders, without hidden ones such as those of editors."""
    found: Stamps = {}
    for path in (one for top in paths for one in ([top] if top.is_file() else files_in(top))):
        with suppress(FileNotFoundError):  # it was deleted meanwhile
            if not path.name.startswith("."):
                found[path] = path.stat().st_mtime_ns, path.stat().st_size
    return found


def files_in(folder: Path) -> Iterator[Path]:
    """Yield a folder's files in order, without compiled code."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)


def shared_folders(root: Path) -> list[str]:
    """Names of the folders that belong in every function's package, from the `pyproject.toml` beside a template."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return list(project.get("tool", {}).get("laptop-cloud", {}).get("shared", []))
