"""Defaults that are lists: markets, news feeds, and the names of providers."""

from __future__ import annotations

from coinwatch.records import Market

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
"""Sources of fundamentals, sentiment and news. Each has a REST address below, like the exchanges."""
