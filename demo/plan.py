"""The input of `make run`: a generated change log, or the user's own."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from demo import DemoError
from demo.sample_data import DEFAULT_START, STYLES, Part, change_log, provider_names

P = TypeVar("P", bound="Plan")

MAX_KEY_BYTES = 1_000
"""The longest path of a file, in bytes. An S3 key has 1,024 bytes at most, and the prefix of the job comes first."""
SHOWN_REASONS, SHOWN_CHARACTERS = 5, 100


@dataclass(frozen=True)
class Plan:
    """The demonstration's input."""

    first: dict[str, list[Part]]
    """Provider -> its objects at the first tick."""
    second: dict[str, list[Part]] = field(default_factory=dict)
    """Provider -> objects that are added before the second tick."""
    corrupt: str | None = None
    """Provider whose only object is corrupt at the first tick."""
    lambda_max_bytes: int = 0
    """Override of the template's LambdaMaxBytes, chosen so that both engines are used."""
    ignored: tuple[Part, ...] = ()
    """Objects that are not data: they are put into the bucket too, where the stack ignores them."""
    refused: tuple[str, ...] = ()
    """Why files and folders are left out."""
    job: str = "change_log"
    """The template's Job."""

    @property
    def providers(self) -> list[str]:
        """All providers in alphabetical order."""
        return sorted(self.first)

    @property
    def pending(self) -> set[str]:
        """Providers with pending objects at the second tick."""
        return {*self.second, *([self.corrupt] if self.corrupt else [])}

    @property
    def large(self) -> set[str]:
        """Providers whose first run is on Glue."""
        return {provider for provider in self.first if self.size(provider) > self.lambda_max_bytes}

    def size(self, provider: str) -> int:
        """Return the bytes of a provider's objects at the first tick."""
        return sum(len(part.body) for part in self.first.get(provider, []))


def generated_plan(providers: int, rows: int, seed: int = 1) -> Plan:
    """Generate a change log with decreasing sizes and with all shapes and view types.

    Raises
    ------
    DemoError
        There are no providers, or fewer than ten rows for each.
    """
    if providers < 1 or rows < providers * 10:
        raise DemoError(f"PROVIDERS={providers} ROWS={rows}: set at least one provider, and ten rows for each.")
    names = provider_names(providers)
    styles = dict(zip(names, itertools.cycle(STYLES), strict=False))
    weights = [1 / (n + 1.5) for n in range(providers)]
    counts = [max(8, round(rows * 0.95 * weight / sum(weights))) for weight in weights]
    first = {
        name: change_log(name, count, 1 if name == names[-1] else 4, styles[name], seed)
        for name, count in zip(names, counts, strict=True)
    }
    late, added = DEFAULT_START + timedelta(days=1), max(2, round(rows * 0.05 / 2))
    second = {
        name: change_log(name, added, 1, styles[name], seed, late) for name in dict.fromkeys([names[0], names[-2:][0]])
    }
    return with_threshold(Plan(first, second, corrupt=names[-1]))


@dataclass(frozen=True)
class Files:
    """The files of a user's folder, by the rules of the stack.

    Attributes
    ----------
    data
        Provider -> its files that are data: path in the folder -> content.
    ignored
        Files that are not data.
    refused
        Why files and folders are left out: S3 or the stack does not allow their names, or they cannot be read.
    """

    data: dict[str, dict[str, bytes]] = field(default_factory=dict)
    ignored: dict[str, bytes] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path) -> Files:
        """Read the files of every provider=NAME/ folder.

        Raises
        ------
        DemoError
            There are none, or no folder has a name that is allowed.
        """
        from fanout.providers import is_name, refusal

        found = cls()
        try:
            if not folder.is_dir():
                raise DemoError(f"{folder} is not a folder.")
            for root in sorted(path for path in folder.glob("provider=*") if path.is_dir()):
                name = root.name.removeprefix("provider=")
                if is_name(name):
                    found._add(folder, root, name)
                else:
                    found._refuse(root.name, refusal(name))
        except OSError as error:
            raise DemoError(f"{folder} cannot be read: {error.strerror}.") from None
        if not found.data:
            why = "; ".join(found.refused[:SHOWN_REASONS]) or "It needs files in folders provider=NAME/."
            raise DemoError(f"No data found in {folder}, {len(found.ignored)} files ignored. {why}")
        return found

    def _add(self, folder: Path, root: Path, name: str) -> None:
        from fanout.manifests import why_ignored

        def unreadable(error: OSError) -> None:
            self._refuse(Path(error.filename).relative_to(folder).as_posix(), str(error.strerror))

        walked = [(Path(top), names, files) for top, names, files in os.walk(root, onerror=unreadable)]
        links = [top / name for top, names, _ in walked for name in names if (top / name).is_symlink()]
        for path in sorted([*links, *(top / file for top, _, files in walked for file in files)]):
            key = path.relative_to(folder).as_posix()
            if why := why_no_key(key):
                self._refuse(key, why)
            elif not path.is_file():
                self._refuse(key, "it is not a file")
            else:
                try:
                    body = path.read_bytes()
                except OSError as error:
                    unreadable(error)
                    continue
                ignored = why_ignored(path.relative_to(root).as_posix())
                (self.ignored if ignored else self.data.setdefault(name, {}))[key] = body

    def _refuse(self, name: str, why: str) -> None:
        shown = ascii(name)[1:-1]
        if len(shown) > SHOWN_CHARACTERS:
            shown = f"{shown[:SHOWN_CHARACTERS]}…"
        self.refused.append(f"{shown} is left out: {why}")


def why_no_key(path: str) -> str | None:
    """The reason why a path cannot be part of a key in the laptop cloud's S3; None if it can."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if size > MAX_KEY_BYTES:
        return f"its path has {size} bytes; an S3 key has at most 1,024, with the prefix"
    return "the laptop cloud does not store names with line breaks" if "\n" in path else None


def own_plan(folder: Path) -> Plan:
    """Read the user's change log: all files in the provider=NAME/ folders of `folder`.

    Raises
    ------
    DemoError
        There are no such files.
    """
    from demo.verify import lines_of

    def parts(files: dict[str, bytes]) -> list[Part]:
        return [Part(key, body, sum(1 for line in lines_of(body) if line.strip())) for key, body in files.items()]

    files = Files.of(folder)
    first = {name: parts(found) for name, found in files.data.items()}
    return with_threshold(Plan(first, ignored=tuple(parts(files.ignored)), refused=tuple(files.refused)))


def with_threshold(plan: P) -> P:
    """Set the threshold so that the larger half of the providers, at least 3 and at most 12, runs on Glue."""
    sizes = sorted((plan.size(provider) for provider in plan.first), reverse=True)
    large = min(12, max(3, len(sizes) // 2))
    return replace(plan, lambda_max_bytes=sizes[large] if large < len(sizes) else 0)
