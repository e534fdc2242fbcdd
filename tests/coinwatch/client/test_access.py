"""How the client gets in: its token and its authorities, from the environment alone."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coinwatch.client import AlertClient, PriceStream, sync
from coinwatch.errors import CommandRefused, EndpointUnreachable, SettingsError
from tests.app.alerts.access.test_admission import ALICE, AUTHORITY, CERT, KEY, TOKENS
from tests.app.alerts.conftest import Endpoint, Exchange

GUARDED = pytest.mark.parametrize("overrides", [{"alerts_tokens": TOKENS}])
WITH_TLS = pytest.mark.parametrize(
    "overrides", [{"alerts_tokens": TOKENS, "alerts_tls_cert": CERT, "alerts_tls_key": KEY}]
)


@WITH_TLS
async def test_token_and_authority(
    endpoint: Endpoint, exchange: Exchange, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("COINWATCH_TOKEN", ALICE)
    monkeypatch.setenv("COINWATCH_TLS_CA", str(AUTHORITY))
    async with AlertClient(endpoint.url, name="bot") as client:
        await client.watch("btcusdt", above=100)
        await exchange.trade("binance:BTC-USDT", 101.0)
        async with asyncio.timeout(20):
            assert (await anext(aiter(client))).price == 101.0
    async with PriceStream(endpoint.prices_url, ["USDT"]):
        pass

    def watch() -> None:
        with sync.AlertClient(endpoint.url) as client:
            assert client.watch("btcusdt", above=100).rule_id is not None

    await asyncio.to_thread(watch)
    assert caplog.records
    assert ALICE not in caplog.text
    monkeypatch.delenv("COINWATCH_TLS_CA")
    with pytest.raises(EndpointUnreachable, match="certificate verify failed"):
        async with AlertClient(endpoint.url):
            pass


@GUARDED
async def test_a_wrong_token(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_TOKEN", "coinwatch_wrong")
    for client in (AlertClient(endpoint.url), PriceStream(endpoint.prices_url, ["USDT"])):
        with pytest.raises(CommandRefused, match="unknown token") as refused:
            async with client:
                pass
        assert refused.value.code == "unauthorized"


@GUARDED
async def test_no_token(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CommandRefused, match="authentication is required") as refused:
        async with AlertClient(endpoint.url):
            pass
    assert refused.value.code == "unauthorized"
    monkeypatch.setattr("app.alerts.access.admission.AUTH_TIMEOUT_S", 0.2)
    async with PriceStream(endpoint.prices_url, ["USDT"]) as prices:
        with pytest.raises(CommandRefused, match="no token within"):
            await anext(aiter(prices))


@pytest.mark.parametrize("overrides", [{"alerts_commands_per_s": 5}])
async def test_commands_that_come_too_fast_are_sent_again(endpoint: Endpoint) -> None:
    async with AlertClient(endpoint.url) as client:
        for _ in range(52):
            await client.rules()


@pytest.mark.parametrize(
    ("name", "value", "states"),
    [
        ("COINWATCH_TLS_CA", "/nowhere.pem", "COINWATCH_TLS_CA: cannot read /nowhere.pem: No such file"),
        ("COINWATCH_TLS_CA", str(KEY), "COINWATCH_TLS_CA: no PEM certificates"),
        ("COINWATCH_TOKEN", "x\ny", "COINWATCH_TOKEN has characters"),
    ],
)
async def test_what_cannot_be_used(
    name: str, value: str, states: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=states):
        AlertClient("wss://127.0.0.1/ws")


@GUARDED
async def test_the_command_takes_the_token_from_the_environment(endpoint: Endpoint) -> None:
    def watch(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-c", "from app.cli.main import main; main()", "watch", "btcusd"),
                *("--above", "1", "--url", endpoint.url),
            ],
            env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    refused = await asyncio.to_thread(watch)
    assert refused.returncode == 1
    assert "coinwatch: authentication is required" in refused.stderr
    let_in = await asyncio.to_thread(watch, COINWATCH_TOKEN=ALICE)
    assert "no market trades BTC-USD" in let_in.stderr
    assert ALICE not in let_in.stdout + let_in.stderr
