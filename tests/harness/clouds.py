"""A laptop cloud of template.yaml that several test modules share, because a start takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
