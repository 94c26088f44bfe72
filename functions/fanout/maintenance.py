"""Maintenance windows, in which no run starts: for all providers or for a group. Pure: no clock, no I/O.

The run ledger's table keeps them, so that they do not depend on the config API.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Window:
    """One window.

    Attributes
    ----------
    group
        The group of providers that it is for; None for all providers.
    until
        Its end; None for a window that lasts until an operator ends it.
    """

    group: str | None
    since: datetime
    until: datetime | None = None

    @property
    def text(self) -> str:
        """For whom and until when, in words."""
        whose = "all providers" if self.group is None else f"group {self.group}"
        end = f"until {self.until:%Y-%m-%d %H:%M:%SZ}" if self.until else "without an end"
        return f"maintenance of {whose} {end}"


@dataclass(frozen=True)
class Maintenance:
    """The windows that are open at one time."""

    windows: tuple[Window, ...] = ()

    @classmethod
    def at(cls, windows: Iterable[Window], now: datetime) -> Maintenance:
        """Those of all windows that are open."""
        return cls(tuple(window for window in windows if now < (window.until or FOREVER)))

    def of(self, group: str | None) -> Window | None:
        """The window for a provider of this group, the one that ends last; None if there is none."""
        found = [window for window in self.windows if window.group is None or window.group == group]
        return max(found, key=lambda window: window.until or FOREVER, default=None)


NONE = Maintenance()


class MaintenanceStore(Protocol):
    """Port: the maintenance windows."""

    def windows(self) -> list[Window]:
        """All windows, also those that have ended; read consistently."""
        ...
