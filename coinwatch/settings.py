"""Every setting of Coinwatch: ``COINWATCH_…`` in the environment or in a ``.env`` file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from coinwatch.averaging.average import Method
from coinwatch.errors import SettingsError
from coinwatch.logs import LogFormat
from coinwatch.records import Market
from coinwatch.setting_types import AssetIds, Feeds, HttpUrl, Markets, Names, Port, TokenHashes, WsUrl

_TETHER = ("binance", "coinbase", "kraken", "bybit", "okx", "htx", "mexc", "gateio")
_DOLLAR = ("coinbase", "kraken", "bitstamp", "gemini")
DEFAULT_MARKETS = tuple(
    Market.canonical(f"{exchange}:{symbol}")
    for symbol, exchanges in (
        ("BTC-USDT", _TETHER),
        ("ETH-USDT", _TETHER),
        ("SOL-USDT", _TETHER[:5]),
        ("XRP-USDT", _TETHER[:5]),
        ("BTC-USD", _DOLLAR),
        ("ETH-USD", _DOLLAR),
        ("BTC-USDC", ("binance", "kraken")),
        ("BTC-EUR", ("coinbase", "kraken", "bitstamp")),
    )
    for exchange in exchanges
)
DEFAULT_FEEDS = (
    ("coindesk", "https://www.coindesk.com/arc/outboundfeeds/rss/"),
    ("cointelegraph", "https://cointelegraph.com/rss"),
    ("decrypt", "https://decrypt.co/feed"),
    ("theblock", "https://www.theblock.co/rss.xml"),
    ("cryptoslate", "https://cryptoslate.com/feed/"),
)
PROVIDERS = ("coingecko", "coinmarketcap", "defillama", "alternative", "gdelt", "reddit", "x", "telegram")
"""Sources of what is not traded; each has an address here, as the exchanges have."""


class Access(BaseSettings):
    """How a subscriber gets in. ``coinwatch.client`` reads these alone."""

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
        None, description="What this subscriber shows an alert endpoint that asks for a token."
    )
    tls_ca: Path | None = Field(
        None,
        description="File of certificates (PEM) that wss:// endpoints are checked against. "
        "Unset: those the system trusts.",
    )


class Settings(Access):
    """Built once at each program's entry point and passed on; nothing else reads the environment."""

    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 15 or newer, as postgresql://user:password@host:port/name. "
        "Unset: an embedded PostgreSQL runs in the data folder.",
    )
    data_dir: Path = Field(
        Path(".coinwatch"), description="Folder for the embedded server, spools and run logs."
    )
    host: str = Field("127.0.0.1", description="Address every service listens on.")
    ingest_port: Port = Field(9101, description="Ingest daemon: /metrics and /healthz.")
    alerts_port: Port = Field(9090, description="Alert endpoint: /ws, /prices, /healthz and /metrics.")
    alerts_tokens: TokenHashes = Field(
        (),
        description="Who may use the alert endpoint, as name:hash, comma separated; `coinwatch token NAME` "
        "makes one. Unset: whoever reaches it.",
    )
    alerts_open: bool = Field(
        False,
        description="Without tokens the alert endpoint listens on this machine alone; true: on "
        "COINWATCH_HOST all the same.",
    )
    alerts_origins: Names = Field(
        (),
        description="Web pages that may use the alert endpoint, by origin, such as "
        "https://charts.example.org, comma separated. Unset: no page of any browser.",
    )
    alerts_tls_cert: Path | None = Field(
        None, description="Certificate (PEM, with its chain) of the alert endpoint: it then speaks wss://."
    )
    alerts_tls_key: Path | None = Field(
        None, description="Its private key, without a password. Unset: in the file of the certificate."
    )
    alerts_compression: bool = Field(
        True, description="Compress what is sent to the subscribers that ask for it (permessage-deflate)."
    )
    alerts_watches: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="Most watches of a client (an owner of tokens, else a name, else a connection) that are "
        "not over.",
    )
    alerts_commands_per_s: float = Field(
        100.0,
        gt=0,
        le=1_000_000,
        description="Commands a second of a client, over all its connections; ten seconds' worth may come "
        "at once.",
    )
    alerts_connections: int = Field(
        15_000, ge=1, le=1_000_000, description="Most connections to one alert endpoint."
    )
    alerts_connections_per_address: int = Field(
        2_000,
        ge=1,
        le=1_000_000,
        description="Most of them from one address (of IPv6, one /64 network); a reverse proxy is one.",
    )
    dashboard_port: Port = Field(8501, description="Dashboard.")
    dagster_port: Port = Field(3000, description="Dagster webserver.")
    dagster_url: str = Field(
        "",
        pattern=r"^(https?://[^\s/]+(/\S*)?)?$",
        description="Where browsers find Dagster, such as https://dagster.example.org: the dashboard links "
        "there. Unset: the host they see the dashboard at, and the port above.",
    )
    simulator_ws_port: Port = Field(9200, description="Simulator: websocket stand-ins.")
    simulator_rest_port: Port = Field(9201, description="Simulator: REST stand-ins.")
    simulator_trades_per_s: float = Field(
        50.0, gt=0, le=20_000, description="Simulator: trades a second over all its markets."
    )
    markets: Markets = Field(
        DEFAULT_MARKETS,
        min_length=1,
        description="Markets to stream and collect, comma separated, any usual spelling.",
    )
    polled_markets: Markets = Field(
        (),
        description="Markets whose newest trades are asked for by REST every few seconds, comma separated: "
        "for exchanges or pairs without a stream.",
    )
    poll_every_s: float = Field(
        5.0, ge=0.5, le=3_600, description="How often polled markets are asked, in seconds."
    )
    averages_every_s: int = Field(
        1, ge=1, le=60, description="How often the average of each pair is computed, in whole seconds."
    )
    averages_method: Method = Field(
        Method.MEDIAN,
        description="How several prices become one: median (weighted by volume), mean or vwap.",
    )
    averages_fold_stablecoins: bool = Field(
        False,
        description="Count USDT and USDC quotes, converted by their own market price, into the USD average.",
    )
    top_markets: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Collect candles of this many markets with most volume, besides those named and watched.",
    )
    history_start: date = Field(
        date(2024, 1, 1), description="No candle older than this day is ever asked for."
    )
    history_days: int = Field(
        1, ge=0, le=3_650, description="Days before today that are collected without being asked."
    )
    ticks_keep_days: int = Field(
        7, ge=1, le=3_650, description="Days before today whose trades are kept; candles stay for ever."
    )
    ticks_keep_gb: float = Field(
        20.0,
        gt=0,
        description="Most gigabytes that trades may take, 200 bytes each: beyond, the oldest days go first. "
        "A day whose candles are not complete stays until the limit is exceeded by half.",
    )
    ingest_mode: Literal["shared", "standby"] = Field(
        "shared",
        description="shared: daemons divide the markets among them; standby: this one streams all its "
        "markets whatever others do.",
    )
    first_reach_s: float = Field(
        60.0, ge=0, le=86_400, description="How far the very first start of a market goes back, in seconds."
    )
    watch_linger_s: float = Field(
        300.0, ge=0, description="How long a market is streamed after the last watch on it has gone."
    )
    spool_max_mb: int = Field(
        2_048,
        ge=16,
        description="Most megabytes the spool may take on disk while Postgres is away; when it is full, "
        "sockets wait.",
    )
    webhooks_allow_private: bool = Field(
        False, description="Let webhooks go to private addresses, such as this machine or the local network."
    )
    rate_limit_scale: float = Field(
        1.0, gt=0, le=1_000, description="Multiplies every request limit; above 1 only for the simulator."
    )
    log_format: LogFormat = Field(
        "auto", description="console, json, or auto: console on a terminal, json otherwise."
    )
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level logged.")

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
    okx_ws_url: WsUrl = Field("wss://ws.okx.com:8443", description="OKX streams.")
    okx_rest_url: HttpUrl = Field("https://www.okx.com", description="OKX REST.")
    htx_ws_url: WsUrl = Field("wss://api.huobi.pro", description="HTX streams.")
    htx_rest_url: HttpUrl = Field("https://api.huobi.pro", description="HTX REST.")
    bitstamp_ws_url: WsUrl = Field("wss://ws.bitstamp.net", description="Bitstamp streams.")
    bitstamp_rest_url: HttpUrl = Field("https://www.bitstamp.net", description="Bitstamp REST.")
    mexc_ws_url: WsUrl = Field("wss://wbs-api.mexc.com", description="MEXC streams.")
    mexc_rest_url: HttpUrl = Field("https://api.mexc.com", description="MEXC REST.")
    gateio_ws_url: WsUrl = Field("wss://api.gateio.ws", description="Gate.io streams.")
    gateio_rest_url: HttpUrl = Field("https://api.gateio.ws", description="Gate.io REST.")
    gemini_ws_url: WsUrl = Field("wss://api.gemini.com", description="Gemini streams.")
    gemini_rest_url: HttpUrl = Field("https://api.gemini.com", description="Gemini REST.")

    coingecko_rest_url: HttpUrl = Field(
        "https://api.coingecko.com/api/v3", description="CoinGecko: fundamentals and votes."
    )
    coingecko_api_key: SecretStr | None = Field(
        None, description="CoinGecko demo key. Unset: the key-less limits."
    )
    asset_ids: AssetIds = Field(
        (),
        description="Which asset a base of markets is, where the ticker, contracts and prices do not decide, "
        "or decide wrongly: base=CoinGecko id, comma separated, such as BTC=bitcoin,CAT=simon-s-cat.",
    )
    coinmarketcap_rest_url: HttpUrl = Field(
        "https://pro-api.coinmarketcap.com", description="CoinMarketCap: the second source of fundamentals."
    )
    coinmarketcap_api_key: SecretStr | None = Field(
        None, description="CoinMarketCap key. Unset: its key-less public API."
    )
    defillama_rest_url: HttpUrl = Field("https://api.llama.fi", description="DefiLlama: value locked.")
    alternative_rest_url: HttpUrl = Field(
        "https://api.alternative.me", description="alternative.me: the Fear & Greed index."
    )
    gdelt_rest_url: HttpUrl = Field("https://api.gdeltproject.org", description="GDELT: the tone of news.")
    news_feeds: Feeds = Field(
        DEFAULT_FEEDS, description="News feeds (RSS or Atom) as outlet=URL, comma separated."
    )
    reddit_rest_url: HttpUrl = Field("https://oauth.reddit.com", description="Reddit.")
    reddit_client_id: str | None = Field(None, description="Reddit application. Unset: Reddit is not asked.")
    reddit_client_secret: SecretStr | None = Field(None, description="Its secret.")
    x_rest_url: HttpUrl = Field("https://api.x.com", description="X.")
    x_bearer_token: SecretStr | None = Field(
        None, description="X: each count of posts costs money. Unset: X is not asked."
    )
    telegram_rest_url: HttpUrl = Field("https://t.me", description="Telegram: public pages of channels.")
    telegram_channels: Names = Field(
        (), description="Public Telegram channels to read, comma separated. Unset: Telegram is not asked."
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
                raise ValueError(f"{market}: unknown exchange; there are {known}")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return value

    @classmethod
    def exchanges(cls) -> tuple[str, ...]:
        """Every exchange that has an address here."""
        return tuple(name.removesuffix("_ws_url") for name in cls.model_fields if name.endswith("_ws_url"))

    @property
    def alerts_host(self) -> str:
        """Where the alert endpoint listens: on this machine alone if it is neither guarded nor open."""
        if self.alerts_tokens or self.alerts_open or _is_loopback(self.host):
            return self.host
        return "::1" if ":" in self.host else "127.0.0.1"

    def alerts_url(self, path: str, scheme: Literal["ws", "http"] = "ws") -> str:
        """An address of the alert endpoint, with TLS where it has a certificate."""
        host = f"[{self.alerts_host}]" if ":" in self.alerts_host else self.alerts_host
        return f"{scheme}{'s' if self.alerts_tls_cert else ''}://{host}:{self.alerts_port}{path}"

    def ws_url(self, exchange: str) -> str:
        """The websocket root of ``exchange``, without a trailing slash."""
        return self._root(exchange, "ws")

    def rest_url(self, exchange: str) -> str:
        """The REST root of ``exchange``, or of a provider, without a trailing slash."""
        return self._root(exchange, "rest")

    def _root(self, exchange: str, kind: str) -> str:
        url: str = getattr(self, f"{exchange}_{kind}_url")
        return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings. Raises SettingsError naming each wrong variable, never its secret."""
    return _load(Settings, overrides)


def load_access() -> Access:
    """Read what a subscriber needs. Raises as ``load_settings``."""
    return _load(Access, {})


S = TypeVar("S", bound=Access)


def _load(kind: type[S], overrides: Mapping[str, Any]) -> S:
    try:
        return kind(**overrides)
    except ValidationError as error:
        lines = []
        for fault in error.errors(include_input=False, include_url=False):
            variable = "_".join(("coinwatch", *map(str, fault["loc"]))).upper()
            lines.append(f"{variable}: {fault['msg'].removeprefix('Value error, ')}")
        raise SettingsError("; ".join(lines)) from None
