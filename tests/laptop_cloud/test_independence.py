"""laptop_cloud/ is independent of the project around it."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "laptop_cloud"
SOURCES = sorted(path for path in FOLDER.rglob("*") if path.suffix in (".py", ".yaml", ".json"))
WORDS = re.compile(r"fanout|provider|change[ _-]?log", re.IGNORECASE)
"""Words of glue-fanout's domain."""


def local_modules() -> set[str]:
    """Return the names under which modules of this repository outside laptop_cloud/ can be imported."""
    folders = (ROOT, ROOT / "functions", ROOT / "glue")
    paths = [path for folder in folders for path in folder.iterdir() if not path.name.startswith(".")]
    packages = {path.name for path in paths if path.is_dir() and list(path.glob("*.py"))}
    return (packages | {path.stem for path in paths if path.suffix == ".py"}) - {"laptop_cloud"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_it_imports_no_other_package_of_this_repository() -> None:
    others = local_modules()
    assert {"cli", "demo", "fanout", "fanout_job", "tools"} <= others
    found = {str(path.relative_to(ROOT)): set(imported(path)) & others for path in SOURCES if path.suffix == ".py"}
    assert len(found) > 40
    assert {path: names for path, names in found.items() if names} == {}


def test_its_sources_have_no_word_of_this_project_s_domain() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if WORDS.search(line)
    }
    assert found == set()


def test_it_is_not_in_the_wheel_of_this_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = project["tool"]["setuptools"]["packages"]
    assert [name for name in packaged if name.partition(".")[0] in ("laptop_cloud", "demo")] == []
