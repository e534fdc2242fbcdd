"""The token of Dagster's web server."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest
import websockets
from itsdangerous import TimestampSigner
from websockets.exceptions import InvalidStatus

from pipelines.web.access import COOKIE, COOKIE_KEPT_S
from tests.app.cli.processes import clean_environment
from tests.pipelines.web.conftest import Serve

TOKEN = "t" * 24
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def client(serve: Serve) -> httpx.Client:
    """A client, without the token, of a server that requires it."""
    return serve(dagster_token=TOKEN, dagster_host="0.0.0.0")  # noqa: S104  # the host is only checked


def has_access(client: httpx.Client, **headers: str) -> bool:
    answer = client.post("/graphql", json={"query": "{ version }"}, headers=headers)
    assert answer.status_code in (200, 401)
    return answer.is_success


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Basic bm90IGEgdG9rZW4="},
        {"Authorization": "Basic \u00fc".encode("latin-1")},
        {"Authorization": "Bearer \u00fc".encode("latin-1")},
        {"Cookie": f"{COOKIE}={TOKEN}"},
        {"Cookie": f"{COOKIE}=signed-in"},
    ],
)
def test_requests_without_the_token_are_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    for path in ("/", "/runs", "/logs/a/b.out", "/graphql"):
        answer = client.get(path, headers={"Accept": "text/html", **headers})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert "Set-Cookie" not in answer.headers
    assert not has_access(client, **headers)


def test_bearer_token_is_admitted_without_a_cookie(client: httpx.Client) -> None:
    answer = client.get("/", headers=BEARER)
    assert answer.is_success
    assert "Set-Cookie" not in answer.headers
    assert has_access(client, **BEARER)


def test_password_is_admitted_and_replaced_by_a_cookie(client: httpx.Client) -> None:
    answer = client.get("/", auth=("any", TOKEN))
    assert answer.is_success
    cookie = SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", "")
    assert TOKEN not in cookie.value
    assert client.cookies.get(COOKIE)
    assert has_access(client)
    assert "Set-Cookie" not in client.get("/", auth=("any", TOKEN)).headers


@pytest.mark.parametrize("change", ["x", "."])
def test_changed_cookie_is_refused(client: httpx.Client, change: str) -> None:
    client.get("/", auth=("any", TOKEN))
    value = client.cookies[COOKIE]
    client.cookies.clear()
    assert not has_access(client, Cookie=f"{COOKIE}={value}{change}")
    assert has_access(client, Cookie=f"{COOKIE}={value}")


class OldSigner(TimestampSigner):
    """Signs as of 31 days ago."""

    def get_timestamp(self) -> int:
        return super().get_timestamp() - COOKIE_KEPT_S - 86_400


def test_cookie_expires(client: httpx.Client) -> None:
    old = OldSigner(TOKEN, salt=COOKIE, digest_method=hashlib.sha256).sign("signed-in").decode()
    assert not has_access(client, Cookie=f"{COOKIE}={old}")


def test_cookie_of_another_token_is_refused(client: httpx.Client) -> None:
    other = TimestampSigner(TOKEN + "x", salt=COOKIE, digest_method=hashlib.sha256).sign("signed-in")
    assert not has_access(client, Cookie=f"{COOKIE}={other.decode()}")


def test_cookie_is_for_https_behind_https(serve: Serve) -> None:
    client = serve(dagster_token=TOKEN, dagster_url="https://dagster.example.org")
    assert "; Secure" in client.get("/", auth=("any", TOKEN)).headers["Set-Cookie"]


async def test_websocket_requires_the_token(client: httpx.Client) -> None:
    await asyncio.to_thread(client.get, "/", auth=("any", TOKEN))
    address = f"ws://127.0.0.1:{client.base_url.port}/graphql"
    with pytest.raises(InvalidStatus, match="401"):
        async with websockets.connect(address, proxy=None):
            pass
    for headers in (BEARER, {"Cookie": f"{COOKIE}={client.cookies[COOKIE]}"}):
        async with websockets.connect(
            address,
            additional_headers=headers,
            subprotocols=[websockets.Subprotocol("graphql-ws")],
            proxy=None,
        ) as socket:
            await socket.send('{"type": "connection_init"}')
            assert "connection_ack" in str(await socket.recv())


def test_health_needs_no_token_and_other_methods_do(client: httpx.Client) -> None:
    assert client.get("/server_info").is_success
    assert client.post("/server_info", json={}).status_code == 401
    assert client.get("/server_info/").status_code == 401


def test_token_does_not_replace_the_check_of_the_origin(client: httpx.Client) -> None:
    answer = client.post(
        "/graphql",
        json={"query": "{ version }"},
        headers={**BEARER, "Origin": "https://evil.example"},
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"COINWATCH_DAGSTER_HOST": "0.0.0.0"}, "set COINWATCH_DAGSTER_TOKEN"),  # noqa: S104
        ({"COINWATCH_DAGSTER_TOKEN": "short"}, "COINWATCH_DAGSTER_TOKEN: must have at least 24"),
        ({"DAGSTER_HOME": ""}, "DAGSTER_HOME is not set"),
    ],
)
def test_server_does_not_start_without_what_it_needs(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    environment = clean_environment(tmp_path, **{"PYTHONPATH": os.pathsep.join(sys.path), **changes})
    result = subprocess.run(
        [sys.executable, "-m", "pipelines.web"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "short" not in result.stderr
