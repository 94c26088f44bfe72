"""Who may ask the console for anything: only the browser in which the operator opened the printed address.

The console acts with the operator's credentials, and anybody on this machine, and any web page that the operator has
open, can send a request to a port on loopback. So each request must name this host, come from no other origin, and
carry the key of the printed address as a cookie; a callback must carry the form token that only this page can read.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from hmac import compare_digest

from flask import Flask, Request, Response, redirect, request

POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # of the component libraries, which put their styles into the page
        "img-src 'self' data:",
        "font-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy; the page's own scripts are added to it by their hashes."""


class Guard:
    """Refuses each request that the operator's own page did not send.

    Parameters
    ----------
    port
        Where the console listens on loopback.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.token_cookie = f"fanout_token_{port}"
        """Cookies know no port, so another console has its own names."""
        self._key_cookie = f"fanout_key_{port}"
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._key, self._token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        """Where the operator opens the console."""
        return f"http://127.0.0.1:{self.port}/?key={self._key}"

    def protect(self, server: Flask, script_hashes: Sequence[str]) -> None:
        """Have every request of a server checked, and every answer marked."""
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
        """What is answered instead of the page; None when the request may pass."""
        host, origin = asked.headers.get("Host", ""), asked.headers.get("Origin")
        if host not in self._hosts:
            return _refuse(f"this console is at 127.0.0.1:{self.port}, not at {host!a}")
        if origin is not None and origin != f"http://{host}":
            return _refuse(f"requests of {origin!a} are refused")
        if compare_digest(asked.args.get("key", "").encode(), self._key.encode()):
            return self._admit()
        if not self._has(asked.cookies.get(self._key_cookie), self._key):
            return _refuse("open the address that `fanout console` printed when it was started last, with its key")
        if asked.method not in ("GET", "HEAD") and not self._has(asked.headers.get("X-CSRFToken"), self._token):
            return _refuse("the form token is missing or old; reload the page")
        return None

    def _admit(self) -> Response:
        """Take the key out of the address, and leave it and the form token in the browser."""
        answer: Response = redirect("/")  # type: ignore[assignment]  # werkzeug's class, of which flask's is one
        answer.set_cookie(self._key_cookie, self._key, httponly=True, samesite="Lax")
        answer.set_cookie(self.token_cookie, self._token, samesite="Strict")
        return answer

    @staticmethod
    def _has(given: str | None, wanted: str) -> bool:
        return compare_digest((given or "").encode(), wanted.encode())


def _refuse(why: str) -> Response:
    return Response(f"refused: {why}\n", 403, content_type="text/plain; charset=utf-8")
