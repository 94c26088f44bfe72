"""Grouping failures by their cause: the same fault reads alike whichever object, line or run it names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from cli.overview import Condition, Standing

_PARTICULARS = (
    (re.compile(r"s3://\S+?(?=[,:;\s]|$)"), "s3://…"),
    (re.compile(r"\bjr_[0-9a-f]+\b"), "jr_…"),
    (re.compile(r"\b[0-9A-Za-z_-]*\d{8}T\d{6}Z[0-9A-Za-z_-]*"), "…"),
    (re.compile(r"\b[0-9a-f]{16,}\b"), "…"),
    (re.compile(r"(?<![A-Za-z])\d+"), "n"),
)
UNKNOWN = "no cause was recorded"


@dataclass(frozen=True)
class Cause:
    """Providers that fail for the same reason."""

    cause: str
    providers: tuple[str, ...]
    example: str
    run_id: str | None


def group(standings: Iterable[Standing]) -> list[Cause]:
    """The failing and stuck providers by cause, the most frequent first."""
    groups: dict[str, list[Standing]] = defaultdict(list)
    for standing in standings:
        if standing.condition in (Condition.FAILING, Condition.STUCK, Condition.INVALID):
            groups[general(standing.why or UNKNOWN, standing.provider)].append(standing)
    found = [
        Cause(cause, tuple(s.provider for s in alike), alike[0].why or UNKNOWN, alike[0].run_id)
        for cause, alike in groups.items()
    ]
    return sorted(found, key=lambda cause: (-len(cause.providers), cause.cause))


def general(why: str, provider: str) -> str:
    """A cause without what is particular to one run."""
    why = re.sub(rf"(?<![\w.=-]){re.escape(provider)}(?![\w.-])", "PROVIDER", why)
    for pattern, placeholder in _PARTICULARS:
        why = pattern.sub(placeholder, why)
    return why
