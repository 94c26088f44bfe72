"""HTTP servers on 127.0.0.1 that web pages and other users of this machine cannot use.

Each request must name this server in its `Host` header, which excludes pages whose name was rebound to 127.0.0.1, and
must not come from a web page. Requests to the AWS endpoint must also have the access key of this start in their
signature. All of this is checked before the body is read.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterable
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qs, urlsplit

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

MAX_CONNECTIONS = 500
WAITING_SECONDS = 30.0
"""How long a connection may stay open before a request on it is admitted."""
_DISCARDED = 1 << 20
"""Bytes of a rejected body that are read, so that the client sees the answer and not a reset connection."""

_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/")
_XML = "<ErrorResponse><Error><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>"
_REJECTED = "InvalidClientTokenId"


class LocalServer(ThreadedWSGIServer):
    """Serves a WSGI application on 127.0.0.1, with a thread for each connection.

    Parameters
    ----------
    application
        The WSGI application.
    port
        0 for any free port.
    key
        What each access key id must end with, after a dot; it is removed before the application sees the request. None
        if the application checks the callers itself, and calls `admit` with the `environ["werkzeug.socket"]` of those
        that it admits.

    Raises
    ------
    SystemExit
        The port is in use.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, application: Any, port: int = 0, key: str | None = None) -> None:
        super().__init__("127.0.0.1", port, self._answer, _Handler)
        self._application = application
        self.key = key
        self.url = f"http://127.0.0.1:{self.port}"
        self.hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")}
        self._connections: dict[socket.socket, float | None] = {}  # -> when it was opened; None once it is admitted
        self._guard = threading.Lock()

    def start(self, name: str) -> None:
        """Serve in a thread of this name."""
        threading.Thread(target=self.serve_forever, name=name, daemon=True).start()

    def stop(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()

    def admit(self, connection: socket.socket) -> None:
        """Let a connection stay open for as long as its request takes."""
        with self._guard:
            if connection in self._connections:
                self._connections[connection] = None

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._application(environ, start_response)
        connection = environ["werkzeug.socket"]
        if self._connections.get(connection) is not None:  # not admitted: werkzeug must not read the rest of its body
            connection.shutdown(socket.SHUT_RD)
        return answer

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a new connection, instead of the one that waits longest if too many are open."""
        with self._guard:
            if len(self._connections) >= MAX_CONNECTIONS:
                waiting = (one for one, opened in self._connections.items() if opened is not None)
                longest = next(waiting, request)
                self._connections.pop(longest, None)
                _hang_up(longest)
            self._connections[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """End connections that have waited too long for a request that can be admitted."""
        with self._guard:
            for connection, opened in self._connections.items():
                if opened is not None and time.monotonic() - opened > WAITING_SECONDS:
                    _hang_up(connection)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._guard:
            self._connections.pop(request, None)
        super().shutdown_request(request)


class _Handler(MotoRequestHandler):
    server: LocalServer

    def run_wsgi(self) -> None:
        """Call the application, if the request is admitted."""
        why = self._rejection()
        if why is not None:
            self._reject(why)
            return
        if self.server.key is not None:
            self.server.admit(self.connection)
        super().run_wsgi()

    def handle_expect_100(self) -> bool:
        """Do not request the body yet: werkzeug does so when it calls the application."""
        return True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing: requests are visible in the functions' logs."""

    def log_error(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden argument
        """Print nothing about malformed requests."""

    def _rejection(self) -> str | None:
        """Why the request is rejected; None if it is admitted. Removes the key from the access key id."""
        headers, server = self.headers, self.server
        if [host.lower() for host in headers.get_all("Host", [])] not in [[host] for host in server.hosts]:
            return f"The address of this server is {server.url}."
        if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none":
            return "Requests of web pages are not allowed."
        if server.key is None:
            return None
        signed = _CREDENTIAL.match(headers.get("Authorization", ""))
        principal, _, key = (signed[1] if signed else _of_presigned(self.path)).rpartition(".")
        if not compare_digest(key.encode(), server.key.encode()):
            return "Set AWS_ACCESS_KEY_ID to the value that the laptop cloud printed when it started."
        if signed:
            unchanged = headers["Authorization"][signed.end() - 1 :]
            headers.replace_header("Authorization", f"AWS4-HMAC-SHA256 Credential={principal}{unchanged}")
        return None

    def _reject(self, why: str) -> None:
        """Answer in the form that the AWS SDKs read, and close the connection."""
        is_json = "X-Amz-Target" in self.headers
        text = json.dumps({"__type": _REJECTED, "message": why}) if is_json else _XML.format(_REJECTED, why)
        body = text.encode()
        self.send_response(403)
        self.send_header("Content-Type", "application/x-amz-json-1.0" if is_json else "text/xml")
        self.send_header("x-amzn-errortype", _REJECTED)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(0.2)
            left = _DISCARDED
            while left > 0 and (part := self.connection.recv(1 << 16)):
                left -= len(part)


def _of_presigned(path: str) -> str:
    """The access key id of a presigned URL: signature version 4 or, by default in boto3, 2."""
    query = parse_qs(urlsplit(path).query)
    values = query.get("X-Amz-Credential") or query.get("AWSAccessKeyId") or [""]
    return values[0].partition("/")[0]


def _hang_up(connection: socket.socket) -> None:
    """End a connection; the thread that serves it then closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
