"""Tags a release: `python -m tools.release`.

The version is the one in pyproject.toml, the notes are those of CHANGELOG.md. It needs only the standard library and
git, builds nothing and pushes nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


class ReleaseError(Exception):
    """The repository is not ready for a release; the message says what to do."""


def release(root: Path) -> str:
    """Check the repository and create the annotated tag `v<version>`; returns the tag.

    Raises
    ------
    ReleaseError
        There are uncommitted changes, CHANGELOG.md doesn't describe this version, or the tag exists.
    """
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    notes = notes_of(version, (root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if _git(root, "status", "--porcelain"):
        raise ReleaseError("There are uncommitted changes. Commit or stash them.")
    tag = f"v{version}"
    if _git(root, "tag", "--list", tag):
        raise ReleaseError(f"The tag {tag} exists. Raise the version in pyproject.toml.")
    # Without --cleanup git takes the headings of the notes for comments.
    _git(root, "tag", "--annotate", "--cleanup=whitespace", tag, "--message", f"{tag}\n\n{notes}")
    return tag


def notes_of(version: str, changelog: str) -> str:
    """The changelog's section of a version.

    Raises
    ------
    ReleaseError
        The newest section is not that of this version, has no date or no entry, or entries are still unreleased.
    """
    sections = re.findall(r"^## \[(.+?)\](.*)\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE)
    (first, _, unreleased), (newest, date, notes) = [*sections, ("", "", ""), ("", "", "")][:2]
    if first != "Unreleased" or newest != version:
        raise ReleaseError(
            f"CHANGELOG.md needs ## [Unreleased] and then ## [{version}], the version in pyproject.toml."
        )
    if unreleased.strip():
        raise ReleaseError(f"Move the entries of [Unreleased] in CHANGELOG.md to [{version}].")
    if not re.fullmatch(r" - \d{4}-\d\d-\d\d", date) or not notes.strip():
        raise ReleaseError(f"Give [{version}] in CHANGELOG.md a date and entries: ## [{version}] - 2026-12-31")
    return str(notes.strip())


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        made = release(ROOT)
    except ReleaseError as error:
        sys.exit(f"error: {error}")
    print(f"Tagged {made}. Publish it with: git push origin {made}")
