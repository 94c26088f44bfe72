"""The commands of docs/quickstart.md, docs/how-to/ and docs/operations.md work in order, with readable output."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.terminal import comparable, record
from tests.harness.children import run
from tests.harness.clouds import made_up
from tests.harness.waiting import HANG_SECONDS
from tests.template.reading import ROOT

PAGE, RECORDED = ROOT / "docs/quickstart.md", ROOT / "docs/quickstart.txt"
HOW_TO = sorted(page for page in (ROOT / "docs/how-to").glob("*.md") if page.stem != "your-own-job")
"""That page needs its own cloud: test_own_job.py follows it."""
HOW_TO += [ROOT / "docs/operations.md"]
BLOCK = re.compile(r"^( *)```sh\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
"""Commands, also those of a list item."""


@pytest.fixture(scope="module")
def cloud_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a laptop cloud that `python -m demo up` (the command of `make up`) runs."""
    tmp_path = tmp_path_factory.mktemp("cloud")
    with made_up(tmp_path):
        yield tmp_path / "cloud.json"


def blocks(page: Path) -> list[str]:
    """The commands of a page."""
    return [textwrap.dedent(commands) for _, commands in BLOCK.findall(page.read_text(encoding="utf-8"))]


def environment_of_a_reader(cloud_file: Path) -> dict[str, str]:
    """The reader's environment: `fanout` on the path, `make up` running, and no AWS variable."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    return {**own, "PATH": path, "FANOUT_CLOUD_FILE": str(cloud_file), "FANOUT_LOCAL": "1"}


def follow(page: Path, cloud_file: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands of a page in one shell that stops at the first command that fails."""
    command = ["bash", "-c", "set -euo pipefail\n" + "\n".join(blocks(page))]
    environment = environment_of_a_reader(cloud_file)
    return run(command, cwd=ROOT, env=environment)


@pytest.fixture(scope="module")
def session(cloud_file: Path) -> str:
    """Output of the quickstart's commands on a terminal of 80 columns; RECORD=1 writes it to docs/quickstart.txt."""
    shown, status = record(blocks(PAGE), 80, ROOT, environment_of_a_reader(cloud_file), seconds=HANG_SECONDS)
    assert status == 0, shown
    if os.environ.get("RECORD"):
        RECORDED.write_text(shown, encoding="utf-8")
    return shown


@pytest.mark.slow
def test_the_quickstart_works_as_it_is_written(session: str) -> None:
    assert "2 messages for 2 rows from 1 object," in session
    assert "the run failed, as it should" in session
    assert "broken.json.gz" in re.search(r"^object +(.*(?:\n  .*)*)$", session, re.MULTILINE)[1]  # type: ignore[index]
    assert "acme: 0 objects missed, 0 pending" in session
    assert "2 objects" in session
    assert "succeeded (replay)" in session


@pytest.mark.slow
def test_the_quickstart_at_80_columns_looks_as_it_was_recorded(session: str) -> None:
    """RECORD=1 make test ARGS="-k quickstart" records it again: read the difference."""
    recorded = RECORDED.read_text(encoding="utf-8")

    assert comparable(session) == comparable(recorded)
    for shown in (session, recorded):
        written = {line for block in blocks(PAGE) for line in block.split("\n")}
        long = [line for line in shown.split("\n") if len(line) > 80 and line[2:] not in written]
        assert all(len(line.split()[-1]) > 40 for line in long), "only an address may be longer than a line"


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_commands_of_a_how_to_page_work(page: Path, cloud_file: Path) -> None:
    done = follow(page, cloud_file)

    assert BLOCK.search(page.read_text(encoding="utf-8")), "a how-to page without a command that is run"
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
