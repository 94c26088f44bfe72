"""Access control of the console: only the browser in which the operator opened the printed address has access.

The console uses the operator's credentials, and every user of this machine and every web page that the operator opens
can send requests to a port on 127.0.0.1. So each request must have this host as its `Host`, must not come from another
origin, and, except for the page's code, must have the key of the printed address in a header.

The key is in the fragment of the address, which browsers send to no server. The page's script (assets/console.js) moves
it to the storage of this origin, which no page of another origin can read, and adds the header, which no such page may
send. A cookie would not do: browsers send it to all ports of a host.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hmac import compare_digest

from flask import Flask, Response, request
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer
from werkzeug.wrappers import Request

KEY = "X-Fanout-Key"
CODE = {
    "/",
    "/<path:path>",
    "/assets/<path:filename>",
    "/_dash-component-suites/<string:package_name>/<path:fingerprinted_path>",
    "/_favicon.ico",
}
"""Routes of Dash that return the page's code and no data."""
MAX_BODY = 1 << 20
IDLE_SECONDS = 30
"""How long a connection may be idle, and how long a request may take to arrive."""
POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # the component libraries write styles into the page
        "img-src 'self' data:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy; the hashes of the page's own scripts are added to it."""


class Guard:
    """Rejects every request that the operator's page did not send.

    Parameters
    ----------
    port
        Port of the console on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._key = secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        """The address that the operator opens."""
        return f"http://127.0.0.1:{self.port}/#key={self._key}"

    def protect(self, server: Flask, script_hashes: Sequence[str]) -> None:
        """Check every request of an application, and add the security headers to every answer."""
        policy = f"{POLICY}; script-src 'self' {' '.join(script_hashes)}"

        def check() -> Response | None:
            rule = request.url_rule
            why = self.rejection(request, for_code=rule is not None and rule.rule in CODE)
            if why is None:
                return None
            return Response(f"rejected: {why}\n", 403, content_type="text/plain; charset=utf-8")

        def mark(answer: Response) -> Response:
            answer.headers["Content-Security-Policy"] = policy
            answer.headers["X-Content-Type-Options"] = "nosniff"
            answer.headers["Referrer-Policy"] = "no-referrer"
            answer.headers["Cross-Origin-Opener-Policy"] = "same-origin"
            answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
            answer.headers.setdefault("Cache-Control", "no-store")
            return answer

        server.before_request(check)
        server.after_request(mark)

    def protect_connections(self, server: BaseWSGIServer) -> None:
        """Reject a request with a body before the body is stored, and end connections that are slow."""
        guard = self

        class Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
            def parse_header(self, header_plus: bytes) -> None:
                super().parse_header(header_plus)
                if self.body_rcv is not None:
                    headers = {f"HTTP_{name}": value for name, value in self.headers.items()}
                    why = guard.rejection(Request({"REQUEST_METHOD": self.command, **headers}))
                    if why:
                        self.expect_continue = False
                        raise ParsingError(f"rejected: {why}")

        class Channel(HTTPChannel):  # type: ignore[misc]
            parser_class = Parser
            _active = 0.0

            @property
            def last_activity(self) -> float:
                """The last time at which a request began, or an answer was sent."""
                return self._active

            @last_activity.setter
            def last_activity(self, at: float) -> None:
                if self.request is None:  # else a client could send a byte now and then
                    self._active = at

        server.channel_class = Channel

    def rejection(self, asked: Request, *, for_code: bool = False) -> str | None:
        """Why a request is rejected; None if it is allowed. A request for the page's code needs no key."""
        host, origin = asked.headers.get("Host", "").lower(), asked.headers.get("Origin")
        if host not in self._hosts:
            return f"the address of this console is 127.0.0.1:{self.port}, not {host!a}"
        if origin is not None and origin != f"http://{host}":
            return f"requests from {origin!a} are not allowed"
        if for_code or compare_digest(asked.headers.get(KEY, "").encode(), self._key.encode()):
            return None
        return "the key is missing or old; open the address that `fanout console` printed last"
