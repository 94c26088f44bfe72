"""The parts of an XML document that the paths of a mapping need, as a tree: all other elements are skipped.

The wanted names form tries: one for the record, one for each parent, and one for the document. A state is the set of
the tries' nodes that an element has reached, so that each element costs one dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fanout_job.paths import Source, Step

ELEMENT_CHARACTERS = 100
"""Approximate memory of an element without its text."""


@dataclass(eq=False)
class Trie:
    """The names that paths need below an element."""

    children: dict[str, Trie] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    text: bool = False

    def add(self, steps: Iterable[Step]) -> None:
        """Add the steps of a path."""
        trie = self
        for step in steps:
            if step.key:
                return
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
        self.attributes = frozenset().union(*(trie.attributes for trie in self.tries)) if tries else frozenset[str]()
        self.text = any(trie.text for trie in self.tries)
        self.names = {name for trie in self.tries for name in trie.children}

        self.next: dict[tuple[str, Trie | None], State] = {}

    def below(self, name: str, start: Trie | None = None) -> State:
        """Return the state of a child; `start` is a trie that begins at it."""
        key = (name if name in self.names else "", start)
        state = self.next.get(key)
        if state is None:
            tries = [trie.children[name] for trie in self.tries if name in trie.children]
            state = self.next[key] = State([*tries, start] if start else tries)
        return state


class Element(dict[str, list["Element"]]):
    """An element: name of a child -> the children with this name. Its fields are those of a parent (paths.Parent)."""

    closed = has_records = False
    used: dict[Source, Sequence[Step]] | None = None
    attributes: Mapping[str, str] = {}
    text: str | None = None
    """Its own text; None if it is not wanted."""
    pieces: list[str] | None = None
    """The pieces of the text, if there are several."""

    def __init__(self, name: str, text: str | None) -> None:
        self.name, self.text, self.size = name, text, ELEMENT_CHARACTERS

    @property
    def content(self) -> Element:
        """The element itself."""
        return self


def xml_reader(source: Source, steps: Sequence[Step]) -> Callable[[Element], str | None]:
    """Return a function that reads a field from an element."""
    if len(steps) == 1 and steps[0].where is None:
        name = steps[0].name
        if name.startswith("@"):
            return partial(_attribute, name=name[1:])
        return partial(_child, source=source, name=name)
    return partial(xml_text, source=source, steps=steps)


def _attribute(element: Element, name: str) -> str | None:
    return element.attributes.get(name)


def _child(element: Element, source: Source, name: str) -> str | None:
    children = element.get(name)
    if children is None:
        return None
    if len(children) == 1:
        return children[0].text
    return source.pick([child.text for child in children if child.text is not None])


def xml_text(element: Any, source: Source, steps: Sequence[Step]) -> str | None:
    """Return the text of a field; None if it does not exist.

    Raises
    ------
    RowError
        The path leads to several elements.
    """
    found: list[Element] = [element]
    for step in steps:
        name = step.name
        if name.startswith("@"):
            return source.pick([one.attributes[name[1:]] for one in found if name[1:] in one.attributes])
        found = [child for one in found for child in one.get(name, ())]
        if step.where is not None:
            found = [one for one in found if _has(one, *step.where)]
    return source.pick([one.text for one in found if one.text is not None])


def _has(element: Element, key: str, text: str) -> bool:
    if key.startswith("@"):
        return element.attributes.get(key[1:]) == text
    return any(child.text == text for child in element.get(key, ()))
