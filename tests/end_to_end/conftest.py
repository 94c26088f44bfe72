"""The real template on the laptop cloud."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.harness.waiting import HANG_SECONDS

ROOT = Path(__file__).parents[2]


class ConfigApi:
    """The built-in config API as a caller sees it: a URL and a key."""

    def __init__(self, cloud: LaptopCloud) -> None:
        self.url = cloud.outputs["ConfigApiUrl"]
        secret = cloud.client("secretsmanager").get_secret_value(SecretId=cloud.outputs["ConfigApiKeySecretArn"])
        self.headers = {"x-api-key": secret["SecretString"], "Content-Type": "application/json"}

    def call(self, method: str, path: str = "", body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, self.headers, method=method)  # noqa: S310 - own URL
        with urllib.request.urlopen(request, timeout=HANG_SECONDS) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")


def replaced(text: str, *changes: tuple[str, str]) -> str:
    """Replace each of these strings, which must occur exactly once in the text."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def template_copy(folder: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the template with texts replaced, next to the files that it names."""
    for name in ("contract", "functions", "glue", "pyproject.toml", "statemachine"):
        (folder / name).symlink_to(ROOT / name)
    path = folder / "template.yaml"
    path.write_text(replaced((ROOT / "template.yaml").read_text(encoding="utf-8"), *changes), encoding="utf-8")
    return path


def functions_copy(template: Path) -> Path:
    """Give a copy of the template its own copy of the functions; return their folder."""
    folder = template.parent / "functions"
    folder.unlink()
    shutil.copytree(ROOT / "functions", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def impatient(template: Path) -> Path:
    """A copy of the template whose ticks reuse a slot after seconds, not a minute, because runs in tests are short."""
    folder = functions_copy(template) / "fanout"
    for name, old, new in (
        ("dispatcher.py", "REUSE_GLUE_SECONDS = 15.0", "REUSE_GLUE_SECONDS = 0.5"),
        ("schedule.py", "LISTED_AFTER = timedelta(minutes=1)", "LISTED_AFTER = timedelta(seconds=2)"),
    ):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(replaced(text, (old, new)), encoding="utf-8")
    return template


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return tmp_path / "work"
