"""A real Chromium (Debian's package) for the console's page, which records every fault of the page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness.children import Child
from tests.harness.waiting import HANG_SECONDS

if TYPE_CHECKING:
    from playwright import sync_api as playwright

ROOT = Path(__file__).parents[2]
BRING = "apt-get install --yes chromium"
FLAGS = (
    "--no-sandbox",  # root, because CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WIDTHS = (380, 1600)


def chromium(path: str | None = None) -> str:
    """The path of Chromium; without it tests fail in CI, and are skipped elsewhere with a hint how to install it."""
    found = next(filter(None, (shutil.which(name, path=path) for name in ("chromium", "google-chrome"))), None)
    if found is None:
        told = f"the console's page was not tested: there is no Chromium; `{BRING}` brings it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    return str(found)


@contextmanager
def served(cloud_file: Path, *options: str) -> Iterator[str]:
    """Serve the console of a laptop cloud in a separate process; return its address with the key."""
    command = [sys.executable, "-m", "cli", "console", "--local", "--port", "0", *options]
    environment = {**os.environ, "FANOUT_CLOUD_FILE": str(cloud_file)}
    with Child(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert "the console is at http://127.0.0.1:" in said, said
            yield said.split()[-1]
        finally:
            process.terminate()


@dataclass
class Browser:
    """One page of a browser.

    Attributes
    ----------
    origin
        The origin of the console, the only one that the page may request.
    faults
        Faults of the page: errors in the browser's console, error responses, requests to another origin.
    """

    page: playwright.Page
    origin: str
    faults: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page of the console."""
        self.page.goto(self.origin + path)

    def resize(self, width: int) -> None:
        """Set the width of the window in pixels."""
        self.page.set_viewport_size({"width": width, "height": 900})

    def sees(self, text: str, within: str = "main") -> None:
        """Wait until an element of the page shows a text."""
        self.page.locator(within).filter(has_text=text).first.wait_for()

    def press(self, name: str) -> None:
        """Click a button."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def serious(self) -> list[str]:
        """Return axe-core's serious and critical findings on the page."""
        from axe_playwright_python.sync_playwright import Axe

        found: list[dict[str, Any]] = Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in ("serious", "critical")
        ]

    def wider_than_the_window(self) -> bool:
        """Whether the page needs horizontal scrolling."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


Opening = Callable[[str], AbstractContextManager[Browser]]


@contextmanager
def launched(*flags: str) -> Iterator[Opening]:
    """Chromium, with further flags, which opens a page at each address."""
    from playwright.sync_api import sync_playwright

    executable = chromium()
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable, args=[*FLAGS, *flags])
        yield partial(_opened_in, started)
        started.close()


@contextmanager
def _opened_in(chromium: playwright.Browser, address: str) -> Iterator[Browser]:
    """A new page with its own storage, in which the operator has opened the printed address."""
    with chromium.new_context(viewport={"width": 1600, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(HANG_SECONDS * 1000)
        found = Browser(page, address.partition("/#")[0])
        page.on("console", lambda said: found.faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: found.faults.append(str(error)))
        page.on("response", lambda r: found.faults.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        page.on("request", lambda r: None if _own(r.url, found.origin) else found.faults.append(f"asked {r.url}"))
        page.goto(address)
        yield found


@contextmanager
def browser(address: str, *flags: str) -> Iterator[Browser]:
    """A browser, with further flags, in which the operator has opened the printed address."""
    with launched(*flags) as opening, opening(address) as found:
        yield found


def _own(url: str, origin: str) -> bool:
    return url.startswith((f"{origin}/", "data:", "blob:"))
