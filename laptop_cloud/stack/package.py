"""What `sam package` does: local files go where CloudFormation can read them, and the template says where they are.

The bucket is an imaginary one, LOCAL_FILES. A key is the file's path and a hash of its content, so that another content
is another address, by which CloudFormation knows that a function has changed; and what was packaged stays as it was,
whatever becomes of the files, so that a rollback finds it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCAL_FILES = "local-files"
_PREFIX = f"s3://{LOCAL_FILES}/"

_PATH_PROPERTIES: dict[str, tuple[str, ...]] = {
    "AWS::Serverless::Function": ("CodeUri",),
    "AWS::Serverless::StateMachine": ("DefinitionUri",),
    "AWS::Glue::Job": ("Command.ScriptLocation",),
}


class Package:
    """The files of one template, whose paths are relative to its folder, `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._contents: dict[str, bytes] = {}

    def packaged(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """The template with the addresses of what was packaged in place of local paths."""
        template = copy.deepcopy(dict(source))
        self._replace(template.get("Globals", {}).get("Function", {}), "CodeUri")
        for body in template["Resources"].values():
            for name in _PATH_PROPERTIES.get(body.get("Type"), ()):
                self._replace(body.get("Properties", {}), name)
        return template

    def content(self, location: str) -> bytes | None:
        """A file, or a folder as a zip, by its address or key; None for what was not packaged."""
        return self._contents.get(location.removeprefix(_PREFIX))

    def _replace(self, properties: dict[str, Any], name: str) -> None:
        outer, _, inner = name.rpartition(".")
        holder = properties.get(outer, {}) if outer else properties
        if isinstance(holder.get(inner), str) and "://" not in holder[inner]:
            holder[inner] = self._add(holder[inner])

    def _add(self, location: str) -> str:
        path = self._root / location
        # What is not there is refused when something is made of it, not when the template is only read.
        content = zipped(path) if path.is_dir() else path.read_bytes() if path.exists() else None
        key = f"{location.removeprefix('./').rstrip('/') or '.'}@{hashlib.sha256(content or b'').hexdigest()[:16]}"
        if content is not None:
            self._contents[key] = content
        return _PREFIX + key


def zipped(folder: Path) -> bytes:
    """A folder's files as a zip, the same bytes for the same files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes())
    return buffer.getvalue()
