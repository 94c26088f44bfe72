"""tools.iam prints the documents that parliament reads."""

from __future__ import annotations

import json

import pytest

from tests.template.reading import TEMPLATE, template_with
from tools.iam import EVERYTHING, documents, main


def test_the_documents_for_parliament_are_complete_policies(capsys: pytest.CaptureFixture[str]) -> None:
    main(TEMPLATE)
    printed = json.loads(capsys.readouterr().out)

    assert printed == documents(template_with(**EVERYTHING))
    assert {name.partition(".")[0] for name in printed} >= {"DispatchFunctionRole", "ChangeLogJobRole", "UseKeysPolicy"}
    assert all(statement["Action"] for document in printed.values() for statement in document["Statement"])
