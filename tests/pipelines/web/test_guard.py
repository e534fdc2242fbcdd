"""No page of another origin, and no request without the token, reaches Dagster."""

from __future__ import annotations

import json
import socket

import httpx
import pytest
import websockets
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from tests.pipelines.web.conftest import Serve

PAUSE = "mutation { setAutoMaterializePaused(paused: true) }"
RESUME = "mutation { setAutoMaterializePaused(paused: false) }"
IS_PAUSED = "{ instance { autoMaterializePaused } }"
STRANGER = {"Origin": "https://evil.example"}


def is_paused(client: httpx.Client) -> bool:
    answer = client.post("/graphql", json={"query": IS_PAUSED})
    return bool(answer.json()["data"]["instance"]["autoMaterializePaused"])


@pytest.fixture
def client(serve: Serve) -> httpx.Client:
    """A client of a server without a token, with nothing paused."""
    client = serve()
    assert client.post("/graphql", json={"query": RESUME}).is_success
    return client


def test_mutations_are_taken_by_post_with_json(client: httpx.Client) -> None:
    for content_type in ("application/json", "application/json; charset=utf-8"):
        assert client.post("/graphql", json={"query": RESUME}).is_success
        body, headers = json.dumps({"query": PAUSE}), {"Content-Type": content_type}
        assert client.post("/graphql", content=body, headers=headers).is_success
        assert is_paused(client)


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/%67raphql"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_operations_in_the_address_are_refused(client: httpx.Client, method: str, path: str) -> None:
    answer = client.request(method, path, params={"query": PAUSE})
    assert answer.status_code == 405
    assert not is_paused(client)


def test_playground_is_shown_and_runs_nothing(client: httpx.Client) -> None:
    answer = client.get("/graphql", params={"query": PAUSE}, headers={"Accept": "text/html"})
    assert answer.is_success
    assert "<html" in answer.text
    assert not is_paused(client)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/graphql",
        "application/jsonp",
        "application/json, text/plain",
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/report_asset_materialization/prices"])
def test_posts_that_are_not_json_are_refused(
    client: httpx.Client, path: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = client.post(path, params={"query": PAUSE}, content=json.dumps({"query": PAUSE}), headers=headers)
    assert answer.status_code == 415
    assert "application/json" in answer.text
    assert not is_paused(client)


def test_second_content_type_is_refused(client: httpx.Client) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    assert client.post("/graphql", content=json.dumps({"query": PAUSE}), headers=headers).status_code == 415
    assert not is_paused(client)


@pytest.mark.parametrize(
    "host",
    ["localhost:3000", "LOCALHOST", "localhost.", "127.0.0.1", "127.0.0.1:3000", "[::1]:3000", "10.0.0.7:80"],
)
def test_addresses_and_localhost_are_answered(client: httpx.Client, host: str) -> None:
    assert client.get("/server_info", headers={"Host": host}).is_success


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 403),
        ("evil.example:3000", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("1.2.3", 403),
        ("", 400),
        ("localhost@evil.example", 400),
        ("evil.example#localhost", 400),
        ("localhost localhost", 400),
        ("[::1", 400),
    ],
)
def test_other_names_are_refused(client: httpx.Client, host: str, status: int) -> None:
    """A name that an attacker binds to 127.0.0.1 is in Host: DNS rebinding."""
    assert client.get("/server_info", headers={"Host": host}).status_code == status
    answer = client.post("/graphql", json={"query": PAUSE}, headers={"Host": host})
    assert answer.status_code == status
    assert not is_paused(client)


def test_second_host_is_refused(client: httpx.Client) -> None:
    assert client.base_url.port is not None
    with socket.create_connection(("127.0.0.1", client.base_url.port), 5) as connection:
        connection.sendall(b"GET /server_info HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert b" 400 " in connection.recv(100)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:3000", "http://localhost:3000"),
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_own_pages_may_change_things(client: httpx.Client, host: str, origin: str) -> None:
    headers = {"Host": host, "Origin": origin}
    assert client.post("/graphql", json={"query": PAUSE}, headers=headers).is_success
    assert is_paused(client)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://localhost:3001",
        "http://localhost",
        "http://127.0.0.1:3000",
        "http://localhost:3000.evil.example",
        "http://localhost:port",
        "file://localhost:3000",
        "null",
        "",
    ],
)
def test_pages_of_other_origins_are_refused(client: httpx.Client, origin: str) -> None:
    headers = {"Host": "localhost:3000", "Origin": origin}
    assert client.post("/graphql", json={"query": PAUSE}, headers=headers).status_code == 403
    assert not is_paused(client)


def test_second_origin_is_refused(client: httpx.Client) -> None:
    root = str(client.base_url).rstrip("/")
    headers = [("Origin", root), ("Origin", "https://evil.example")]
    assert client.post("/graphql", json={"query": PAUSE}, headers=headers).status_code == 403


def test_answers_cannot_be_framed(client: httpx.Client) -> None:
    assert client.get("/server_info").headers["X-Frame-Options"] == "DENY"


def test_public_name_is_answered_behind_a_proxy(serve: Serve) -> None:
    """Whether the proxy passes the name in Host or its own address."""
    client = serve(dagster_url="https://Dagster.example.org/")
    for host in ("dagster.example.org", "127.0.0.1:3000"):
        headers = {"Host": host, "Origin": "https://dagster.example.org"}
        assert client.post("/graphql", json={"query": RESUME}, headers=headers).is_success
    assert client.get("/server_info", headers={"Host": "evil.example"}).status_code == 403


def test_own_name_that_it_listens_on_is_answered(serve: Serve) -> None:
    client = serve(dagster_host="Coinwatch.lan", dagster_token="t" * 24)
    assert client.get("/server_info", headers={"Host": "coinwatch.lan:3000"}).is_success


def test_refusals_are_logged_once_a_minute(client: httpx.Client) -> None:
    with capture_logs() as logged:
        for _ in range(3):
            client.get("/server_info", headers={"Host": "evil.example"})
            client.get("/server_info", headers=STRANGER)
    assert [entry["event"] for entry in logged] == ["refused a request to Dagster"] * 2


def graphql_socket(client: httpx.Client, **headers: str) -> websockets.connect:
    """A websocket as the web interface opens it; httpx sends the headers of a browser otherwise."""
    return websockets.connect(
        f"ws://127.0.0.1:{client.base_url.port}/graphql",
        subprotocols=[websockets.Subprotocol("graphql-ws")],
        additional_headers=headers,
        proxy=None,
    )


async def test_websocket_of_an_own_page_is_opened(client: httpx.Client) -> None:
    for headers in ({}, {"Origin": f"http://127.0.0.1:{client.base_url.port}"}):
        async with graphql_socket(client, **headers) as opened:
            await opened.send(json.dumps({"type": "connection_init"}))
            assert json.loads(await opened.recv()) == {"type": "connection_ack"}


@pytest.mark.parametrize("headers", [STRANGER, {"Origin": "null"}])
async def test_websocket_of_another_page_is_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        async with graphql_socket(client, **headers):
            pass


async def test_websocket_runs_no_mutation(client: httpx.Client) -> None:
    async with graphql_socket(client) as opened:
        await opened.send(json.dumps({"type": "connection_init"}))
        await opened.recv()
        await opened.send(json.dumps({"type": "start", "id": "1", "payload": {"query": PAUSE}}))
        assert json.loads(await opened.recv())["type"] == "error"
    assert not is_paused(client)
