"""Finds the records of a JSON document, and the parents of each one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fanout_job.errors import CorruptObjectError
from fanout_job.json_batch import Batch
from fanout_job.json_records import below
from fanout_job.json_text import Text
from fanout_job.parents import Open
from fanout_job.paths import Path, Step

Chain = tuple[Open, ...]


@dataclass
class Siblings:
    """Records that follow each other in an array, the parents of all of them, and their name."""

    parents: Chain
    name: str
    batch: Batch


def names_of(records: Path, fields: Iterable[Path]) -> set[str]:
    """Return all names in the paths of a mapping."""
    return {step.name for path in (records, *fields) for step in path.steps} | {
        step.where[0] for path in fields for step in path.steps if step.where
    }


def kept_names(records: Path, fields: Iterable[Path]) -> set[str]:
    """Return the members of the records' parents that fields lead to. All other members are skipped."""
    kept = set()
    for path in fields:
        steps, along = path.steps, records.steps
        while path.absolute and steps and along and not along[0].every and steps[0] == along[0]:
            steps, along = steps[1:], along[1:]
        if path.outside and steps:
            kept.add(steps[0].name)
    return kept


class Document:
    """Reads the records of a document in their order. Each element of the outermost array is decoded as a whole.

    Parameters
    ----------
    text : Text
    kept : set of str
        Members of the records' parents that are read.
    close : callable
        Called with each parent after its last member.
    """

    def __init__(self, text: Text, kept: set[str], close: Callable[[Open], None]) -> None:
        self.text, self.kept, self.close = text, kept, close

    def records(self, steps: Sequence[Step], concatenated: bool) -> Iterator[Chain | Siblings]:
        """Yield each record after its parents, or several records, and check that the document is complete. An empty
        text has none.
        """
        while self.text.next_sign():
            yield from self._at(steps, (), "")
            if self.text.next_sign() and not concatenated:
                hint = "if it has one record per line, use json_lines; if it has several documents, concatenated: true"
                raise CorruptObjectError(f"has more after its end; {hint}")

    def _at(self, steps: Sequence[Step], parents: Chain, name: str) -> Iterator[Chain | Siblings]:
        text = self.text
        sign = text.next_sign()
        if sign == "[" and (not steps or steps[0].every):
            for _ in text.items("[", "]"):
                batch = text.values()
                if batch is None:
                    yield from inner_records(text.value(), steps[1:] or None, parents, name)
                elif not steps[1:]:
                    yield Siblings(parents, name, batch)
                else:
                    for value, repeated in text.decoder.checked(batch):
                        text.repeated = repeated
                        yield from inner_records(value, steps[1:], parents, name)
        elif not steps:
            yield from inner_records(text.value(), None, parents, name)
        else:
            yield from self._members(steps, parents, name)

    def _members(self, steps: Sequence[Step], parents: Chain, name: str) -> Iterator[Chain | Siblings]:
        text, step = self.text, steps[0]
        parent = Open(name, {}, closed=False)
        found = False
        for _ in text.items("{", "}"):
            member = text.name()
            text.expect(":")
            if step.every and len(steps) == 1:
                yield from inner_records(text.value(), None, (*parents, parent), member)
            elif step.every or member == step.name:
                if found and not step.every:
                    raise CorruptObjectError(f"has {member!r} twice")
                found = True
                yield from self._at(steps[1:], (*parents, parent), member)
            elif member in self.kept:
                self._keep(parent, member)
            else:
                text.skip()
        if not found and not step.every:
            raise CorruptObjectError(f"has no {step.name!r}")
        self.close(parent)

    def _keep(self, parent: Open, member: str) -> None:
        if member in parent.content:
            raise CorruptObjectError(f"has {member!r} twice")
        parent.content[member] = self.text.value()
        if self.text.repeated is not None:
            raise CorruptObjectError(f"has {self.text.repeated!r} twice in {member!r}")


def inner_records(value: Any, steps: Sequence[Step] | None, parents: Chain, name: str) -> Iterator[Chain]:
    """Yield the records in a decoded value. With None as the steps, the value itself is the record."""
    if steps is None:
        yield (*parents, Open(name, value))
    elif not steps:
        for element in value if isinstance(value, list) else () if value is None else (value,):
            yield (*parents, Open(name, element))
    elif not steps[0].every:
        yield from inner_records(below(value, steps[0].name), steps[1:], (*parents, Open(name, value)), steps[0].name)
    elif isinstance(value, dict):
        for member, inner in value.items():
            yield from inner_records(inner, steps[1:] or None, (*parents, Open(name, value)), member)
    elif isinstance(value, list):
        for element in value:
            yield from inner_records(element, steps[1:] or None, parents, name)
