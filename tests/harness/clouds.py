"""A laptop cloud of template.yaml that several modules of tests share: bringing one up takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from laptop_cloud.cloud import LaptopCloud

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class SharedCloud:
    """Comes up when it is first wanted, and goes when the next test does not want it: a process can have only one."""

    def __init__(self) -> None:
        self._cloud: LaptopCloud | None = None

    def up(self, workdir: Path) -> LaptopCloud:
        """The cloud; `workdir` is for one that has to be brought up."""
        from laptop_cloud.cloud import LaptopCloud

        if self._cloud is None:
            self._cloud = LaptopCloud(TEMPLATE, workdir=workdir).start()
        return self._cloud

    def down(self) -> None:
        """Stop it, if it is up."""
        if self._cloud is not None:
            self._cloud.stop()
            self._cloud = None
