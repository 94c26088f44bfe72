"""Access control of the console: only the browser in which the operator opened the printed address has access.

The console uses the operator's credentials, and every user of this machine and every web page that the operator opens
can send requests to a port on 127.0.0.1. So each request must have this host as its `Host`, must not come from another
origin, and must have the key of the printed address in a cookie. A callback must also have the form token, which only
this page can read.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hmac import compare_digest

from flask import Flask, Request, Response, redirect, request

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
        self.token_cookie = f"fanout_token_{port}"
        """The port is part of the names, because browsers send cookies to all ports of a host."""
        self._key_cookie = f"fanout_key_{port}"
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._key, self._token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        """The address that the operator opens."""
        return f"http://127.0.0.1:{self.port}/?key={self._key}"

    def protect(self, server: Flask, script_hashes: Sequence[str]) -> None:
        """Check every request of a server, and add the security headers to every answer."""
        policy = f"{POLICY}; script-src 'self' {' '.join(script_hashes)}"

        def mark(answer: Response) -> Response:
            answer.headers["Content-Security-Policy"] = policy
            answer.headers["X-Content-Type-Options"] = "nosniff"
            answer.headers["Referrer-Policy"] = "no-referrer"
            answer.headers.setdefault("Cache-Control", "no-store")
            return answer

        server.before_request(lambda: self.check(request))
        server.after_request(mark)

    def check(self, asked: Request) -> Response | None:
        """The rejection of a request; None if the request is allowed."""
        host, origin = asked.headers.get("Host", ""), asked.headers.get("Origin")
        if host not in self._hosts:
            return _refuse(f"the address of this console is 127.0.0.1:{self.port}, not {host!a}")
        if origin is not None and origin != f"http://{host}":
            return _refuse(f"requests from {origin!a} are not allowed")
        if compare_digest(asked.args.get("key", "").encode(), self._key.encode()):
            return self._admit()
        if not self._has(asked.cookies.get(self._key_cookie), self._key):
            return _refuse("the key is missing or old; open the address that `fanout console` printed last")
        if asked.method not in ("GET", "HEAD") and not self._has(asked.headers.get("X-CSRFToken"), self._token):
            return _refuse("the form token is missing or old; reload the page")
        return None

    def _admit(self) -> Response:
        """Move the key from the address to a cookie, and set the form token."""
        answer: Response = redirect("/")  # type: ignore[assignment]  # flask's class is a subclass of werkzeug's
        answer.set_cookie(self._key_cookie, self._key, httponly=True, samesite="Lax")
        answer.set_cookie(self.token_cookie, self._token, samesite="Strict")
        return answer

    @staticmethod
    def _has(given: str | None, wanted: str) -> bool:
        return compare_digest((given or "").encode(), wanted.encode())


def _refuse(why: str) -> Response:
    return Response(f"rejected: {why}\n", 403, content_type="text/plain; charset=utf-8")
