"""The jobs of this checkout: what a command needs of their scripts, which people edit and the stack publishes."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import UsageError

if TYPE_CHECKING:
    from fanout_job.mapping import Mapping
    from fanout_job.model import Model

GLUE = Path(__file__).parents[1] / "glue"


@dataclass(frozen=True)
class StandardJob:
    """A job that brings files into a standard model: `glue/standardize.py`, or one like it."""

    model: Model
    transform: Callable[[dict[str, Any]], dict[str, Any] | None] | None

    @classmethod
    def load(cls, name: str) -> StandardJob:
        """Import the job's script.

        Raises
        ------
        UsageError
            It is not there, it has no model, or what it imports is not installed.
        """
        if str(GLUE) not in sys.path:
            sys.path.append(str(GLUE))
        try:
            script = importlib.import_module(name)
            return cls(script.MODEL, script.transform)
        except ImportError as error:
            raise UsageError(f"{GLUE / name}.py cannot be imported: {error}; `make setup` installs all") from None
        except AttributeError:
            raise UsageError(f"{GLUE / name}.py has no MODEL: its providers need no mappings") from None

    def mapping(self, file: Path) -> Mapping:
        """Read a mapping and hold it against the model.

        Raises
        ------
        UsageError
            Names the line that is wrong.
        """
        from fanout_job.errors import MappingError
        from fanout_job.mapping import Mapping

        try:
            mapping = Mapping.parse(file.read_bytes(), str(file))
            mapping.check_fields(self.model)
        except MappingError as error:
            raise UsageError(str(error)) from None
        return mapping

    def rows(self, mapping: Mapping, sample: Path) -> Iterator[tuple[int, dict[str, Any] | str]]:
        """Yield each row of a sample with its number: as it would come out, or what is wrong with it.

        Raises
        ------
        UsageError
            The mapping does not go with the model, or the sample cannot be read to its end.
        """
        from fanout_job.errors import JobError
        from fanout_job.standard import check

        try:
            with sample.open("rb") as file:
                for number, row in check(mapping, self.model, file, str(sample), self.transform):
                    yield number, row if isinstance(row, dict) else str(row)
        except JobError as error:
            raise UsageError(str(error)) from None
