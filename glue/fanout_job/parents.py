"""Collects rows until the fields of their parents are known: these may come after the records."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fanout_job.blocks import MAX_RECORD_BYTES, Bad, Block, Gathering
from fanout_job.errors import CorruptObjectError, RowError
from fanout_job.paths import Parent, Path, Source, Step, located

MAX_WAITING_CHARACTERS = 8 * MAX_RECORD_BYTES
"""Maximum text of the rows that wait for a parent's field."""

TEXT_CHARACTERS = 100
"""Approximate memory of a text without its characters."""

Pending = tuple[int, Source, Parent, Sequence[Step]]
"""A field that has no value yet: its place in the row, and where it will be."""

Read = Callable[[Any, Source, Sequence[Step]], str | None]
"""Reads a field from a parent or record, along the steps of its path."""


class Open:
    """A parent or record of a JSON document."""

    __slots__ = ("closed", "content", "name", "used")

    def __init__(self, name: str, content: Any, closed: bool = True) -> None:
        self.name, self.content, self.closed = name, content, closed
        self.used: dict[Source, Sequence[Step]] | None = None


class Rows:
    """Gathers rows in their order, with the fields of the records' parents.

    Parameters
    ----------
    wanted : sequence of Source
    paths : sequence of Path
        The path of each source.
    read : callable
    bad : callable
        Called with each bad row.
    """

    def __init__(self, wanted: Sequence[Source], paths: Sequence[Path], read: Read, bad: Bad) -> None:
        self.wanted, self.read, self.bad = wanted, read, bad
        places = [(place, *pair) for place, pair in enumerate(zip(wanted, paths, strict=True))]
        self.own = [(place, source, path) for place, source, path in places if not path.outside]
        self.outer = [(place, source, path) for place, source, path in places if path.outside]
        self.gathered = Gathering(wanted)
        self.waiting: deque[tuple[int, list[str | None], list[Pending]]] = deque()
        self.characters = 0

    def add(self, number: int, texts: list[str | None], chain: Sequence[Parent]) -> None:
        """Add a row.

        Parameters
        ----------
        number
        texts
            In the order of `wanted`, None for the fields of parents.
        chain
            The document, the parents, and the record itself. Not used if no field is outside of the record.

        Raises
        ------
        RowError
            The path of a field leads to several values.
        CorruptObjectError
            Too many rows wait for a field.
        """
        pending: list[Pending] = []
        for place, source, path in self.outer:
            one = (place, source, *located(chain, path))
            if not self._fill(texts, one):
                pending.append(one)
        if not pending and not self.waiting:
            self.gathered.add(number, texts)
            return
        self.waiting.append((number, texts, pending))  # without the record and the parents that are complete
        self.characters += self._size(texts)
        if self.characters > MAX_WAITING_CHARACTERS:
            self._settle()
            if self.characters > MAX_WAITING_CHARACTERS:
                what = f"has rows of more than {MAX_WAITING_CHARACTERS} characters before the end of their parent, "
                names = ", ".join(repr(source.name) for _, source, _ in self.outer)
                raise CorruptObjectError(f"{what}and no value yet for one of {names}")

    def extend(
        self, first: int, count: int, columns: Mapping[int, Sequence[str | None]], chain: Sequence[Parent]
    ) -> bool:
        """Add consecutive rows with the same parents, by the columns of the fields within records.

        Return False, and add none, if the rows have to wait for a field of a parent, or a field of a parent is bad.
        """
        texts: list[str | None] = [None] * len(self.wanted)
        try:
            for place, source, path in self.outer:
                parent, steps = located(chain, path)
                if parent is chain[-1] or not self._fill(texts, (place, source, parent, steps)):
                    return False
        except RowError:
            return False
        if self.waiting:
            return False
        rows = [columns.get(place) or [text] * count for place, text in enumerate(texts)]
        self.gathered.extend(first, count, rows)
        return True

    def _size(self, texts: list[str | None]) -> int:
        return TEXT_CHARACTERS * len(texts) + sum(len(texts[place] or "") for place, _, _ in self.own)

    def taken(self) -> Iterator[Block]:
        """Yield a full block of complete rows, if there is one."""
        self._settle()
        if self.gathered.full:
            yield from self.gathered.taken()

    def rest(self) -> Iterator[Block]:
        """Yield the last block, after the end of the document or before its damage."""
        self._settle()
        yield from self.gathered.taken()

    def close(self, parent: Parent) -> None:
        """Mark a parent as complete.

        Raises
        ------
        CorruptObjectError
            A field that rows have taken from it has another value.
        """
        parent.closed = True
        try:
            for source, steps in (parent.used or {}).items():
                self.read(parent.content, source, steps)
        except RowError as error:
            raise CorruptObjectError(f"{error.args[0]}, after rows that use it") from None

    def _settle(self) -> None:
        while self.waiting:
            number, texts, pending = self.waiting[0]
            try:
                if not all(self._fill(texts, one) for one in pending):
                    return
                self.gathered.add(number, texts)
            except RowError as error:
                error.line = number
                names = (source.name for source in self.wanted)
                self.bad(error, json.dumps(dict(zip(names, texts, strict=True)), indent=2).encode())
            self.waiting.popleft()
            self.characters -= self._size(texts)

    def _fill(self, texts: list[str | None], field: Pending) -> bool:
        """Fill in a field of a parent. Return False if its value may still follow."""
        place, source, parent, steps = field
        if steps and steps[0].key:
            texts[place] = parent.name
            return True
        text = self.read(parent.content, source, steps)
        if not parent.closed:
            if text is None or source.take == "last" or source.join is not None:
                return False
            if source not in (parent.used or ()):
                parent.used = {**(parent.used or {}), source: steps}
        texts[place] = text
        return True
