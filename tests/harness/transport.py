"""HTTP responses without a network, for a real `requests.Session`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse


@dataclass
class Reply:
    """A response of the server."""

    status: int = 200
    body: bytes | io.BytesIO = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)


class _Replying(HTTPAdapter):
    def __init__(self, reply: Callable[[requests.PreparedRequest], Reply]) -> None:
        super().__init__()
        self._reply = reply

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        reply = self._reply(request)
        raw = HTTPResponse(
            body=io.BytesIO(reply.body) if isinstance(reply.body, bytes) else reply.body,
            headers=reply.headers,
            status=reply.status,
            preload_content=False,
            request_url=request.url,
        )
        return self.build_response(request, raw)


def session(reply: Callable[[requests.PreparedRequest], Reply]) -> requests.Session:
    """A session in which `reply` answers each request, or raises an error of requests."""
    made = requests.Session()
    made.mount("https://", _Replying(reply))
    made.mount("http://", _Replying(reply))
    return made
