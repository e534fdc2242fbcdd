"""The settings with their types, defaults and descriptions."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from coinwatch.averaging.average import Method
from coinwatch.logs import LogFormat
from coinwatch.records import Market
from coinwatch.settings.addresses import is_loopback, local_url, loopback_like
from coinwatch.settings.defaults import DEFAULT_FEEDS, DEFAULT_MARKETS
from coinwatch.settings.sources import sources
from coinwatch.settings.value_types import AssetIds, Feeds, HttpUrl, Markets, Names, Port, TokenHashes, WsUrl

_TOKEN = re.compile(r"[!-~]{24,}")


class Access(BaseSettings):
    """Settings of a client of the alert endpoint. ``coinwatch.client`` reads only these."""

    model_config = SettingsConfigDict(
        env_prefix="COINWATCH_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        arbitrary_types_allowed=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    token: SecretStr | None = Field(
        None, description="Token this client sends to an alert endpoint that requires one."
    )
    tls_ca: Path | None = Field(
        None,
        description="File of CA certificates (PEM) to verify wss:// endpoints with. "
        "Unset: those the system trusts.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, ``.env``, ``coinwatch.toml``; the defaults come last."""
        return sources(settings_cls, init_settings, env_settings, dotenv_settings)


class Settings(Access):
    """Every setting. Built once at each program's entry point and passed on."""

    config_file: Path | None = Field(
        None,
        description="Config file. Unset: coinwatch.toml in the working directory, else "
        "~/.config/coinwatch/coinwatch.toml.",
    )

    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 15 or newer, as postgresql://user:password@host:port/name. "
        "Unset: an embedded PostgreSQL runs in the data folder.",
    )
    data_dir: Path = Field(
        Path(".coinwatch"), description="Data folder: the embedded PostgreSQL, spools and run logs."
    )
    host: str = Field(
        "127.0.0.1",
        description="Address on which the alert endpoint listens. Every other part has its own setting.",
    )
    metrics_host: str = Field(
        "127.0.0.1",
        description="Address on which the ingest daemon serves /metrics and /healthz, which have no login.",
    )
    ingest_port: Port = Field(9101, description="Port of the ingest daemon: /metrics and /healthz.")
    alerts_port: Port = Field(
        9090, description="Port of the alert endpoint: /ws, /prices, /healthz and /metrics."
    )
    alerts_tokens: TokenHashes = Field(
        (),
        description="Clients allowed to use the alert endpoint, as name:hash, comma separated; "
        "`coinwatch token NAME` creates an entry. Unset: no token is required.",
    )
    alerts_open: bool = Field(
        False,
        description="Without tokens, the alert endpoint listens only on the loopback address; true: on "
        "COINWATCH_HOST even without tokens.",
    )
    alerts_origins: Names = Field(
        (),
        description="Web origins allowed to use the alert endpoint from a browser, such as "
        "https://charts.example.org, comma separated. Unset: none.",
    )
    alerts_tls_cert: Path | None = Field(
        None,
        description="TLS certificate (PEM, with its chain) of the alert endpoint, which then serves wss://.",
    )
    alerts_tls_key: Path | None = Field(
        None,
        description="Private key of that certificate, without a password. "
        "Unset: read from the certificate file.",
    )
    alerts_compression: bool = Field(
        True, description="Compress messages to clients that support permessage-deflate."
    )
    alerts_watches: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of active watches of a client (the name of its token, else the name it "
        "gives, else its connection).",
    )
    alerts_commands_per_s: float = Field(
        100.0,
        gt=0,
        le=1_000_000,
        description="Maximum commands per second of a client over all its connections; bursts of ten "
        "seconds' worth are allowed.",
    )
    alerts_connections: int = Field(
        15_000, ge=1, le=1_000_000, description="Maximum number of connections to an alert endpoint."
    )
    alerts_connections_per_address: int = Field(
        2_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of connections from an IP address (IPv6: a /64 network). A reverse proxy "
        "counts as a single address.",
    )
    dashboard_host: str = Field(
        "127.0.0.1",
        description="Address on which `coinwatch up` serves the dashboard; beyond the loopback address it "
        "requires a sign-in (COINWATCH_DASHBOARD_LOGIN).",
    )
    dashboard_port: Port = Field(8501, description="Port of the dashboard.")
    dashboard_login: Literal["required", "off"] | None = Field(
        None,
        description="required: viewers sign in, and the dashboard starts only with a complete [auth] section "
        "in Streamlit's secrets.toml; off: everyone who reaches it sees and changes everything. Unset: "
        "required if there is such a section, else off on the loopback address only.",
    )
    dashboard_coin_pictures: bool = Field(
        False,
        description="Show pictures of coins, which a viewer's browser fetches from hosts that CoinGecko and "
        "CoinMarketCap name. false: it fetches nothing from other hosts.",
    )
    dagster_host: str = Field(
        "127.0.0.1",
        description="Address on which Dagster's web server listens. Beyond the loopback address "
        "COINWATCH_DAGSTER_TOKEN is required.",
    )
    dagster_port: Port = Field(3000, description="Port of the Dagster webserver.")
    dagster_token: SecretStr | None = Field(
        None,
        description="Token that Dagster's web server requires, as a password (any user name) or as a Bearer "
        "token; at least 24 characters, such as from `openssl rand -hex 32`. Unset: no login.",
    )
    dagster_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/]+(/\S*)?)?$",
        description="Dagster's address for browsers, such as https://dagster.example.org: the dashboard "
        "links to it, and Dagster's web server answers to its name. Unset: localhost and IP addresses with "
        "COINWATCH_DAGSTER_PORT.",
    )
    simulator_host: str = Field("127.0.0.1", description="Address on which the simulated exchanges listen.")
    simulator_ws_port: Port = Field(9200, description="Port of the simulated exchanges' websockets.")
    simulator_rest_port: Port = Field(9201, description="Port of the simulated exchanges' REST APIs.")
    simulator_trades_per_s: float = Field(
        50.0, gt=0, le=20_000, description="Simulated trades per second over all markets."
    )
    markets: Markets = Field(
        DEFAULT_MARKETS,
        min_length=1,
        description="Markets to stream and collect, comma separated, in any common spelling.",
    )
    polled_markets: Markets = Field(
        (),
        description="Markets to poll for trades over REST, comma separated: for exchanges or pairs without a "
        "stream.",
    )
    poll_every_s: float = Field(
        5.0, ge=0.5, le=3_600, description="Interval between polls of COINWATCH_POLLED_MARKETS, in seconds."
    )
    averages_every_s: int = Field(
        1,
        ge=1,
        le=60,
        description="Interval at which the average price of each pair is computed, in whole seconds.",
    )
    averages_method: Method = Field(
        Method.MEDIAN,
        description="How prices of exchanges are averaged: median (weighted by volume), mean or vwap.",
    )
    averages_fold_stablecoins: bool = Field(
        False,
        description="Include USDT and USDC quotes in the USD average, converted at their market price.",
    )
    top_markets: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Also collect candles of this many markets with the highest volume, beside those "
        "configured and watched.",
    )
    history_start: date = Field(date(2024, 1, 1), description="First day of candles that can be collected.")
    history_days: int = Field(
        1, ge=0, le=3_650, description="Days before today whose candles are collected automatically."
    )
    ticks_keep_days: int = Field(
        7, ge=1, le=3_650, description="Days before today whose trades are kept. Candles are never deleted."
    )
    ticks_keep_gb: float = Field(
        20.0,
        gt=0,
        description="Maximum size of stored trades in gigabytes, at 200 bytes each. Above it, the oldest "
        "days are deleted first; a day with incomplete candles is kept until the limit is exceeded by 50%.",
    )
    ingest_mode: Literal["shared", "standby"] = Field(
        "shared",
        description="shared: ingest daemons divide the markets among themselves; standby: this daemon "
        "streams all its markets regardless of the others.",
    )
    first_reach_s: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="How far back trades are fetched when a market is first streamed, in seconds.",
    )
    watch_linger_s: float = Field(
        300.0, ge=0, description="Seconds a market is streamed after its last watch ends."
    )
    spool_max_mb: int = Field(
        2_048,
        ge=16,
        description="Maximum size of the spool on disk while Postgres is unreachable, in megabytes. When "
        "it is full, reading from the exchanges pauses.",
    )
    disk_low_gb: float = Field(
        5.0,
        ge=0,
        description="Free space on the disks of the data folder, in gigabytes, below which it is reported as "
        "low: in the log, in `coinwatch status`, on the Data page and in metrics. 0: never.",
    )
    webhooks_allow_private: bool = Field(
        False,
        description="Allow webhooks and other outlets to private addresses, such as this machine or "
        "the local network.",
    )
    rate_limit_scale: float = Field(
        1.0,
        gt=0,
        le=1_000,
        description="Factor applied to every request limit; above 1 only for the simulator.",
    )
    log_format: LogFormat = Field(
        "auto", description="Log format: console, json, or auto (console on a terminal, else json)."
    )
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="Minimum log level: debug, info, warning or error.",
    )

    binance_ws_url: WsUrl = Field("wss://data-stream.binance.vision", description="Binance streams.")
    binance_rest_url: HttpUrl = Field("https://data-api.binance.vision", description="Binance REST.")
    coinbase_ws_url: WsUrl = Field(
        "wss://ws-feed.exchange.coinbase.com", description="Coinbase Exchange feed."
    )
    coinbase_rest_url: HttpUrl = Field(
        "https://api.exchange.coinbase.com", description="Coinbase Exchange REST."
    )
    kraken_ws_url: WsUrl = Field("wss://ws.kraken.com/v2", description="Kraken websocket v2.")
    kraken_rest_url: HttpUrl = Field("https://api.kraken.com", description="Kraken REST.")
    bybit_ws_url: WsUrl = Field("wss://stream.bybit.com", description="Bybit streams.")
    bybit_rest_url: HttpUrl = Field("https://api.bybit.com", description="Bybit REST.")
    okx_ws_url: WsUrl = Field("wss://ws.okx.com", description="OKX streams.")
    okx_rest_url: HttpUrl = Field("https://www.okx.com", description="OKX REST.")
    htx_ws_url: WsUrl = Field("wss://api.huobi.pro", description="HTX streams.")
    htx_rest_url: HttpUrl = Field("https://api.huobi.pro", description="HTX REST.")
    bitstamp_ws_url: WsUrl = Field("wss://ws.bitstamp.net", description="Bitstamp streams.")
    bitstamp_rest_url: HttpUrl = Field("https://www.bitstamp.net", description="Bitstamp REST.")
    mexc_ws_url: WsUrl = Field("wss://wbs-api.mexc.com", description="MEXC streams.")
    mexc_rest_url: HttpUrl = Field("https://api.mexc.com", description="MEXC REST.")
    gateio_ws_url: WsUrl = Field("wss://api.gateio.ws", description="Gate.io streams.")
    gateio_rest_url: HttpUrl = Field("https://api.gateio.ws", description="Gate.io REST.")
    gemini_ws_url: WsUrl = Field("wss://ws.gemini.com", description="Gemini streams; see docs/exchanges.md.")
    gemini_rest_url: HttpUrl = Field("https://api.gemini.com", description="Gemini REST.")

    coingecko_rest_url: HttpUrl = Field(
        "https://api.coingecko.com/api/v3", description="CoinGecko: fundamentals and community votes."
    )
    coingecko_api_key: SecretStr | None = Field(
        None, description="CoinGecko demo API key. Unset: the limits without a key apply."
    )
    asset_ids: AssetIds = Field(
        (),
        description="Assets by base symbol, as base=CoinGecko id, comma separated, such as "
        "BTC=bitcoin,CAT=simon-s-cat: for symbols that are matched to no asset or to a wrong one.",
    )
    coinmarketcap_rest_url: HttpUrl = Field(
        "https://pro-api.coinmarketcap.com", description="CoinMarketCap: second source of fundamentals."
    )
    coinmarketcap_api_key: SecretStr | None = Field(
        None, description="CoinMarketCap API key. Unset: its public API without a key."
    )
    defillama_rest_url: HttpUrl = Field("https://api.llama.fi", description="DefiLlama: total value locked.")
    alternative_rest_url: HttpUrl = Field(
        "https://api.alternative.me", description="alternative.me: the Fear & Greed index."
    )
    gdelt_rest_url: HttpUrl = Field("https://api.gdeltproject.org", description="GDELT: tone of news.")
    news_feeds: Feeds = Field(
        DEFAULT_FEEDS,
        description="News feeds (RSS or Atom) as name=URL, comma separated. A feed on a private network is "
        "named by its IP address: names, and redirects, that lead to private addresses are refused.",
    )
    reddit_rest_url: HttpUrl = Field("https://oauth.reddit.com", description="Reddit.")
    reddit_client_id: str | None = Field(
        None, description="Reddit application id. Unset: Reddit is not used."
    )
    reddit_client_secret: SecretStr | None = Field(None, description="Secret of the Reddit application.")
    x_rest_url: HttpUrl = Field("https://api.x.com", description="X.")
    x_bearer_token: SecretStr | None = Field(
        None, description="X API bearer token; requests are billed. Unset: X is not used."
    )
    telegram_rest_url: HttpUrl = Field("https://t.me", description="Telegram: public channel pages.")
    telegram_channels: Names = Field(
        (), description="Public Telegram channels to read, comma separated. Unset: Telegram is not used."
    )

    @field_validator("data_dir")
    @classmethod
    def _is_absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("markets", "polled_markets")
    @classmethod
    def _are_on_known_exchanges(cls, value: tuple[Market, ...]) -> tuple[Market, ...]:
        for market in value:
            if market.exchange not in cls.exchanges():
                known = ", ".join(cls.exchanges())
                raise ValueError(f"{market}: unknown exchange; known are {known}")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return value

    @field_validator("dagster_token")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError(
                "must have at least 24 letters, digits or signs, such as from `openssl rand -hex 32`"
            )
        return value

    @classmethod
    def exchanges(cls) -> tuple[str, ...]:
        """Names of all supported exchanges: those with an address here."""
        return tuple(name.removesuffix("_ws_url") for name in cls.model_fields if name.endswith("_ws_url"))

    @property
    def alerts_host(self) -> str:
        """The address on which the alert endpoint listens: loopback if it has no tokens and is not open."""
        if self.alerts_tokens or self.alerts_open or is_loopback(self.host):
            return self.host
        return loopback_like(self.host)

    def alerts_url(self, path: str, scheme: Literal["ws", "http"] = "ws") -> str:
        """The URL of ``path`` on the alert endpoint, with TLS if it has a certificate."""
        secure = "s" if self.alerts_tls_cert else ""
        return local_url(f"{scheme}{secure}", self.alerts_host, self.alerts_port, path)

    def ws_url(self, exchange: str) -> str:
        """The websocket root of ``exchange``, without a trailing slash."""
        return self._root(exchange, "ws")

    def rest_url(self, exchange: str) -> str:
        """The REST root of an exchange or provider, without a trailing slash."""
        return self._root(exchange, "rest")

    def _root(self, exchange: str, kind: str) -> str:
        url: str = getattr(self, f"{exchange}_{kind}_url")
        return url.rstrip("/")
