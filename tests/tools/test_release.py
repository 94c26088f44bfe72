"""`make release` tags the commit with the version and the notes of the changelog."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.template.reading import ROOT
from tools.release import ReleaseError, notes_of, release

CHANGELOG = """# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

### Added

- A.

## [0.1.0] - 2026-11-29

- B.
"""


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that is ready for 0.2.0."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "A")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.com")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "All")
    return tmp_path


def test_a_release_is_an_annotated_tag_with_the_notes_of_its_version(root: Path) -> None:
    assert release(root) == "v0.2.0"
    assert git(root, "cat-file", "-t", "v0.2.0") == "tag\n"
    assert git(root, "tag", "--list", "--format=%(contents)", "v0.2.0").strip() == "v0.2.0\n\n### Added\n\n- A."
    assert git(root, "rev-parse", "v0.2.0^{commit}") == git(root, "rev-parse", "HEAD")


def test_a_version_is_released_once(root: Path) -> None:
    release(root)

    with pytest.raises(ReleaseError, match=r"v0\.2\.0 exists"):
        release(root)


def test_a_working_tree_with_changes_is_not_released(root: Path) -> None:
    (root / "new.py").write_text("")

    with pytest.raises(ReleaseError, match="uncommitted"):
        release(root)
    assert git(root, "tag") == ""


@pytest.mark.parametrize(
    ("old", "new", "advice"),
    [
        ("0.2.0", "0.3.0", r"needs ## \[Unreleased\] and then ## \[0\.2\.0\]"),
        ("## [Unreleased]\n", "", r"needs ## \[Unreleased\]"),
        ("## [Unreleased]\n", "## [Unreleased]\n\n- C.\n", "Move the entries"),
        (" - 2026-12-01", "", "a date and entries"),
        ("### Added\n\n- A.\n", "", "a date and entries"),
    ],
)
def test_a_changelog_without_notes_for_the_version_is_rejected(old: str, new: str, advice: str) -> None:
    with pytest.raises(ReleaseError, match=advice):
        notes_of("0.2.0", CHANGELOG.replace(old, new))


def test_the_changelog_has_the_form_that_a_release_needs() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    unreleased = text.partition("## [Unreleased]\n")[2].partition("\n## [")[0]
    kinds = {line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")}

    assert notes_of("0.1.0", text.replace(unreleased, ""))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
