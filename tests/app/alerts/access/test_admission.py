"""Who is let in: tokens, owners, origins, TLS. Over real sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from app.alerts.access import admission
from app.alerts.access.tls import server_context
from app.alerts.endpoint import serve
from coinwatch.errors import SettingsError
from coinwatch.settings import Settings
from coinwatch.tokens import new_token, token_hash
from tests.app.alerts.conftest import MARKETS, Client, Endpoint, Exchange, check
from tests.waiting import eventually

Start = Callable[[], Awaitable[Endpoint]]

CERTIFICATES = Path(__file__).parent / "certificates"
"""Made for these tests; the keys guard nothing."""
AUTHORITY, CERT, KEY = (CERTIFICATES / name for name in ("authority.pem", "localhost.pem", "localhost.key"))
ALICE, ALICE_TOO, BOB = "coinwatch_of_alice", "coinwatch_of_alice_too", "coinwatch_of_bob"
TOKENS = ",".join(
    f"{owner}:{token_hash(token)}" for owner, token in (("alice", ALICE), ("alice", ALICE_TOO), ("bob", BOB))
)
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8 to be this machine")
GUARDED = pytest.mark.parametrize("overrides", [{"alerts_tokens": TOKENS}])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def refusal(url: str, **headers: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url, additional_headers=headers)
    response = refused.value.response
    return response.status_code, json.loads(response.body or b"")


async def close_of(socket: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    return socket.close_code, socket.close_reason


@GUARDED
async def test_a_token_in_the_header(endpoint: Endpoint) -> None:
    for token in (ALICE, ALICE_TOO, BOB):
        async with connect(endpoint.url, additional_headers=bearer(token)) as socket:
            await Client(socket).nothing_more()
    for wrong in (f"Bearer {new_token()}", "Bearer ", "Bearer", f"Basic {ALICE}", f"Bearer {ALICE}x", ""):
        status, text = await refusal(endpoint.url, Authorization=wrong)
        assert (status, text["code"]) == (401, "unauthorized")
        assert ALICE not in str(text)
    with pytest.raises(InvalidStatus):
        await connect(endpoint.url, additional_headers=[*bearer(ALICE).items(), *bearer(BOB).items()])


@GUARDED
async def test_a_token_in_the_first_frame(endpoint: Endpoint) -> None:
    async with endpoint.client() as client:
        signed_in = await client.ask(cmd="auth", token=BOB, id=1)
        assert signed_in == {"type": "ack", "id": 1, "cmd": "auth", "owner": "bob"}
        await client.nothing_more()
        assert (await client.ask(cmd="auth", token=BOB))["type"] == "ack"
        assert (await client.ask(cmd="auth", token=ALICE))["code"] == "unauthorized"
        await client.nothing_more()


@GUARDED
@pytest.mark.parametrize(
    "frame",
    [
        json.dumps({"cmd": "auth", "token": "coinwatch_wrong"}),
        json.dumps({"cmd": "auth"}),
        json.dumps({"cmd": "auth", "token": ALICE, "more": 1}),
        json.dumps({"cmd": "watch", "symbol": "btcusdt", "price": 1}),
        "{",
        b"\x00",
    ],
)
async def test_another_first_frame_ends_the_connection(endpoint: Endpoint, frame: str | bytes) -> None:
    for url in (endpoint.url, f"{endpoint.prices_url}?currency=USDT"):
        async with connect(url) as socket:
            await socket.send(frame)
            answer = json.loads(await socket.recv())
            check("frame", answer)
            assert answer["code"] == "unauthorized"
            assert ALICE not in str(answer)
            assert await close_of(socket) == (1008, "unauthorized")


@GUARDED
async def test_connections_without_a_token_are_closed(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "AUTH_TIMEOUT_S", 0.2)
    async with endpoint.client() as client:
        assert await close_of(client.socket) == (1008, "no token within 0.2 s")


@GUARDED
async def test_a_name_belongs_to_the_owner_of_the_token(endpoint: Endpoint, exchange: Exchange) -> None:
    url = f"{endpoint.url}?client=bot&after=0"
    async with connect(url, additional_headers=bearer(ALICE)) as socket:
        alice = Client(socket)
        made = await alice.ask(cmd="watch", symbol="binance:btcusdt", price=100)
        async with connect(url, additional_headers=bearer(BOB)) as other:
            bob = Client(other)
            assert (await bob.ask(cmd="list"))["rules"] == []
            assert (await bob.ask(cmd="unwatch", rule_id=made["rule_id"]))["code"] == "unknown_rule"
            await exchange.trade("binance:BTC-USDT", 100.0)
            assert (await alice.read())["rule_id"] == made["rule_id"]
            await bob.nothing_more()
    async with connect(url, additional_headers=bearer(ALICE_TOO)) as socket:
        assert (await Client(socket).read())["rule_id"] == made["rule_id"]
    async with connect(url, additional_headers=bearer(BOB)) as socket:
        await Client(socket).nothing_more()


@GUARDED
async def test_prices_ask_for_a_token_too(endpoint: Endpoint) -> None:
    asked = f"{endpoint.prices_url}?currency=USDT"
    async with connect(asked, additional_headers=bearer(ALICE)) as socket:
        await socket.send("{}")
        assert json.loads(await socket.recv())["code"] == "nothing_asked"
    assert (await refusal(asked, **bearer("x")))[0] == 401
    async with connect(asked) as socket:
        await socket.send(json.dumps({"cmd": "auth", "token": ALICE}))
        assert json.loads(await socket.recv())["owner"] == "alice"
        await socket.send("{}")
        assert json.loads(await socket.recv())["code"] == "nothing_asked"
    async with connect(f"{endpoint.prices_url}?currency=GBP") as socket:
        await socket.send(json.dumps({"cmd": "auth", "token": ALICE}))
        await socket.recv()
        assert json.loads(await socket.recv())["code"] == "unknown_currency"
        assert await close_of(socket) == (1008, "unknown_currency")


@GUARDED
async def test_health_is_for_all_and_metrics_are_not(endpoint: Endpoint) -> None:
    assert (await endpoint.get("/healthz")).json() == {"status": "ok"}
    assert "rules" in (await endpoint.get("/healthz", **bearer(BOB))).json()
    refused = await endpoint.get("/metrics")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="coinwatch"'
    assert refused.json()["code"] == "unauthorized"
    assert "coinwatch_alerts" in (await endpoint.get("/metrics", **bearer(BOB))).text


async def test_without_tokens_who_shows_one_is_let_in_all_the_same(endpoint: Endpoint) -> None:
    async with connect(endpoint.url, additional_headers=bearer("any")) as socket:
        client = Client(socket)
        assert await client.ask(cmd="auth", token=BOB) == {
            "type": "ack",
            "id": None,
            "cmd": "auth",
            "owner": None,
        }
        await client.nothing_more()


@pytest.mark.parametrize("overrides", [{"alerts_origins": "https://charts.example.org"}])
async def test_pages_that_are_not_listed_may_not_connect(endpoint: Endpoint) -> None:
    async with connect(endpoint.url, origin="https://charts.example.org") as socket:  # type: ignore[arg-type]
        await Client(socket).nothing_more()
    async with endpoint.client() as client:
        await client.nothing_more()
    for origin in ("https://evil.example", "null", "https://charts.example.org.evil.example", ""):
        for url in (endpoint.url, f"{endpoint.prices_url}?currency=USDT"):
            status, text = await refusal(url, Origin=origin)
            assert (status, text["code"]) == (403, "bad_origin")


async def test_as_delivered_no_page_may_connect(endpoint: Endpoint) -> None:
    assert (await refusal(endpoint.url, Origin=f"http://127.0.0.1:{endpoint.port}"))[0] == 403


@pytest.mark.parametrize(
    "overrides",
    [{"alerts_tls_cert": CERT, "alerts_tls_key": KEY, "alerts_tokens": TOKENS, "host": "localhost"}],
)
async def test_tls(endpoint: Endpoint) -> None:
    trusting = ssl.create_default_context(cafile=AUTHORITY)
    async with connect(endpoint.url, ssl=trusting, additional_headers=bearer(ALICE)) as socket:
        await Client(socket).nothing_more()
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(endpoint.url)
    assert (await endpoint.get("/healthz")).json() == {"status": "ok"}
    with pytest.raises((InvalidHandshake, EOFError, OSError)):
        await connect(endpoint.url.replace("wss:", "ws:"), open_timeout=5)


@pytest.mark.parametrize(
    ("cert", "key", "states"),
    [
        (None, KEY, "COINWATCH_ALERTS_TLS_KEY is set without COINWATCH_ALERTS_TLS_CERT"),
        ("nowhere.pem", KEY, "COINWATCH_ALERTS_TLS_CERT: cannot read .*nowhere.pem: No such file"),
        (CERT, "nowhere.key", "COINWATCH_ALERTS_TLS_KEY: cannot read .*nowhere.key: No such file"),
        (CERTIFICATES, KEY, "cannot read .*: Is a directory"),
        (KEY, KEY, "COINWATCH_ALERTS_TLS_CERT: there is no certificate in PEM in"),
        (CERT, CERT, "COINWATCH_ALERTS_TLS_KEY: there is no private key in PEM in"),
        (CERT, None, "COINWATCH_ALERTS_TLS_CERT, COINWATCH_ALERTS_TLS_KEY: .* cannot be used"),
        (CERT, "other.key", "COINWATCH_ALERTS_TLS_KEY: .*other.key is not the key of"),
        (CERT, "locked.key", "COINWATCH_ALERTS_TLS_KEY: the key has a password"),
    ],
)
def test_a_certificate_that_cannot_be_used(
    cert: Path | str | None, key: Path | str | None, states: str
) -> None:
    with pytest.raises(SettingsError, match=states):
        server_context(
            CERTIFICATES / cert if cert is not None else None, CERTIFICATES / key if key is not None else None
        )


def test_a_certificate_and_key_in_one_file(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(CERT.read_text() + KEY.read_text())
    assert server_context(both, None) is not None
    assert server_context(None, None) is None


async def test_a_wrong_certificate_stops_the_start(
    database: URL, settings_for: Callable[..., Settings]
) -> None:
    settings = settings_for(markets=",".join(MARKETS), alerts_tls_cert=CERT, alerts_tls_key=AUTHORITY)
    with pytest.raises(SettingsError, match="COINWATCH_ALERTS_TLS_KEY"):
        await serve(settings, database, stop=asyncio.Event())


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """The events logged so far, whether this process prints them or passes them to standard logging."""
    return lambda: capsys.readouterr().out + caplog.text


@ON_LINUX
@pytest.mark.parametrize("overrides", [{"host": "0.0.0.0"}])  # noqa: S104
async def test_without_tokens_only_this_machine_may_connect(
    exchange: Exchange, start: Start, logged: Callable[[], str]
) -> None:
    endpoint = await start()
    assert "without tokens only this machine may connect" in logged()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", endpoint.port)


@ON_LINUX
@pytest.mark.parametrize("overrides", [{"host": "0.0.0.0", "alerts_open": True}])  # noqa: S104
async def test_without_other_settings(exchange: Exchange, start: Start, logged: Callable[[], str]) -> None:
    endpoint = await start()
    assert "without tokens: any client that can reach the port may connect" in logged()
    _, writer = await asyncio.open_connection("127.0.0.2", endpoint.port)
    writer.close()


@pytest.mark.parametrize(
    ("given", "host", "url"),
    [
        ({}, "127.0.0.1", "ws://127.0.0.1:9090/ws"),
        ({"host": "192.0.2.1"}, "127.0.0.1", "ws://127.0.0.1:9090/ws"),
        ({"host": "192.0.2.1", "alerts_open": True}, "192.0.2.1", "ws://192.0.2.1:9090/ws"),
        ({"host": "192.0.2.1", "alerts_tokens": TOKENS}, "192.0.2.1", "ws://192.0.2.1:9090/ws"),
        ({"host": "::"}, "::1", "ws://[::1]:9090/ws"),
        ({"host": "localhost", "alerts_tls_cert": "x"}, "localhost", "wss://localhost:9090/ws"),
        ({"host": "watch.example.org"}, "127.0.0.1", "ws://127.0.0.1:9090/ws"),
    ],
)
def test_where_it_listens(
    settings_for: Callable[..., Settings], given: dict[str, object], host: str, url: str
) -> None:
    settings = settings_for(**given)
    assert (settings.alerts_host, settings.alerts_url("/ws")) == (host, url)


async def test_a_crowd_leaves_nothing_behind(endpoint: Endpoint) -> None:
    async def come_and_go() -> None:
        async with endpoint.client() as client:
            await client.nothing_more()

    await asyncio.gather(*(come_and_go() for _ in range(50)))

    async def is_empty() -> bool:
        return "coinwatch_alerts_connections 0.0" in (await endpoint.get("/metrics")).text

    await eventually(is_empty)
