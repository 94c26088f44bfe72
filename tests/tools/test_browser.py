"""Without Chromium, tests of the console's page are skipped with a reason; in CI they fail."""

from __future__ import annotations

import pytest

from tests.harness.browser import BRING, chromium


def test_without_a_browser_the_skip_says_how_to_install_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception) as skipped:
        chromium(path="")

    assert f"the console's page was not tested: there is no Chromium; `{BRING}`" in str(skipped.value)


def test_a_missing_browser_fails_the_tests_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception):
        chromium(path="")
