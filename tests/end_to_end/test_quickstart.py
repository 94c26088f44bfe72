"""docs/quickstart.md: its commands, in their order, do what it says."""

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
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def cloud_file(tmp_path: Path) -> Iterator[Path]:
    """The file of a laptop cloud that `python -m local up`, which is what `make up` calls, keeps up."""
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


@pytest.mark.slow
def test_the_quickstart_works_as_it_is_written(cloud_file: Path) -> None:
    script = "set -euo pipefail\n" + "\n".join(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    environment = {**os.environ, "FANOUT_CLOUD_FILE": str(cloud_file)}
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]  # a reader of the page has set none

    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )

    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "2 messages of 2 rows in 1 objects" in said
    assert "the run failed, as it should" in said
    assert "broken.json.gz" in re.search(r"^why\s+(.*)$", done.stdout, re.MULTILINE)[1]  # type: ignore[index]
    assert "acme: 0 objects missed, 0 waiting" in done.stdout
    assert "2 objects" in done.stdout
    assert "succeeded (replay)" in done.stdout
