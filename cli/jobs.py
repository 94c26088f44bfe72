"""The job scripts in this checkout, which commands import and run on local files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.failure import Failure

from .errors import UsageError

if TYPE_CHECKING:
    from fanout_job.errors import JobError, UnreadableObjectError
    from fanout_job.mapping import Mapping
    from fanout_job.model import Model

    from .suggest.matching import Suggestion

GLUE = Path(__file__).parents[1] / "glue"


@dataclass(frozen=True)
class BadInput:
    """A bad file, or a bad line or row of it. Other than a failure in logs, it has content of the row.

    Attributes
    ----------
    failure
        What is wrong, where, and what to do.
    raised
        The exception of the job's `transform`, with its text.
    values
        The texts of a value that does not fit, by source field; None if the row has no such field.
    tried
        How these texts were read.
    """

    failure: Failure
    raised: str | None = None
    values: dict[str, str | None] = field(default_factory=dict)
    tried: str = ""

    @property
    def text(self) -> str:
        """All but the advice, in one line."""
        values = ", ".join(f"{name!r} is {text!r}" for name, text in self.values.items() if text is not None)
        more = f"{values}; tried: {self.tried}" if values else self.raised
        return f"{self.failure.text} ({more})" if more else self.failure.text

    @classmethod
    def of(cls, error: JobError) -> BadInput:
        """Convert an error of the job."""
        from fanout_job.errors import TransformError, text_of

        cause = error.__context__ if isinstance(error, TransformError) else None
        raised = f"{type(cause).__name__}: {text_of(cause)}" if cause else None
        return cls(error.as_failure(), raised, getattr(error, "values", {}), getattr(error, "tried", ""))


def unreadable(path: Path, error: OSError) -> UnreadableObjectError:
    """Return the job's error for a file that cannot be read."""
    from fanout_job.errors import UnreadableObjectError

    failed = UnreadableObjectError(f"cannot be read ({error.strerror})", uri=str(path))
    failed.advice = "Let your user read the file."
    return failed


def load_script(name: str) -> Any:
    """Import a job's script.

    Raises
    ------
    UsageError
        The script does not exist, or cannot be imported; the message names the line in it.
    """
    path, jobs = GLUE / f"{name}.py", sorted(file.stem for file in GLUE.glob("*.py") if file.stem != "library")
    if name not in jobs:
        there = f"it may be {', '.join(jobs)}" if jobs else f"{GLUE} has no job; run the command in a checkout"
        raise UsageError(f"there is no job {name} for --job; {there}")
    if str(GLUE) not in sys.path:
        sys.path.append(str(GLUE))
    from fanout_job.errors import place_of, text_of

    try:
        return importlib.import_module(name)
    except SyntaxError as error:  # its text names file and line
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from None
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        hint = "; run `make setup`" if isinstance(error, ImportError) else ""
        what = f"{type(error).__name__} at {place_of(error)}: {text_of(error)}"
        raise UsageError(f"{path} cannot be imported: {what}{hint}") from None


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
            The script cannot be imported, or has no model.
        """
        script = load_script(name)
        try:
            return cls(script.MODEL, script.transform)
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

    def rows(self, mapping: Mapping, sample: Path) -> Iterator[dict[str, Any] | BadInput]:
        """Yield each row of a sample: the row that the job would write, or what is wrong with it.

        If the sample cannot be read to its end, that is the last one.

        Raises
        ------
        UsageError
            The mapping does not fit the model.
        """
        from fanout_job.errors import JobError, MappingError
        from fanout_job.standard import check

        try:
            with sample.open("rb") as file:
                for _, row in check(mapping, self.model, file, str(sample), self.transform, Path(mapping.name).stem):
                    yield row if isinstance(row, dict) else BadInput.of(row)
        except MappingError as error:
            raise UsageError(str(error)) from None
        except JobError as error:
            yield BadInput.of(error)
        except OSError as error:
            yield BadInput.of(unreadable(sample, error))
