"""The job scripts in this checkout, which commands import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UsageError

if TYPE_CHECKING:
    from fanout_job.errors import RecordError
    from fanout_job.mapping import Mapping
    from fanout_job.model import Model

    from .suggest.matching import Suggestion

GLUE = Path(__file__).parents[1] / "glue"


@dataclass(frozen=True)
class StandardJob:
    """A job that converts files to a standard model: `glue/standardize.py`, or a similar script."""

    model: Model
    transform: Callable[[dict[str, Any]], dict[str, Any] | None] | None

    @classmethod
    def load(cls, name: str) -> StandardJob:
        """Import the job's script.

        Raises
        ------
        UsageError
            The script does not exist, has no model, or imports a package that is not installed.
        """
        if str(GLUE) not in sys.path:
            sys.path.append(str(GLUE))
        try:
            script = importlib.import_module(name)
            return cls(script.MODEL, script.transform)
        except ImportError as error:
            raise UsageError(f"{GLUE / name}.py cannot be imported: {error}; run `make setup`") from None
        except AttributeError:
            raise UsageError(f"{GLUE / name}.py has no MODEL, so its providers need no mappings") from None

    def mapping(self, file: Path) -> Mapping:
        """Read a mapping and check it against the model.

        Raises
        ------
        UsageError
            The mapping is invalid; the message names the line.
        """
        from fanout_job.errors import MappingError
        from fanout_job.mapping import Mapping

        try:
            mapping = Mapping.parse(file.read_bytes(), str(file))
            mapping.check_fields(self.model, self.transform is not None)
        except MappingError as error:
            raise UsageError(str(error)) from None
        return mapping

    def suggestion(self, samples: Sequence[Path]) -> Suggestion:
        """Suggest a mapping for samples of one provider.

        Raises
        ------
        UsageError
            A sample cannot be read.
        """
        from fanout_job.archives import unpacked
        from fanout_job.errors import JobError

        from .suggest.matching import suggest

        try:
            plain = [b"".join(unpacked(iter([path.read_bytes()]), str(path))) for path in samples]
            return suggest(plain, self.model, samples[0].name)
        except (JobError, ValueError, SyntaxError, StopIteration) as error:
            raise UsageError(f"no mapping can be suggested from {samples[0]}: {error}") from None

    def fields(self, mapping: Mapping, sample: Path) -> tuple[str, ...]:
        """Return the columns or paths of a sample; none if it cannot be read."""
        from fanout_job.archives import unpacked
        from fanout_job.errors import JobError
        from fanout_job.formats import PIECE_BYTES

        from .suggest.fields import fields_of

        try:
            with sample.open("rb") as file:
                return fields_of(unpacked(iter(lambda: file.read(PIECE_BYTES), b""), str(sample)), mapping)
        except (JobError, ValueError, SyntaxError, StopIteration):
            return ()

    def rows(self, mapping: Mapping, sample: Path) -> Iterator[tuple[int, dict[str, Any] | RecordError]]:
        """Yield each row of a sample with its number: the row that the job would write, or its error.

        Raises
        ------
        UsageError
            The mapping does not match the model, or the sample cannot be read to its end.
        """
        from fanout_job.errors import BadInputError, JobError
        from fanout_job.standard import check

        try:
            with sample.open("rb") as file:
                yield from check(mapping, self.model, file, str(sample), self.transform, Path(mapping.name).stem)
        except JobError as error:
            fields = self.fields(mapping, sample) if isinstance(error, BadInputError) else ()
            hint = f"; the sample has {', '.join(fields)}" if fields else ""
            raise UsageError(f"{error}{hint}") from None
