"""Without Chromium the console's page is not tested, and that is said; in CI it is a failure."""

from __future__ import annotations

import pytest

from tests.harness.browser import BRING, chromium


def test_without_a_browser_it_is_said_that_the_page_was_not_tested_and_what_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception) as skipped:
        chromium(path="")

    assert f"the console's page was not tested: there is no Chromium; `{BRING}`" in str(skipped.value)


def test_in_ci_a_browser_that_is_missing_fails_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception):
        chromium(path="")
