"""A laptop cloud of template.yaml that several test modules share, because a start takes seconds; and `make up`."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.children import Child
from tests.harness.waiting import eventually

if TYPE_CHECKING:
    from laptop_cloud.cloud import LaptopCloud

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class SharedCloud:
    """Starts on first use, and stops before a test that does not use it: a process can have only one cloud."""

    def __init__(self) -> None:
        self._cloud: LaptopCloud | None = None

    def up(self, workdir: Path) -> LaptopCloud:
        """Return the cloud; start it in `workdir` if it is not up."""
        from laptop_cloud.cloud import LaptopCloud

        if self._cloud is None:
            self._cloud = LaptopCloud(TEMPLATE, workdir=workdir).start()
        return self._cloud

    def down(self) -> None:
        """Stop it, if it is up."""
        if self._cloud is not None:
            self._cloud.stop()
            self._cloud = None


@contextmanager
def made_up(folder: Path, *options: str) -> Iterator[Child]:
    """Run `make up` in a folder, as a process of its own, until the end of the block. Its output is in up.txt."""
    command = [sys.executable, "-m", "demo", "up", "--workdir", str(folder), "--port", "0", *options]
    said = folder / "up.txt"
    with said.open("wb") as output:
        process = Child(command, cwd=TEMPLATE.parent, stdout=output, stderr=subprocess.STDOUT)
        try:
            eventually(lambda: (folder / "cloud.json").exists() or process.poll() is not None, "the laptop cloud")
            assert process.poll() is None, said.read_text(encoding="utf-8")
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
