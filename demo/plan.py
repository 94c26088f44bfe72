"""The input of `make run`: a generated change log, or the user's own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from demo import DemoError
from demo.sample_data import DEFAULT_START, STYLES, Part, change_log, provider_names

P = TypeVar("P", bound="Plan")


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
    """Why folders are left out."""
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
        Provider -> its files that are data.
    ignored
        Files that are not data.
    refused
        Why the files of some folders are left out: the names of the folders can't be names of providers.
    """

    data: dict[str, list[Path]]
    ignored: tuple[Path, ...]
    refused: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Files:
        """Find the files of every provider=NAME/ folder.

        Raises
        ------
        DemoError
            There are none, or no folder has a name that is allowed.
        """
        from fanout.manifests import why_ignored
        from fanout.providers import is_name, refusal

        data: dict[str, list[Path]] = {}
        ignored, refused = [], []
        for root in sorted(path for path in folder.glob("provider=*") if path.is_dir()):
            name = root.name.removeprefix("provider=")
            if not is_name(name):
                refused.append(f"{ascii(root.name)[1:-1]} is left out: {refusal(name)}")
                continue
            for path in sorted(path for path in root.rglob("*") if path.is_file()):
                if why_ignored(path.relative_to(root).as_posix()):
                    ignored.append(path)
                else:
                    data.setdefault(name, []).append(path)
        if not data:
            why = "; ".join(refused) or "It needs files in folders provider=NAME/."
            raise DemoError(f"No data found in {folder}, {len(ignored)} files ignored. {why}")
        return cls(data, tuple(ignored), tuple(refused))


def own_plan(folder: Path) -> Plan:
    """Read the user's change log: all files in the provider=NAME/ folders of `folder`.

    Raises
    ------
    DemoError
        There are no such files.
    """
    from demo.verify import lines_of

    def part(path: Path) -> Part:
        body = path.read_bytes()
        key = path.relative_to(folder).as_posix()
        return Part(key, body, sum(1 for line in lines_of(body) if line.strip()))

    files = Files.of(folder)
    first = {name: [part(path) for path in paths] for name, paths in files.data.items()}
    return with_threshold(Plan(first, ignored=tuple(map(part, files.ignored)), refused=files.refused))


def with_threshold(plan: P) -> P:
    """Set the threshold so that the larger half of the providers, at least 3 and at most 12, runs on Glue."""
    sizes = sorted((plan.size(provider) for provider in plan.first), reverse=True)
    large = min(12, max(3, len(sizes) // 2))
    return replace(plan, lambda_max_bytes=sizes[large] if large < len(sizes) else 0)
