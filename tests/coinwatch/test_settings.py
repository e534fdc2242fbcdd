"""Sources of settings and their precedence, and errors for invalid values."""

from __future__ import annotations

from pathlib import Path

import pytest

from coinwatch.errors import SettingsError
from coinwatch.settings import DEFAULT_MARKETS, Settings, load_access, load_settings, process_settings
from coinwatch.settings.sources import origins


@pytest.fixture(autouse=True)
def _empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory, no user config file and no variables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    for name in Settings.model_fields:
        monkeypatch.delenv(f"COINWATCH_{name.upper()}", raising=False)


def write_user_file(text: str) -> Path:
    path = Path("xdg/coinwatch/coinwatch.toml").absolute()
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_user_file_overrides_default() -> None:
    assert load_settings().alerts_port == 9090
    path = write_user_file("alerts_port = 9001\n")
    assert load_settings().alerts_port == 9001
    assert origins(Settings)["alerts_port"] == str(path)


def test_file_in_working_directory_replaces_user_file() -> None:
    write_user_file("alerts_port = 9001\ndagster_port = 3001\n")
    Path("coinwatch.toml").write_text("alerts_port = 9002\n")
    settings = load_settings()
    assert (settings.alerts_port, settings.dagster_port) == (9002, 3000)
    assert origins(Settings)["alerts_port"] == str(Path("coinwatch.toml").absolute())


def test_named_file_replaces_file_in_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("coinwatch.toml").write_text("alerts_port = 9002\n")
    Path("other.toml").write_text("alerts_port = 9003\n")
    monkeypatch.setenv("COINWATCH_CONFIG_FILE", "other.toml")
    assert load_settings().alerts_port == 9003


def test_dotenv_can_name_the_config_file() -> None:
    Path("other.toml").write_text("alerts_port = 9003\n")
    Path(".env").write_text("COINWATCH_CONFIG_FILE=other.toml\n")
    assert load_settings().alerts_port == 9003


def test_dotenv_overrides_config_file() -> None:
    Path("coinwatch.toml").write_text("alerts_port = 9002\n")
    Path(".env").write_text("COINWATCH_ALERTS_PORT=9004\n")
    assert load_settings().alerts_port == 9004
    assert origins(Settings)["alerts_port"] == ".env"


def test_environment_overrides_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("COINWATCH_ALERTS_PORT=9004\n")
    monkeypatch.setenv("COINWATCH_ALERTS_PORT", "9005")
    assert load_settings().alerts_port == 9005
    assert origins(Settings)["alerts_port"] == "environment"


def test_argument_overrides_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_ALERTS_PORT", "9005")
    assert load_settings(alerts_port=9006).alerts_port == 9006


def test_origin_is_default_without_any_source() -> None:
    assert set(origins(Settings).values()) == {"default"}


def test_clients_read_the_config_file_too() -> None:
    Path("coinwatch.toml").write_text('token = "cw_secret"\nalerts_port = 9002\n')
    token = load_access().token
    assert token is not None
    assert token.get_secret_value() == "cw_secret"


def test_settings_without_files_ignore_the_machine() -> None:
    write_user_file("alerts_port = 9001\n")
    Path(".env").write_text("COINWATCH_DAGSTER_PORT=3001\n")
    settings = Settings(_env_file=None)
    assert (settings.alerts_port, settings.dagster_port) == (9090, 3000)


def test_process_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    process_settings.cache_clear()
    first = process_settings()
    monkeypatch.setenv("COINWATCH_ALERTS_PORT", "9005")
    assert process_settings() is first
    process_settings.cache_clear()


def test_config_file_takes_lists_and_tables() -> None:
    Path("coinwatch.toml").write_text(
        'markets = ["binance:btcusdt", "kraken:BTC/EUR"]\n'
        'telegram_channels = ["one", "two"]\n'
        "history_start = 2025-02-01\n"
        "alerts_compression = false\n"
        '[news_feeds]\nexample = "https://example.org/rss?a=1,2"\n'
        '[asset_ids]\ncat = "simon-s-cat"\n'
        f'[alerts_tokens]\nalice = "{"0" * 64}"\n'
    )
    settings = load_settings()
    assert [str(market) for market in settings.markets] == ["binance:BTC-USDT", "kraken:BTC-EUR"]
    assert settings.telegram_channels == ("one", "two")
    assert settings.history_start.isoformat() == "2025-02-01"
    assert settings.alerts_compression is False
    assert settings.news_feeds == (("example", "https://example.org/rss?a=1,2"),)
    assert settings.asset_ids == (("CAT", "simon-s-cat"),)
    assert settings.alerts_tokens == (("alice", "0" * 64),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alerts_port = ninety\n", r"coinwatch\.toml is not valid TOML"),
        ("alert_port = 9090\n", r"coinwatch\.toml: unknown settings: alert_port"),
        ('alerts_port = "ninety"\n', r"COINWATCH_ALERTS_PORT: .*integer.*\(in .*coinwatch\.toml\)"),
        ("markets = [1]\n", "COINWATCH_MARKETS"),
    ],
)
def test_wrong_config_file_is_named(text: str, message: str) -> None:
    Path("coinwatch.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_settings()


def test_missing_named_config_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_CONFIG_FILE", "missing.toml")
    with pytest.raises(SettingsError, match=r"COINWATCH_CONFIG_FILE: there is no file .*missing\.toml"):
        load_settings()


def test_markets_take_any_spelling_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().markets == DEFAULT_MARKETS
    monkeypatch.setenv("COINWATCH_MARKETS", "binance:btcusdt, Kraken:BTC/EUR,binance:BTC-USDT,")
    assert [str(market) for market in load_settings().markets] == ["binance:BTC-USDT", "kraken:BTC-EUR"]


def test_assets_are_named_by_base(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().asset_ids == ()
    monkeypatch.setenv("COINWATCH_ASSET_IDS", " btc = bitcoin,CAT=simon-s-cat,")
    assert load_settings().asset_ids == (("BTC", "bitcoin"), ("CAT", "simon-s-cat"))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("COINWATCH_ALERTS_PORT", "ninety", "COINWATCH_ALERTS_PORT.*integer"),
        ("COINWATCH_ALERTS_PORT", "70000", "COINWATCH_ALERTS_PORT.*65535"),
        ("COINWATCH_MARKETS", "btcusdt", "COINWATCH_MARKETS.*write it like binance:BTC-USDT"),
        ("COINWATCH_MARKETS", "mtgox:BTC-USD", "COINWATCH_MARKETS.*unknown exchange.*binance"),
        ("COINWATCH_MARKETS", "", "COINWATCH_MARKETS.*at least 1"),
        ("COINWATCH_KRAKEN_WS_URL", "https://example.org", "COINWATCH_KRAKEN_WS_URL"),
        ("COINWATCH_ASSET_IDS", "BTC=bitcoin,CAT", "COINWATCH_ASSET_IDS: 'CAT' is not base=CoinGecko id"),
        ("COINWATCH_ALERTS_TOKENS", "alice:hunter2", "COINWATCH_ALERTS_TOKENS: entry 1 is not name:hash"),
        ("COINWATCH_DATABASE_URL", "mysql://u:hunter2@h/d", "COINWATCH_DATABASE_URL.*postgresql://"),
    ],
)
def test_invalid_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_empty_database_url_means_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "")
    assert load_settings().database_url is None


def test_repr_hides_the_database_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COINWATCH_DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(load_settings())


def test_every_exchange_has_both_addresses() -> None:
    settings = load_settings()
    for exchange in settings.exchanges():
        assert settings.ws_url(exchange).startswith("ws")
        assert settings.rest_url(exchange).startswith("http")
