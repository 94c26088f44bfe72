"""docs/quickstart.md and docs/how-to/: their commands, in their order, do what they say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.template.reading import ROOT

PAGE = ROOT / "docs/quickstart.md"
HOW_TO = sorted((ROOT / "docs/how-to").glob("*.md"))
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def cloud_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of a laptop cloud that `python -m local up`, which is what `make up` calls, keeps up."""
    tmp_path = tmp_path_factory.mktemp("cloud")
    command = [sys.executable, "-m", "local", "--workdir", str(tmp_path), "up", "--port", "0"]
    with (tmp_path / "up.txt").open("wb") as said:
        up = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            end = time.monotonic() + 120
            while not (tmp_path / "cloud.json").exists():
                assert up.poll() is None, (tmp_path / "up.txt").read_text()
                assert time.monotonic() < end, "the laptop cloud does not come up"
                time.sleep(0.1)
            yield tmp_path / "cloud.json"
        finally:
            up.send_signal(signal.SIGTERM)
            up.wait(60)


def follow(page: Path, cloud_file: Path) -> subprocess.CompletedProcess[str]:
    """Do what a page says, in one shell that stops at the first command that fails."""
    script = "set -euo pipefail\n" + "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    environment = {**os.environ, "FANOUT_CLOUD_FILE": str(cloud_file), "FANOUT_LOCAL": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]  # a reader of the page has set none
    return subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_the_quickstart_works_as_it_is_written(cloud_file: Path) -> None:
    done = follow(PAGE, cloud_file)

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "2 messages of 2 rows in 1 object," in said
    assert "the run failed, as it should" in said
    assert "broken.json.gz" in re.search(r"^why\s+(.*)$", done.stdout, re.MULTILINE)[1]  # type: ignore[index]
    assert "acme: 0 objects missed, 0 waiting" in done.stdout
    assert "2 objects" in done.stdout
    assert "succeeded (replay)" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_the_commands_of_a_how_to_page_work(page: Path, cloud_file: Path) -> None:
    done = follow(page, cloud_file)

    assert BLOCK.search(page.read_text(encoding="utf-8")), "a how-to page without a command that is run"
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
