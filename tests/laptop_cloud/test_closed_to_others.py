"""Web pages and other users of this machine cannot use the laptop cloud, and cannot read its files."""

from __future__ import annotations

import http.client
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError

from laptop_cloud import state
from laptop_cloud.aws import local_server
from laptop_cloud.aws.account import aws_client
from laptop_cloud.cloud import LaptopCloud
from laptop_cloud.errors import LaptopCloudError
from laptop_cloud.state import running_state
from tests.harness.waiting import HANG_SECONDS, eventually

pytestmark = pytest.mark.fault(64)


def signed(key: str, service: str = "sqs") -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/20261130/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    )


def ask(port: int, headers: dict[str, str], method: str = "POST", path: str = "/", body: bytes = b"{}") -> Any:
    """Send a request with exactly these headers; return the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANG_SECONDS)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    return connection.getresponse()


@pytest.fixture
def aws(cloud: LaptopCloud) -> Iterator[tuple[int, dict[str, str]]]:
    """The port and the headers of a request that is admitted; no test may create a queue."""
    port = urlsplit(cloud.endpoint).port
    assert port is not None
    headers = {"Host": f"127.0.0.1:{port}", "Authorization": signed(cloud.access_key_id)}
    before = cloud.client("sqs").list_queues()["QueueUrls"]
    yield port, {**headers, "X-Amz-Target": "AmazonSQS.ListQueues", "Content-Type": "application/x-amz-json-1.0"}
    assert cloud.client("sqs").list_queues()["QueueUrls"] == before


def api_port(cloud: LaptopCloud) -> int:
    return int(urlsplit(cloud.outputs["ApiUrl"]).port or 0)


def test_a_request_with_the_key_is_admitted_and_gets_no_cors_headers(aws: tuple[int, dict[str, str]]) -> None:
    port, headers = aws
    answers = [ask(port, headers), ask(port, {**headers, "Host": f"LOCALHOST:{port}"})]
    assert [answer.status for answer in answers] == [200, 200]
    for answer in answers:
        assert [name for name in answer.headers if name.lower().startswith("access-control")] == []


@pytest.mark.parametrize(
    "host",
    ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.:{port}", "127.0.0.1.:{port}", "[::1]:{port}",
     "127.1:{port}", "0.0.0.0:{port}", "evil@127.0.0.1:{port}", "127.0.0.1:{port},evil", ""],
)  # fmt: skip
def test_another_host_name_is_rejected(cloud: LaptopCloud, aws: tuple[int, dict[str, str]], host: str) -> None:
    port, headers = aws
    assert ask(port, {**headers, "Host": host.format(port=port)}).status == 403
    api = api_port(cloud)
    assert "address of this server" in ask(api, {"Host": host.format(port=api)}, path="/v1/x").read().decode()


@pytest.mark.parametrize(
    "of_a_page",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:{port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS", "GET"])
def test_a_request_of_a_web_page_is_rejected_even_with_the_key(
    cloud: LaptopCloud, aws: tuple[int, dict[str, str]], method: str, of_a_page: dict[str, str]
) -> None:
    port, headers = aws
    sent = {name: value.format(port=port) for name, value in of_a_page.items()}
    answer = ask(port, {**headers, **sent, "Access-Control-Request-Method": "POST"}, method)
    assert (answer.status, b"web pages are not allowed" in answer.read()) == (403, True)
    assert [name for name in answer.headers if name.lower().startswith("access-control")] == []
    api = api_port(cloud)
    assert b"web pages are not allowed" in ask(api, {"Host": f"127.0.0.1:{api}", **sent}, method, "/v1/x").read()


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/moto-api/reset", "/latest/meta-data/", "/%2e%2e/moto-api/data.json", "/favicon.ico", "*",
     "/us-east-1_x/.well-known/jwks.json", "/sqs_us-east-1/"],
)  # fmt: skip
@pytest.mark.parametrize(
    "without_key",
    [
        {"Authorization": ""},
        {"Authorization": signed("operator")},
        {"Authorization": signed("operator.")},
        {"Authorization": signed("operator.guessed")},
        {"Authorization": "Bearer x"},
        {"Authorization": "", "Content-Type": "text/plain"},
        {"Authorization": "", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
    ],
    ids=str,
)
def test_without_the_key_every_path_is_rejected(
    aws: tuple[int, dict[str, str]], path: str, without_key: dict[str, str]
) -> None:
    port, headers = aws
    form = b'{"x":"Action=CreateQueue&QueueName=owned&Version=2012-11-05"}'
    for method in ("POST", "GET"):
        assert ask(port, {**headers, **without_key}, method, path, form).status == 403


def test_a_client_with_an_old_key_gets_the_reason_in_its_protocol(cloud: LaptopCloud) -> None:
    for service, operation, arguments in (
        ("sqs", "list_queues", {}),
        ("s3", "list_buckets", {}),
        ("sts", "get_caller_identity", {}),
        ("lambda", "list_functions", {}),
        ("cloudformation", "describe_stacks", {}),
    ):
        client = aws_client(service, cloud.endpoint, "operator.of-an-earlier-start")
        with pytest.raises(ClientError, match=r"InvalidClientTokenId.*AWS_ACCESS_KEY_ID") as rejected:
            getattr(client, operation)(**arguments)
        assert rejected.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_each_start_makes_another_key(tmp_path: Path, cloud: LaptopCloud) -> None:
    assert len(cloud.access_key_id.removeprefix("operator.")) == 32
    assert running_state(cloud.workdir)["access_key_id"] == cloud.access_key_id


def test_a_presigned_url_works_only_with_the_key(cloud: LaptopCloud) -> None:
    s3, bucket = cloud.client("s3"), "presigned"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"content")
    for version in ("s3", "s3v4"):
        config = boto3.session.Config(signature_version=version)  # type: ignore[attr-defined]
        for key, status in ((cloud.access_key_id, 200), ("operator.guessed", 403)):
            client = boto3.client("s3", endpoint_url=cloud.endpoint, aws_access_key_id=key, aws_secret_access_key="x",
                                  region_name="us-east-1", config=config)  # fmt: skip
            url = urlsplit(client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"}))
            answer = ask(url.port or 0, {"Host": url.netloc}, "GET", f"{url.path}?{url.query}", b"")
            assert answer.status == status


def test_a_body_is_rejected_before_it_is_sent(aws: tuple[int, dict[str, str]]) -> None:
    port, headers = aws
    with socket.create_connection(("127.0.0.1", port), HANG_SECONDS) as client:
        lines = [
            f"{name}: {value}" for name, value in {**headers, "Authorization": "", "Expect": "100-continue"}.items()
        ]
        client.sendall("\r\n".join(["POST / HTTP/1.1", *lines, "Content-Length: 1000000000000", "", ""]).encode())
        assert client.makefile("rb").readline() == b"HTTP/1.1 403 Forbidden\r\n"


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 70_000,
     b"POST /v1/x HTTP/1.1\r\nHost: HOST\r\nContent-Length: 9\r\nx-api-key: no\r\n\r\nx"],
)  # fmt: skip
@pytest.mark.parametrize("which", ["aws", "api"])
def test_a_slow_or_huge_request_is_ended(
    cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch, which: str, sent: bytes
) -> None:
    monkeypatch.setattr(local_server, "WAITING_SECONDS", 0.5)
    port = int(urlsplit(cloud.endpoint).port or 0) if which == "aws" else api_port(cloud)
    with socket.create_connection(("127.0.0.1", port), HANG_SECONDS) as client:
        client.sendall(sent.replace(b"HOST", f"127.0.0.1:{port}".encode()))
        try:
            while client.recv(1 << 16):
                pass
        except ConnectionResetError:
            pass


def test_open_connections_are_bounded_and_the_oldest_idle_one_makes_room(
    cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_server, "MAX_CONNECTIONS", 5)
    port = int(urlsplit(cloud.endpoint).port or 0)
    idle = [socket.create_connection(("127.0.0.1", port), HANG_SECONDS) for _ in range(20)]
    assert cloud.client("sqs").list_queues()["QueueUrls"]
    ended = [client.recv(1) for client in idle[:15]]
    assert ended == [b""] * 15
    for client in idle:
        client.close()


def test_a_slow_response_of_an_admitted_request_is_not_ended(
    cloud: LaptopCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_server, "WAITING_SECONDS", 0.1)
    answer = cloud.client("lambda").invoke(FunctionName=cloud.physical_id("EchoFunction"), Payload=b'{"seconds": 2}')
    assert json.loads(answer["Payload"].read())["event"] == {"seconds": 2}


def test_files_and_logs_are_readable_by_their_owner_only(cloud: LaptopCloud) -> None:
    cloud.client("lambda").invoke(FunctionName=cloud.physical_id("EchoFunction"), Payload=b"{}")
    eventually(lambda: any((cloud.workdir / "logs").iterdir()), "a log")
    found = {path: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in cloud.workdir.rglob("*")}
    assert {"cloud.json", "lock", "logs", "functions"} <= {path.name for path in found}
    assert {path: mode for path, mode in found.items() if mode} == {}


def test_a_folder_is_created_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    state.lock(folder).close()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, folder / "lock")] == [
        0o700,
        0o700,
        0o600,
    ]


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_to_is_rejected(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(LaptopCloudError, match=r"Other users can write to .*--workdir"):
        state.lock(folder)
    assert list(folder.iterdir()) == []


def test_links_in_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir(0o700)
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (folder / "logs").symlink_to(outside)
    (folder / "cloud.json").symlink_to(outside / "kept")

    state.empty_folder(folder / "logs")
    state.write_state(folder, {"pid": os.getpid()})
    (folder / "lock").symlink_to(outside / "kept")
    with pytest.raises(LaptopCloudError, match="lock"):
        state.lock(folder)

    assert (outside / "kept").read_text() == "kept"
    assert list((folder / "logs").iterdir()) == []
    assert not (folder / "cloud.json").is_symlink()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"pid": null}',
        '{"pid": "x"}',
        f'{{"pid": {10**40}}}',
        '{"pid": 1}',
        "\xff",
    ],
)
def test_a_damaged_state_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "cloud.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(LaptopCloudError, match=rf"{tmp_path}/cloud\.json is damaged .*start it again"):
        running_state(tmp_path)


def test_a_reader_never_sees_half_a_state_file(cloud: LaptopCloud) -> None:
    before = (cloud.workdir / "cloud.json").stat().st_ino
    cloud.update()
    assert (cloud.workdir / "cloud.json").stat().st_ino != before
    assert [path.name for path in cloud.workdir.glob("cloud.json*")] == ["cloud.json"]
