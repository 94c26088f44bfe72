"""The real template on the laptop cloud."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from local.cloud import LaptopCloud

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
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return json.loads(answer.read() or b"null")


def template_copy(folder: Path, *changes: tuple[str, str]) -> Path:
    """A copy of the template with texts replaced, next to the files that it names."""
    text = (ROOT / "template.yaml").read_text(encoding="utf-8")
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    for name in ("functions", "glue", "statemachine"):
        (folder / name).symlink_to(ROOT / name)
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def functions_copy(template: Path, changes: Mapping[str, Mapping[str, str]]) -> Path:
    """Give a copy of the template functions of its own, with texts of their files replaced; returns the template."""
    functions = template.parent / "functions"
    functions.unlink()
    shutil.copytree(ROOT / "functions", functions, ignore=shutil.ignore_patterns("__pycache__"))
    for file, texts in changes.items():
        path = functions / file
        text = path.read_text(encoding="utf-8")
        for old, new in texts.items():
            assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
            text = text.replace(old, new)
        path.write_text(text, encoding="utf-8")
    return template


def impatient(template: Path) -> Path:
    """A copy of the template with ticks that hand a place on within seconds, not a minute: runs here take no longer."""
    return functions_copy(
        template,
        {
            "fanout/dispatcher.py": {"HAND_ON_SECONDS = 15.0": "HAND_ON_SECONDS = 0.5"},
            "fanout/schedule.py": {"LISTED_AFTER = timedelta(minutes=1)": "LISTED_AFTER = timedelta(seconds=2)"},
        },
    )


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return tmp_path / "work"
