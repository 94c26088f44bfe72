"""The console's web app: its frame, its pages by address, and its buttons."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, dcc, html, no_update
from flask import request

from ..command import Operator, utc_now
from ..commands.trace import Trace, gather
from ..errors import EXPECTED, UsageError
from . import actions, costs, failures, overview, pages
from .actions import Order
from .aws_links import aws_links
from .guard import Guard
from .last_runs import last_runs
from .parts import Part, link_run, problem
from .watch import Watch

ASKED = {"ask": ALL, "of": ALL, "from": ALL, "to": ALL}
YES = {"run": "Start run", "retry": "Start runs", "replay": "Send again", "redrive": "Redrive"}
FAILED = "Nothing was changed"
LOG_LINES = 40
LOG_DELAY = timedelta(minutes=1)
"""How long after the end of a run new log lines may still arrive."""


class Console:
    """The page's server side.

    Parameters
    ----------
    op
        The operator, with the stack.
    guard
        Checks every request.
    read_only
        Whether the operator disabled changes.
    """

    def __init__(self, op: Operator, guard: Guard, *, read_only: bool) -> None:
        self.watch, self._op = Watch(op), op
        self._read_only = read_only
        self._ended: dict[str, Trace] = {}
        self._label = "laptop cloud" if op.where.cloud_file else op.where.stack or "stack on AWS"
        self.app = Dash(
            __package__,
            assets_folder=str(Path(__file__).parent / "assets"),
            title="glue-fanout console",
            update_title="",
            suppress_callback_exceptions=True,
        )
        self.app.index_string = self.app.index_string.replace("<html>", '<html lang="en">')
        self.app.layout = self._shell
        self._register_views()
        self._register_changes()
        guard.protect(self.app.server, self.app.csp_hashes())
        logging.getLogger("waitress").setLevel(logging.ERROR)

    @cached_property
    def _may_start(self) -> bool:
        return actions.may_start(self.watch.stack)

    @property
    def read_only(self) -> bool:
        """Whether changes are disabled: by the operator, by the credentials, or because the stack cannot be reached."""
        try:
            return self._read_only or not self._may_start
        except EXPECTED:
            return True

    # ---- views

    def _shell(self) -> Part:
        links = (("Overview", "/"), ("Failures", "/failures"), ("Cost", "/cost"), ("Dead letters", "/dead-letters"))
        buttons = dmc.Group([dmc.Button("Confirm", id="yes"), dmc.Button("Cancel", id="no", variant="default")])
        return dmc.MantineProvider(
            [
                dcc.Location(id="url", refresh="callback-nav"),
                html.Header(
                    [
                        html.Strong("glue-fanout"),
                        html.Nav(dmc.Group([dcc.Link(name, href=path) for name, path in links], gap="md")),
                        html.Span([self._label, html.Span(id="mode")], className="aside"),
                    ]
                ),
                html.Main([html.Div(id="outcome", role="status"), html.Div(id="page")]),
                dmc.Modal(
                    [html.P(id="question"), buttons],
                    id="confirm",
                    title="Confirm change",
                    closeButtonProps={"aria-label": "Close"},
                ),
                dcc.Store(id="order"),
                dcc.Store(id="chosen"),
            ],
            defaultColorScheme="auto",
            theme={"primaryShade": {"light": 8, "dark": 5}, "autoContrast": True},
        )

    def _page(self, path: str) -> Part:
        """The frame of the page at a path."""
        kind, _, name = path.strip("/").partition("/")
        name = unquote(name)
        if not kind:
            return overview.frame(read_only=self.read_only)
        if kind == "provider" and name:
            return pages.provider_frame(name, self.read_only)
        if kind == "run" and name:
            return pages.run_frame(name)
        if kind == "cost" and not name:
            return costs.frame()
        if kind == "failures" and not name:
            return [html.H1("Failures"), *pages.living()]
        if kind == "dead-letters" and not name:
            return [html.H1("Dead letters"), *pages.living()]
        return [html.H1("Page not found"), dcc.Link("Overview", href="/")]

    def _live(self, path: str, search: str) -> Part:
        """The part of the page at a path that is refreshed."""
        kind, _, name = path.strip("/").partition("/")
        name, now = unquote(name), utc_now()
        if kind == "provider":
            return pages.provider_live(self.watch.stack, self.watch, name, now)
        if kind == "run":
            provider = parse_qs(search.lstrip("?")).get("provider", [None])[0]
            found = self._gather(name, provider, now)
            return pages.run_live(found, now, aws_links(self.watch.stack, found))
        if kind == "failures":
            return failures.live(self.watch, self.read_only)
        return pages.dead_letters_live(self.watch.stack, self.read_only, now)

    def _gather(self, run_id: str, provider: str | None, now: datetime) -> Trace:
        """Everything about a run; read again until the run has ended and its log is complete."""
        if run_id not in self._ended:
            found = gather(self.watch.stack, run_id, provider, LOG_LINES)
            if not found.execution or not found.execution.ended_at or now - found.execution.ended_at < LOG_DELAY:
                return found
            self._ended[run_id] = found
        return self._ended[run_id]

    def _try(self, what: Callable[[], Part], title: str) -> Part:
        try:
            return what()
        except EXPECTED as error:
            return problem(title, self.watch.say(error))

    # ---- changes

    def _changed(self, order: Order) -> tuple[Part, Any]:
        """Carry out an order; return the message to show and the address to open."""
        try:
            if self.read_only:
                raise UsageError("this console is read-only")
            done = actions.carry_out(self._op, order)
        except EXPECTED as error:
            return problem(FAILED, self.watch.say(error)), no_update
        self.watch.ask()
        if done.run_id is None:
            return dmc.Alert(done.said, color="blue", variant="outline"), no_update
        message = ["Started: ", link_run(done.run_id, order.of)]
        return dmc.Alert(message, color="blue", variant="outline"), f"/run/{done.run_id}?provider={order.of}"

    def _register_views(self) -> None:
        app = self.app

        @app.callback(Output("page", "children"), Output("mode", "children"), Input("url", "pathname"))
        def page(path: str) -> tuple[Part, str]:
            shown = self._try(lambda: self._page(path or "/"), "Page not available")
            return shown, ", read-only" if self.read_only else ""

        @app.callback(
            Output("overview-live", "children"),
            Output({"count": ALL}, "children"),
            Output("ticks", "children"),
            Output("providers", "rowData"),
            Output("providers", "rowTransaction"),
            Output("version", "data"),
            Input("overview-clock", "n_intervals"),
            State("version", "data"),
            running=[(Output("overview-clock", "disabled"), True, False)],
        )
        def look(_: int, version: int | None) -> tuple[Any, ...]:
            watch, now = self.watch, utc_now()
            watch.ask()
            shown = overview.live(watch, now), overview.counts(watch), overview.last_ticks(watch, now)
            newest, rows, changes = watch.rows.since(version) if watch.overview else (None, None, None)
            return *shown, *(no_update if part is None else part for part in (rows, changes, newest))

        @app.callback(
            Output("cost-state", "children"),
            Output("cost-live", "children"),
            Output("costs", "rowData"),
            Output("costs", "rowTransaction"),
            Output("cost-version", "data"),
            Input("cost-clock", "n_intervals"),
            State("cost-version", "data"),
            running=[(Output("cost-clock", "disabled"), True, False)],
        )
        def spend(_: int, version: int | None) -> tuple[Any, ...]:
            watch = self.watch
            watch.ask()
            found = watch.costs()
            newest, rows, changes = watch.cost_rows.since(version) if found else (None, None, None)
            shown = costs.live(watch, found) if newest is None or newest != version else no_update
            return costs.state(watch), shown, *(no_update if part is None else part for part in (rows, changes, newest))

        def runs_of() -> dict[str, Any]:
            try:
                return last_runs(self.watch.stack, request.args.getlist("of"))
            except EXPECTED:  # the page shows why the stack cannot be read
                return {}

        app.server.add_url_rule("/last-runs", view_func=runs_of)
        app.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("console", "narrow"),
            Output("shown", "children"),
            Input("search", "value"),
            Input("conditions", "value"),
            Input("providers", "rowData"),
            Input("providers", "rowTransaction"),
            Input("ticks", "children"),
        )

        @app.callback(
            Output("live", "children"),
            Output("live", "className"),
            Input("clock", "n_intervals"),
            State("url", "pathname"),
            State("url", "search"),
            running=[(Output("clock", "disabled"), True, False)],
        )
        def live(_: int, path: str, search: str) -> tuple[Part, str]:
            self.watch.ask()
            return self._try(lambda: self._live(path, search or ""), "Not available"), ""

    def _register_changes(self) -> None:
        app = self.app
        app.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("console", "choose"),
            Output("chosen", "data"),
            Input(ASKED, "n_clicks"),
            Input({"many": ALL}, "n_clicks"),
            prevent_initial_call=True,
        )

        @app.callback(
            Output("planned", "children"),
            Input({"plan": ALL}, "n_clicks"),
            State("replay-from", "value"),
            State("replay-to", "value"),
            prevent_initial_call=True,
        )
        def plan(clicks: list[int | None], start: str, end: str) -> Part:
            if not any(clicks) or not isinstance(ctx.triggered_id, dict):
                return no_update
            provider = str(ctx.triggered_id["plan"])
            found = lambda: pages.planned(actions.plan(self.watch.stack, provider, start, end))  # noqa: E731
            return self._try(found, "Replay not possible")

        @app.callback(
            Output("confirm", "opened", allow_duplicate=True),
            Output("question", "children"),
            Output("yes", "children"),
            Output("order", "data"),
            Output("outcome", "children", allow_duplicate=True),
            Input("chosen", "data"),
            prevent_initial_call=True,
        )
        def asked(chosen: dict[str, Any] | None) -> tuple[Any, ...]:
            if not chosen:
                return (no_update,) * 5
            order = Order(**{name: value for name, value in chosen.items() if name != "at"})
            if order.names is None and order.do not in actions.ASKED:
                return False, no_update, no_update, None, self._changed(order)[0]
            try:
                effect = actions.question(self.watch.stack, order)
            except EXPECTED as error:
                return False, no_update, no_update, None, problem(FAILED, self.watch.say(error))
            return True, effect, YES[order.do] if order.names is None else "Confirm", asdict(order), None

        @app.callback(
            Output("confirm", "opened", allow_duplicate=True),
            Output("outcome", "children", allow_duplicate=True),
            Output("url", "href", allow_duplicate=True),
            Input("yes", "n_clicks"),
            Input("no", "n_clicks"),
            State("order", "data"),
            running=[(Output("yes", "loading"), True, False)],
            prevent_initial_call=True,
        )
        def answered(yes: int | None, no: int | None, order: dict[str, Any] | None) -> tuple[Any, ...]:
            if ctx.triggered_id != "yes" or not order:
                return False, no_update, no_update
            return False, *self._changed(Order(**order))

        @app.callback(
            Output({"measure": ALL}, "disabled"), Input({"measure": ALL}, "n_clicks"), prevent_initial_call=True
        )
        def measure(clicks: list[int | None]) -> list[bool]:
            if any(clicks):
                self.watch.measure()
            return [any(clicks)]
