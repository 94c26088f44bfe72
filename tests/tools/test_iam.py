"""tools.iam prints what parliament is to read."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.template.reading import ROOT, TEMPLATE, template_with
from tools.iam import EVERYTHING, documents


def test_the_documents_for_parliament_are_complete_policies() -> None:
    command = [sys.executable, "-m", "tools.iam", str(TEMPLATE)]
    printed = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout)

    assert printed == documents(template_with(**EVERYTHING))
    assert {name.partition(".")[0] for name in printed} >= {"DispatchFunctionRole", "ChangeLogJobRole", "UseKeysPolicy"}
    assert all(statement["Action"] for document in printed.values() for statement in document["Statement"])
