"""A config API without a network, for the real client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import requests

from fanout.config_client import (
    HttpConfigApi,
)
from tests.harness.transport import Reply, session

URL = "https://config.example/stage/providers"
KEY = "canary-4f1d9c"


class Time:
    """A clock that advances when a caller sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Server:
    """Gives the given answers in order; the last one is repeated for all further requests."""

    def __init__(
        self, *replies: Reply | Exception | Callable[[requests.PreparedRequest], Reply], key: str = KEY
    ) -> None:
        self.replies = list(replies)
        self.requests: list[requests.PreparedRequest] = []
        self.keys_asked: list[bool] = []
        self.key = key
        self.time = Time()

    def answer(self, request: requests.PreparedRequest) -> Reply:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Reply) else reply(request)

    def give_key(self, refused: bool) -> str:
        self.keys_asked.append(refused)
        return self.key

    def client(self, url: str = URL, key: Callable[[bool], str] | None = None) -> HttpConfigApi:
        return HttpConfigApi(url, key or self.give_key, session(self.answer), self.time.sleep, self.time)


def page(entries: Mapping[str, Any], **headers: str) -> Reply:
    return Reply(body=json.dumps(entries).encode(), headers={name.replace("_", "-"): v for name, v in headers.items()})
