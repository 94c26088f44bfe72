"""The parts of an XML document that the paths of a mapping need, as a tree: all other elements are skipped.

The wanted names form tries: one for the record, one for each parent, and one for the document. A state is the set of
the tries' nodes that an element has reached, so that each element costs one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fanout_job.paths import Path, Source, Step

ELEMENT_CHARACTERS = 100
"""Approximate memory of an element without its text."""


@dataclass(eq=False)
class Trie:
    """The names that paths need below an element."""

    children: dict[str, Trie] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    text: bool = False

    @property
    def inner(self) -> bool:
        """Whether paths need more of an element than its text."""
        return bool(self.children or self.attributes)

    def add(self, steps: Iterable[Step]) -> None:
        """Add the steps of a path. That of `key()` has no name, so no element has it."""
        trie = self
        for step in steps:
            if step.name.startswith("@"):
                trie.attributes.add(step.name[1:])
                return
            trie = trie.children.setdefault(step.name, Trie())
            if step.where is not None:
                trie.add([Step(step.where[0])])
        trie.text = True


class State:
    """The wanted parts of an element: attributes, text, and children by their names."""

    def __init__(self, tries: Sequence[Trie]) -> None:
        self.tries = tuple(dict.fromkeys(tries))
        self.attributes = [(name, f"@{name}") for name in {name for trie in self.tries for name in trie.attributes}]
        self.text = any(trie.text for trie in self.tries)
        self.names = {name for trie in self.tries for name in trie.children}
        self.leaves = frozenset(name for name in self.names if self._is_leaf(name))
        """Children of which only the text is wanted."""
        self.next: dict[tuple[str, Trie | None], State] = {}

    def _is_leaf(self, name: str) -> bool:
        return not any(trie.children[name].inner for trie in self.tries if name in trie.children)

    def below(self, name: str, start: Trie | None = None) -> State:
        """Return the state of a child; `start` is a trie that begins at it."""
        key = (name if name in self.names else "", start)
        state = self.next.get(key)
        if state is None:
            tries = [trie.children[name] for trie in self.tries if name in trie.children]
            state = self.next[key] = State([*tries, start] if start else tries)
        return state


class Element:
    """An element. Its fields are those of a parent (paths.Parent), and more.

    `members` has the text of a child by its name, and that of an attribute by "@" and its name. Several children with
    the same name are in a list. Within a record, a child of which only the text is wanted is a text, and other children
    are elements.
    """

    closed = has_records = several = False
    """`several`: whether a name has several children."""
    used: dict[Source, Sequence[Step]] | None = None
    text: str | None = None
    """Its own text; None if it is not wanted."""

    pieces: list[str] | tuple[()] = ()
    """The text before its last child."""

    def __init__(self, name: str, before: int) -> None:
        self.name, self.before = name, before
        self.members: dict[str, Any] = {}
        """`before`: characters of all open elements and their kept children when it began."""

    def keep(self, texts: list[str]) -> None:
        """Keep texts before a child."""
        if isinstance(self.pieces, list):
            self.pieces.extend(texts)
        else:
            self.pieces = texts.copy()

    @property
    def content(self) -> Element:
        """The element itself."""
        return self

    def add(self, name: str, child: str | Element) -> None:
        """Add a child."""
        before = self.members.get(name)
        if before is None:
            self.members[name] = child
        elif isinstance(before, list):
            before.append(child)
        else:
            self.members[name] = [before, child]
            self.several = True

    def children(self, name: str) -> Sequence[Any]:
        """Return the children with a name: texts or elements."""
        found = self.members.get(name, ())
        return found if isinstance(found, list | tuple) else (found,)


class Fields:
    """Reads the fields of a record.

    Parameters
    ----------
    own : sequence
        Place, source and path of each field within records.
    count : int
        Number of all fields.
    """

    def __init__(self, own: Sequence[tuple[int, Source, Path]], count: int) -> None:
        self.blank: list[str | None] = [None] * count
        self.readers = [(place, partial(xml_text, source=source, steps=path.steps)) for place, source, path in own]
        self.keys = [""] * count
        """The names of fields that are a text in the record itself; no element has the name ""."""
        trie = Trie()
        for _, _, path in own:
            trie.add(path.steps)
        for place, _, path in own:
            name = path.steps[0].name if len(path.steps) == 1 else ""
            if name.startswith("@") or (name in trie.children and not trie.children[name].inner):
                self.keys[place] = name
        self.names = {name for name in self.keys if name and not name.startswith("@")}
        self.others = [(place, read) for place, read in self.readers if not self.keys[place]]

    def read(self, record: Element, state: State, texts: list[str | None]) -> None:
        """Write the fields of a record into `texts`. After an error, some are missing.

        Raises
        ------
        RowError
            A path leads to several elements.
        """
        readers = self.readers
        if not record.several and self.names <= state.leaves:
            texts[:] = map(record.members.get, self.keys)
            readers = self.others
        for place, read in readers:
            texts[place] = read(record)


def xml_text(element: Any, source: Source, steps: Sequence[Step]) -> str | None:
    """Return the text of a field; None if it does not exist.

    Raises
    ------
    RowError
        The path leads to several elements.
    """
    found: Sequence[Any] = (element,)
    for step in steps:
        if len(found) == 1:
            found = found[0].children(step.name)
        else:
            found = [child for one in found for child in one.children(step.name)]
        if step.where is not None:
            found = [one for one in found if _has(one, *step.where)]
    return source.pick([text for text in map(_text, found) if text is not None])


def _text(one: str | Element) -> str | None:
    return one if isinstance(one, str) else one.text


def _has(element: Element, key: str, text: str) -> bool:
    return any(_text(child) == text for child in element.children(key))
