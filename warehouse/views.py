"""The stable read surface: views that keep their meaning while the tables below them change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from warehouse.candles.coverage import EXPECTED_AFTER, GAPS_SQL


@dataclass(frozen=True)
class View:
    """A public view. Columns are only ever added, at the end."""

    name: str
    meaning: str
    columns: Mapping[str, str]
    """What each column means, in order."""
    query: str


_MARKET = {
    "exchange": "binance, coinbase, kraken, …",
    "symbol": "canonical pair, BTC-USDT",
    "base": "the asset that is traded",
    "quote": "the asset that prices are in",
}

_GAPS = GAPS_SQL.format(
    until=f"date_bin('1 minute', now() - interval '{EXPECTED_AFTER.seconds} seconds', 'epoch')"
)

VIEWS = (
    View(
        "v_ticks",
        "Every trade, once",
        {
            **_MARKET,
            "ts": "the exchange's clock, to the microsecond",
            "price": "in the quote asset",
            "amount": "in the base asset",
            "side": "what the taker did: buy or sell",
            "trade_id": "the exchange's own id, unique within the market",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, t.ts, t.price, t.amount,
               CASE WHEN t.taker_buys THEN 'buy' ELSE 'sell' END AS side,
               t.trade_id::text AS trade_id
        FROM ticks t JOIN markets m ON m.id = t.market_id
        """,
    ),
    View(
        "v_candles",
        "Open, high, low, close and volume by interval; no row where nothing traded",
        {
            **_MARKET,
            "interval": "1m, 5m, 15m, 1h, 4h, 1d",
            "open_ts": "start of the interval",
            "open": "first price",
            "high": "highest price",
            "low": "lowest price",
            "close": "last price",
            "volume": "in the base asset",
            "source": "exchange; ticks: made of trades we stored; rollup: made of 1m candles",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, c."interval", c.open_ts,
               c.open, c.high, c.low, c.close, c.volume, c.source
        FROM candles c JOIN markets m ON m.id = c.market_id
        """,
    ),
    View(
        "v_gaps",
        "Spans of candles that are wanted and not there, of minutes that ended ten minutes ago or earlier",
        {
            "exchange": _MARKET["exchange"],
            "symbol": _MARKET["symbol"],
            "interval": "1m; longer candles are made of these",
            "from_ts": "start of the first minute that is missing",
            "to_ts": "end of the last",
        },
        f"""
        SELECT m.exchange, m.symbol, c."interval", lower(hole), upper(hole)
        FROM candle_coverage c JOIN markets m ON m.id = c.market_id
        CROSS JOIN LATERAL unnest({_GAPS}) AS hole
        WHERE c."interval" = '1m'
        """,  # noqa: S608 -- built from constants
    ),
    View(
        "v_indicators",
        "Technical indicators at the close of each candle of 5m and longer; of the candles that were traded, "
        "in order, null where they are too few",
        {
            **_MARKET,
            "interval": "5m, 15m, 1h, 4h, 1d",
            "open_ts": "start of the candle they end with",
            **{f"sma_{period}": f"mean of {period} closes" for period in (20, 50, 200)},
            **{f"ema_{period}": f"exponential mean of {period} closes" for period in (12, 26, 50, 200)},
            "rsi_14": "relative strength, 0 to 100",
            "macd": "exponential mean of 12 closes less that of 26",
            "macd_signal": "exponential mean of 9 of these",
            "macd_histogram": "macd less its signal",
            "bollinger_upper": "2 standard deviations of 20 closes above their mean",
            "bollinger_middle": "their mean, which is sma_20",
            "bollinger_lower": "2 standard deviations below",
            "obv": "on-balance volume since the first candle stored, in the base asset",
            "atr_14": "average true range, in the quote asset",
            "vwap": "typical price weighted by volume, of the UTC day so far",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, i."interval", i.open_ts,
               i.sma_20, i.sma_50, i.sma_200, i.ema_12, i.ema_26, i.ema_50, i.ema_200, i.rsi_14,
               i.macd, i.macd_signal, i.macd_histogram, i.bollinger_upper, i.sma_20, i.bollinger_lower,
               i.obv, i.atr_14, i.vwap
        FROM indicators i JOIN markets m ON m.id = i.market_id
        """,
    ),
    View(
        "v_stream_gaps",
        "Spans in which a stream was not heard, and what became of them",
        {
            **_MARKET,
            "cause": "disconnected, silent, started, missing trades, …",
            "state": "open, filled or unfillable",
            "from_ts": "the last trade before it, by the exchange's clock",
            "to_ts": "the first trade after it; null while the stream is not back",
            "recovered": "trades that were stored by recovery",
            "reason": "why it cannot be filled, or not yet",
            "opened_at": "when it was noticed",
            "closed_at": "when it was filled or given up",
        },
        """
        SELECT m.exchange, m.symbol, m.base, m.quote, g.cause, g.state, g.after_ts, g.before_ts, g.recovered,
               g.reason, g.opened_at, g.closed_at
        FROM stream_gaps g JOIN markets m ON m.id = g.market_id
        """,
    ),
    View(
        "v_averages",
        "The price of a pair over all exchanges, every second; every minute where older than a week",
        {
            "symbol": "canonical pair, BTC-USDT",
            "ts": "when it was computed, whole seconds",
            "price": "in the quote asset",
            "method": "median, mean or vwap",
            "exchanges": "those whose last trade it was made of",
            "change_24h": "0.01 is 1 %; null where less than a day is stored",
            "high_24h": "median of the highest prices of the exchanges used",
            "low_24h": "median of the lowest prices of the exchanges used",
        },
        """
        SELECT base || '-' || quote, ts, price, method, exchanges, change_24h, high_24h, low_24h
        FROM price_averages
        """,
    ),
    View(
        "v_assets",
        "What is known of the assets behind the markets, and of the largest others",
        {
            "asset": "as CoinGecko calls it, bitcoin",
            "symbol": "the ticker, BTC",
            "name": "Bitcoin",
            "bases": "bases of our markets that are this asset",
            "categories": "what CoinMarketCap files it under",
            "description": "null: not told yet",
            "links": "lists of URLs by kind: website, source_code, technical_doc, …",
            "platforms": "contract address by platform; empty: a coin of its own chain",
            "launched_on": "day of its first block or sale; null: not told",
            "images": "URL by who serves it",
            "cmc_id": "as CoinMarketCap numbers it",
            "gone_at": "since when CoinGecko lists it no more",
            "described_at": "how old description, links and categories are",
        },
        """
        SELECT a.id, a.symbol, a.name,
               ARRAY(SELECT b.base FROM asset_bases b WHERE b.asset_id = a.id ORDER BY b.base),
               a.categories, a.description, a.links, a.platforms, a.launched_on, a.images, a.cmc_id,
               a.gone_at, a.described_at
        FROM assets a
        WHERE a.described_at IS NOT NULL OR EXISTS (SELECT FROM asset_bases b WHERE b.asset_id = a.id)
           OR EXISTS (SELECT FROM asset_metrics m WHERE m.asset_id = a.id)
        """,
    ),
    View(
        "v_asset_metrics",
        "Metrics of assets by the hour: of CoinGecko, of CoinMarketCap where that has none; TVL of DefiLlama",
        {
            "asset": "as CoinGecko calls it, bitcoin",
            "symbol": "the ticker, BTC",
            "ts": "the hour it was asked in",
            "source": "coingecko or coinmarketcap",
            "observed_at": "as old as its source says it is",
            "price_usd": "over the exchanges its source follows",
            "market_cap_usd": "price times circulating supply",
            "rank": "by market cap",
            "fdv_usd": "fully diluted valuation",
            "volume_24h_usd": "on the exchanges its source follows",
            "circulating_supply": "in the asset itself, like the other supplies",
            "total_supply": "made so far, less what was destroyed",
            "max_supply": "null: without a limit, or not known",
            "ath_usd": "all-time high",
            "ath_at": "when that was",
            "atl_usd": "all-time low",
            "atl_at": "when that was",
            "change_1h": "0.01 is 1 %",
            "change_24h": "0.01 is 1 %",
            "change_7d": "0.01 is 1 %",
            "change_30d": "0.01 is 1 %",
            "tvl_usd": "value locked in its chain, or in its protocols; null where DefiLlama has none",
        },
        """
        SELECT m.asset_id, a.symbol, m.ts, m.source, m.observed_at, m.price_usd, m.market_cap_usd, m.rank,
               m.fdv_usd, m.volume_24h_usd, m.circulating_supply, m.total_supply, m.max_supply,
               m.ath_usd, m.ath_at, m.atl_usd, m.atl_at,
               m.change_1h, m.change_24h, m.change_7d, m.change_30d, locked.tvl_usd
        FROM asset_metrics m JOIN assets a ON a.id = m.asset_id
        LEFT JOIN asset_metrics locked
            ON locked.asset_id = m.asset_id AND locked.ts = m.ts AND locked.source = 'defillama'
        WHERE m.source = 'coingecko' OR m.source = 'coinmarketcap' AND NOT EXISTS (
            SELECT FROM asset_metrics better
            WHERE better.asset_id = m.asset_id AND better.ts = m.ts AND better.source = 'coingecko'
        )
        """,
    ),
    View(
        "v_sentiment",
        "What each source says of an asset, or of the whole market, on each day; and the combined score",
        {
            "day": "UTC",
            "base": "of our markets, BTC; null: the whole market",
            "asset": "as CoinGecko calls it, bitcoin; null: the whole market, or not decided",
            "source": "fear_greed, gdelt, news, coingecko_votes, reddit, telegram, x; combined: made of them",
            "score": "from -1 to 1; null where the source only counts",
            "value": "as the source tells it",
            "scale": "of that: 0..100, -100..100, -1..1 or posts",
            "items": "how many texts or posts it is made of; null where that is not told",
            "detail": "of combined: parts, each with its score and weight; of texts: how many were positive",
            "told_at": "when its source was last asked",
        },
        """
        SELECT s.day, s.base, b.asset_id, s.source, s.score, s.value, s.scale, s.items, s.detail, s.told_at
        FROM sentiment s LEFT JOIN asset_bases b ON b.base = s.base
        WHERE s.value IS NOT NULL
        """,
    ),
    View(
        "v_news",
        "Articles, posts and messages, each once, and how they were scored",
        {
            "published_at": "as its outlet says",
            "source": "news, reddit or telegram",
            "outlet": "the feed, subreddit or channel",
            "title": "of a message without one, its beginning",
            "url": "where it can be read",
            "score": "from -1 to 1",
            "model": "what scored it, with its version",
            "bases": "the assets it names, by base of our markets",
            "copies": "URLs of copies by outlet",
            "seen_at": "when it was stored",
        },
        """
        SELECT published_at, source, outlet, title, url, score, model, bases, copies, seen_at FROM news
        """,
    ),
)


def create(connection: Connection) -> None:
    """Make every view what it says here, with its comments."""
    for view in VIEWS:
        columns = ", ".join(f'"{name}"' for name in view.columns)
        connection.execute(text(f"CREATE OR REPLACE VIEW {view.name} ({columns}) AS {view.query}"))
        connection.execute(text(f"COMMENT ON VIEW {view.name} IS {_literal(view.meaning)}"))
        for name, meaning in view.columns.items():
            connection.execute(text(f'COMMENT ON COLUMN {view.name}."{name}" IS {_literal(meaning)}'))


def _literal(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"
