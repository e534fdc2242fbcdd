"""Where a setting comes from, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from coinwatch.errors import SettingsError
from coinwatch.settings import DEFAULT_MARKETS, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("COINWATCH_ALERTS_PORT", "COINWATCH_MARKETS", "COINWATCH_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


def test_argument_beats_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().alerts_port == 9090
    Path(".env").write_text("COINWATCH_ALERTS_PORT=9001\n")
    assert load_settings().alerts_port == 9001
    monkeypatch.setenv("COINWATCH_ALERTS_PORT", "9002")
    assert load_settings().alerts_port == 9002
    assert load_settings(alerts_port=9003).alerts_port == 9003


def test_markets_take_any_spelling_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().markets == DEFAULT_MARKETS
    monkeypatch.setenv("COINWATCH_MARKETS", "binance:btcusdt, Kraken:BTC/EUR,binance:BTC-USDT,")
    assert [str(market) for market in load_settings().markets] == ["binance:BTC-USDT", "kraken:BTC-EUR"]


def test_assets_are_named_by_base(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().asset_ids == ()
    monkeypatch.setenv("COINWATCH_ASSET_IDS", " btc = bitcoin,CAT=simon-s-cat,")
    assert load_settings().asset_ids == (("BTC", "bitcoin"), ("CAT", "simon-s-cat"))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("COINWATCH_ALERTS_PORT", "ninety", "COINWATCH_ALERTS_PORT.*integer"),
        ("COINWATCH_ALERTS_PORT", "70000", "COINWATCH_ALERTS_PORT.*65535"),
        ("COINWATCH_MARKETS", "btcusdt", "COINWATCH_MARKETS.*write it like binance:BTC-USDT"),
        ("COINWATCH_MARKETS", "mtgox:BTC-USD", "COINWATCH_MARKETS.*unknown exchange.*binance"),
        ("COINWATCH_MARKETS", "", "COINWATCH_MARKETS.*at least 1"),
        ("COINWATCH_KRAKEN_WS_URL", "https://example.org", "COINWATCH_KRAKEN_WS_URL"),
        ("COINWATCH_ASSET_IDS", "BTC=bitcoin,CAT", "COINWATCH_ASSET_IDS: 'CAT' is not base=CoinGecko id"),
        ("COINWATCH_DATABASE_URL", "mysql://u:hunter2@h/d", "COINWATCH_DATABASE_URL.*postgresql://"),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_an_empty_database_url_means_the_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "")
    assert load_settings().database_url is None


def test_the_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(load_settings())


def test_every_exchange_has_both_addresses() -> None:
    settings = load_settings()
    for exchange in settings.exchanges():
        assert settings.ws_url(exchange).startswith("ws")
        assert settings.rest_url(exchange).startswith("http")
