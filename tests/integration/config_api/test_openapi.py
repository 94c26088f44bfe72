"""docs/openapi.json is correct: schemathesis finds no difference between it and the live API."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.harness.children import run
from tests.integration.config_api.conftest import Api
from tests.template.reading import ROOT
from tools.openapi import text

DOCUMENT = ROOT / "docs/openapi.json"
CONFIG = ROOT / "tests/integration/config_api/schemathesis.toml"
HOOKS = "tests.integration.config_api.formats"


def test_the_document_is_current() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text(), "run `make docs`"


def test_the_live_api_behaves_as_described(api: Api, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"]
    options = ["--url", api.url.removesuffix("/providers"), "--header", f"x-api-key: {api.key}"]
    bounds = [
        "--max-examples",
        "12",
        "--max-time",
        "25",
        "--generation-deterministic",
        "--no-color",
        "--warnings",
        "off",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "functions")]),
        "SCHEMATHESIS_HOOKS": HOOKS,
    }

    done = run([*command, str(DOCUMENT), *options, *bounds], cwd=tmp_path, env=environment)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 5" in done.stdout, done.stdout[-2000:]
