"""The Failures page: failing providers by cause, as `fanout failed` groups them."""

from __future__ import annotations

from dash import html

from ..commands.status import Cause, group
from ..output import safe
from ..selection import SHOWN
from .parts import Part, ask, facts, link_provider, link_run, section
from .watch import Watch


def live(watch: Watch, read_only: bool) -> Part:
    """Each cause with its providers, an example, advice, and the button that retries all."""
    if watch.overview is None:
        return html.P(watch.problem or "Loading all providers …", className="empty")
    failing = {one.provider for one in watch.overview.health if one.has_failed}
    causes = group(watch.overview.health)
    return [_cause(one, 0 if read_only else len(failing.intersection(one.providers))) for one in causes] or html.P(
        "No provider is failing.", className="empty"
    )


def _cause(cause: Cause, retried: int) -> Part:
    names = [part for name in cause.providers[:SHOWN] for part in (link_provider(name), " ")]
    more = f"and {len(cause.providers) - SHOWN:,} more" if len(cause.providers) > SHOWN else ""
    pairs = [("providers", [f"{len(cause.providers):,}: ", *names, more]), ("example", safe(cause.example.text))]
    if cause.run_id:
        pairs.append(("run", link_run(cause.run_id, cause.providers[0])))
    button = ask(f"Retry all ({retried:,})", "retry", cause.cause) if retried else None
    return section(safe(cause.cause), facts([*pairs, ("advice", safe(cause.advice))]), button)
