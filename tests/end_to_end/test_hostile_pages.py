"""The console and the laptop cloud resist pages of another port or name in a real Chromium; a read-only console."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from laptop_cloud.cloud import LaptopCloud
from tests.end_to_end.conftest import ConfigApi
from tests.harness.browser import browser, chromium, served
from tests.harness.clouds import SharedCloud

REBOUND = "rebound.example"
ATTACK = """
async ([console_, aws, api, key]) => {
  const text = "Action=CreateQueue&QueueName=owned&Version=2012-11-05";
  const tried = [];
  const attempt = async (url, options) => {
    try {
      const answer = await fetch(url, options);
      tried.push(answer.type === "opaque" ? "opaque" : `${answer.status} ${await answer.text()}`);
    } catch (error) { tried.push("refused by the browser"); }
  };
  const paths = ["/", "/_dash-layout", "/_dash-update-component"].map((path) => console_ + path);
  for (const url of [...paths, aws + "/", api]) {
    await attempt(url, { credentials: "include" });
    await attempt(url, { mode: "no-cors", credentials: "include" });
    await attempt(url, { method: "POST", mode: "no-cors", credentials: "include", body: text });
    await attempt(url, { method: "POST", body: text, headers: { "Content-Type": "application/x-amz-json-1.0",
      "X-Amz-Target": "AmazonSQS.CreateQueue", "X-Fanout-Key": "guessed", "Authorization": "AWS4-HMAC-SHA256 x" } });
  }
  for (const url of [console_ + "/_dash-update-component", aws + "/"]) {
    await new Promise((resolve) => {
      const ws = new WebSocket(url.replace("http", "ws"));
      ws.onopen = () => { tried.push("WebSocket open"); resolve(); };
      ws.onerror = resolve;
    });
  }
  const reached = [document.cookie, document.referrer, location.href, window.name, JSON.stringify({ ...localStorage })];
  return { tried, reached: reached.join(" ") };
}
"""
FORM = """
(url) => {
  const form = document.body.appendChild(document.createElement("form"));
  Object.assign(form, { method: "POST", action: url, enctype: "text/plain" });
  const field = form.appendChild(document.createElement("input"));
  Object.assign(field, { name: "Action=CreateQueue&QueueName=owned&Version=2012-11-05", value: "" });
  setTimeout(() => form.submit());
}
"""


@contextmanager
def other_server() -> Iterator[tuple[str, list[str]]]:
    """A server on another port of 127.0.0.1; its address, and all that it was sent."""
    sent: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append(f"{self.requestline}\n{self.headers}")
            body = b"<title>other</title><link rel=icon href=data:,>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def cloud(shared_cloud: SharedCloud, tmp_path_factory: pytest.TempPathFactory) -> LaptopCloud:
    chromium()
    return shared_cloud.up(tmp_path_factory.mktemp("cloud"))


@pytest.mark.fault(64)
@pytest.mark.fault(65)
def test_a_page_at_another_port_gets_no_key_and_changes_nothing(cloud: LaptopCloud) -> None:
    queues = cloud.client("sqs").list_queues()["QueueUrls"]
    executions = len(cloud.executions())
    with served(cloud.workdir / "cloud.json") as printed, browser(printed) as opened, other_server() as (other, sent):
        key = printed.partition("#key=")[2]
        assert len(key) == 32
        opened.sees("providers shown")
        assert (opened.page.evaluate("location.href"), opened.page.evaluate("document.cookie")) == (
            f"{opened.origin}/",
            "",
        )
        assert opened.faults == []

        # The operator follows a link from the console to the other server, and goes back.
        opened.page.evaluate("url => { location.href = url; }", f"{other}/from-the-console")
        opened.page.wait_for_url(f"{other}/from-the-console")
        targets = [opened.origin, cloud.endpoint, cloud.outputs["ConfigApiUrl"], key]
        found = opened.page.evaluate(ATTACK, targets)

        assert set(found["tried"]) == {"refused by the browser", "opaque"}
        assert key not in found["reached"]
        assert "Referer" not in sent[0]
        assert [request for request in sent if key in request or cloud.access_key_id in request] == []
        opened.page.go_back()
        opened.sees("providers shown")
        assert opened.page.url == f"{opened.origin}/"
        for url in (f"{opened.origin}/_dash-update-component", cloud.endpoint):
            opened.page.goto(other)
            with opened.page.expect_navigation() as answered:
                opened.page.evaluate(FORM, url)
            assert answered.value.status in (400, 403)
    assert cloud.client("sqs").list_queues()["QueueUrls"] == queues
    assert len(cloud.executions()) == executions
    logs = [path.read_text(errors="replace") for path in (cloud.workdir / "logs").glob("*.log")]
    assert logs
    assert [log for log in logs if key in log or cloud.access_key_id in log] == []


@pytest.mark.fault(64)
@pytest.mark.fault(65)
def test_a_name_that_is_rebound_to_this_machine_gets_nothing(cloud: LaptopCloud) -> None:
    with (
        served(cloud.workdir / "cloud.json") as printed,
        browser(printed, f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as opened,
    ):
        for url, path in ((opened.origin, "/"), (cloud.endpoint, "/"), (cloud.outputs["ConfigApiUrl"], "")):
            rebound = url.replace("127.0.0.1", REBOUND) + path
            answer = opened.page.goto(rebound)
            assert answer is not None
            assert (answer.status, urlsplit(opened.page.url).hostname) == (403, REBOUND)
            read = opened.page.evaluate("async () => [localStorage.key, (await fetch('/_dash-layout')).status]")
            assert read == [None, 403]


@pytest.mark.fault(65)
def test_a_browser_without_the_key_shows_which_address_to_open(cloud: LaptopCloud) -> None:
    with served(cloud.workdir / "cloud.json") as printed, browser(printed.partition("#")[0]) as opened:
        opened.sees("the key is missing or old; open the address that `fanout console` printed last", "body")


def test_a_read_only_console_has_no_buttons(cloud: LaptopCloud) -> None:
    ConfigApi(cloud).call("PUT", "/seen", {"frequency": 15})
    with served(cloud.workdir / "cloud.json", "--read-only") as printed, browser(printed) as opened:
        opened.open("/provider/seen")
        opened.sees("Entry in the config API")

        opened.sees("read-only", "header")
        assert opened.page.get_by_role("button").count() == 0
