"""Parsing of symbols and markets as people type them: ``btcusdc``, ``BTC/USDC``, ``Binance:btc_usdc``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from coinwatch.errors import UnknownSymbol
from coinwatch.records import Market, Symbol

QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "USDE", "PYUSD", "DAI", "USD", "EUR", "GBP", "JPY", "CHF"),
    *("AUD", "CAD", "BRL", "TRY", "KRW", "INR", "MXN", "PLN", "ZAR", "SGD"),
    *("BTC", "ETH", "BNB", "SOL"),
)
"""Quote assets, used to split spellings without a separator."""

_LONGEST_FIRST = sorted(QUOTES, key=len, reverse=True)
_SEPARATOR = re.compile(r"[-/_\s]+")
_ASSET = re.compile(r"[A-Z0-9]{1,20}")
_EXCHANGE = re.compile(r"[a-z][a-z0-9]{1,19}")


def parse_symbol(text: str, known: Collection[Symbol] = ()) -> Symbol:
    """Resolve a typed pair to its canonical symbol.

    A spelling without separator is split to match a pair of ``known``, else before the longest quote
    asset it ends with.

    Args:
        text: What was typed.
        known: The pairs that exist; when given, the result is one of them.

    Raises:
        UnknownSymbol: The text is no pair, or not a known one; carries near matches from ``known``.
    """
    typed = text.strip().upper()
    parts = [part for part in _SEPARATOR.split(typed) if part]
    if len(parts) == 2 and all(_ASSET.fullmatch(part) for part in parts):
        symbol = Symbol(parts[0], parts[1])
    elif len(parts) == 1 and _ASSET.fullmatch(typed):
        symbol = _split(text, typed, known)
    else:
        raise UnknownSymbol(text, "not a pair; write it like BTC-USDT")
    if known and symbol not in known:
        raise UnknownSymbol(text, f"no market trades {symbol} here", _near(str(symbol), known))
    return symbol


def parse_market(text: str, exchanges: Collection[str] = (), known: Collection[Symbol] = ()) -> Market:
    """Resolve ``exchange:pair``. Raises UnknownSymbol for a wrong exchange or pair."""
    exchange, colon, pair = text.strip().partition(":")
    exchange = exchange.strip().lower()
    if not colon or not _EXCHANGE.fullmatch(exchange):
        raise UnknownSymbol(text, "not a market; write it like binance:BTC-USDT")
    if exchanges and exchange not in exchanges:
        near = tuple(difflib.get_close_matches(exchange, exchanges, n=3, cutoff=0.5))
        raise UnknownSymbol(
            text, f"unknown exchange {exchange!r}; there are {', '.join(sorted(exchanges))}", near
        )
    return Market(exchange, parse_symbol(pair, known))


def _split(text: str, typed: str, known: Collection[Symbol]) -> Symbol:
    candidates = sorted(symbol for symbol in known if symbol.base + symbol.quote == typed)
    if len(candidates) > 1:
        raise UnknownSymbol(text, "matches several pairs", tuple(map(str, candidates)))
    if candidates:
        return candidates[0]
    for quote in _LONGEST_FIRST:
        if typed.endswith(quote) and len(typed) > len(quote):
            return Symbol(typed.removesuffix(quote), quote)
    raise UnknownSymbol(text, "no known quote asset at its end; write it like BTC-USDT", _near(typed, known))


def _near(typed: str, known: Collection[Symbol]) -> tuple[str, ...]:
    return tuple(difflib.get_close_matches(typed, [str(symbol) for symbol in known], n=3, cutoff=0.5))
