"""Selects the providers of an order, by name, group, pattern or cause of failure: one function for every order."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

import typer

from fanout.health import Health
from fanout.providers import Maintenance, check_name, is_name

from .command import Command, Context, Yes, params_of, utc_now
from .deployment import Deployment
from .errors import UsageError
from .output import counted, safe
from .overview import look

SHOWN = 10
"""The most names that a message lists."""


@dataclass(frozen=True)
class Wanted:
    """The selection of an operator: names, or conditions that all have to be met, or all providers."""

    names: tuple[str, ...] = ()
    group: str | None = None
    match: str | None = None
    failing: str | None = None
    every: bool = False

    @property
    def alone(self) -> bool:
        """Whether one provider was named, so that no confirmation of its number is needed."""
        return len(self.names) == 1

    @classmethod
    def of(
        cls, names: list[str] | None, group: str | None, match: str | None, failing: str | None, *, every: bool
    ) -> Wanted:
        """Check the options of a command.

        Raises
        ------
        UsageError
            Nothing is selected, or the options exclude each other.
        """
        if "" in (group, match, failing):
            raise UsageError("--group, --match and --failing need a value that is not empty; nothing was changed")
        conditions = any(option is not None for option in (group, match, failing))
        given = sum((bool(names), conditions, every))
        if given == 0:
            raise UsageError("no provider selected; give names, or --group, --match, --failing or --all")
        if given > 1:
            raise UsageError(
                "select providers by names, or by --group, --match and --failing, or by --all; these exclude each other"
            )
        return cls(tuple(dict.fromkeys(names or ())), group, match, failing, every)


@dataclass(frozen=True)
class Selected:
    """The selected providers.

    Attributes
    ----------
    names
        In the order given, or else by name.
    left_out
        Names in the config API's list that are not allowed, so that no order can be carried out for them.
    """

    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """The options that all orders share."""

    wanted: Wanted
    dry_run: bool
    yes: bool


def request(
    names: Annotated[list[str] | None, typer.Argument(metavar="[PROVIDER]...", help="Names of providers.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="Select the providers of a group.")] = None,
    match: Annotated[
        str | None, typer.Option("--match", metavar="PATTERN", help="Select names by a pattern with *, ? and [...].")
    ] = None,
    failing: Annotated[
        str | None,
        typer.Option(
            "--failing",
            metavar="CAUSE",
            help="Select failing providers by the cause that `fanout failed` shows: its beginning, or a pattern. Needs "
            "the IAM actions of that command.",
        ),
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Select all providers.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, but do nothing.")] = False,
    yes: Yes = False,
) -> Request:
    """Read the options that all orders share."""
    return Request(Wanted.of(names, group, match, failing, every=every), dry_run, yes)


class OrderCommand(Command):
    """A command for one or many providers. Its function gets the selection from `requested`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.order = params_of(request)
        self.params = [*self.order, *self.params]

    def invoke(self, ctx: Any) -> None:
        """Run the command."""
        ctx.meta[__name__] = {option.name: ctx.params.pop(option.name) for option in self.order}
        super().invoke(ctx)


def requested(ctx: Context) -> Request:
    """The order's options.

    Raises
    ------
    UsageError
        Nothing is selected, or the options exclude each other.
    """
    return request(**ctx.meta[__name__])


def select(stack: Deployment, wanted: Wanted) -> Selected:
    """Select providers from the config API's list.

    Raises
    ------
    UsageError
        A name is not in the list, or no provider meets the conditions. Nothing is done for the others either.
    InvalidProviderError
        A name is not allowed.
    """
    listed = stack.config_api.entries()
    if wanted.names:
        return Selected(_listed(wanted.names, listed))
    if not listed:
        raise UsageError("the list of providers is empty; add one with `fanout providers add NAME`")
    found = sorted(map(str, listed))
    if wanted.group is not None:
        found = of_group(wanted.group, listed)
    if wanted.match is not None:
        found = [name for name in found if fnmatchcase(name, wanted.match)]
        if not found:
            raise UsageError(f"no provider matches {safe(wanted.match)}; `fanout providers list` shows all names")
    if wanted.failing is not None:
        failing = _failing(wanted.failing, (one for one in look(stack).health if one.provider in listed))
        found = [name for name in found if name in failing]
        if not found:
            raise UsageError("no provider meets all conditions; nothing was changed")
    refused = tuple(name for name in found if not is_name(name))
    names = tuple(name for name in found if name not in refused)
    if not names:
        raise UsageError(f"no provider with an allowed name is selected; not allowed: {shown(refused)}")
    return Selected(names, refused)


def check_startable(stack: Deployment, names: Iterable[str]) -> None:
    """Check that no provider is in a maintenance window.

    Raises
    ------
    UsageError
        Some are; none is started.
    """
    maintenance = Maintenance.at(stack.maintenance.windows(), utc_now())
    if not maintenance.windows:
        return
    listed = stack.config_api.entries()
    held = [(name, window) for name in names if (window := maintenance.of(_group(listed.get(name))))]
    if held:
        raise UsageError(
            f"{held[0][1].text}: no run of {shown(name for name, _ in held)} is started; end the window with "
            "`fanout maintenance off`, or leave these providers out"
        )


def _group(entry: object) -> str | None:
    group = entry.get("group") if isinstance(entry, Mapping) else None
    return group if isinstance(group, str) else None


def shown(names: Iterable[str]) -> str:
    """The first names of a list, and how many more it has."""
    found = list(names)
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return ", ".join(map(safe, found[:SHOWN])) + more


def these(names: Collection[str]) -> str:
    """The name of a single provider, or the number of several."""
    return next(iter(names)) if len(names) == 1 else counted(len(names), "provider")


def _listed(names: tuple[str, ...], listed: Mapping[str, object]) -> tuple[str, ...]:
    unknown = [name for name in names if check_name(name) not in listed]
    if not unknown:
        return names
    if len(names) > 1:
        raise UsageError(
            f"{len(unknown):,} of {counted(len(names), 'provider')} not found: {shown(unknown)}; nothing was changed"
        )
    (name,) = unknown
    close = difflib.get_close_matches(name, map(str, listed), n=3)
    hint = f"did you mean {' or '.join(map(safe, close))}?" if close else f"add it with `fanout providers add {name}`"
    raise UsageError(f"provider {name} not found; {hint}")


def of_group(group: str, listed: Mapping[str, object]) -> list[str]:
    """The providers of a group.

    Raises
    ------
    UsageError
        No provider is in the group.
    """
    groups: dict[str, list[str]] = {}
    for name, entry in listed.items():
        if (its := _group(entry)) is not None:
            groups.setdefault(its, []).append(name)
    if group not in groups:
        known = f"the groups are {shown(sorted(groups))}" if groups else "no provider has a group"
        raise UsageError(f"no provider is in the group {safe(group)}; {known}")
    return sorted(groups[group])


def _failing(cause: str, health: Iterable[Health]) -> set[str]:
    """The providers whose failure has this cause."""
    kinds = {one.provider: one.failure.kind for one in health if one.failure is not None}
    found = {name for name, kind in kinds.items() if kind.startswith(cause) or fnmatchcase(kind, cause)}
    if not found:
        known = f"causes: {'; '.join(map(safe, sorted(set(kinds.values()))[:SHOWN]))}" if kinds else "none is failing"
        raise UsageError(f"no provider in the list fails with {safe(cause)[:200]}; {known}")
    return found
