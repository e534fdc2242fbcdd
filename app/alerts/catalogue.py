"""Which markets there are: what a typed symbol means, and which market an id stands for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from coinwatch.errors import UnknownSymbol
from coinwatch.records import Market, Symbol
from coinwatch.symbols import parse_market, parse_symbol


class Catalogue:
    """The markets table as last read. Its reader calls ``update``."""

    def __init__(self, always: Iterable[Market]) -> None:
        """``always``: the configured markets, known even before the table has them."""
        self._always = frozenset(always)
        self.update({})
        self._read_at = float("-inf")

    @property
    def age_s(self) -> float:
        """Seconds since the table was read; infinite before the first time."""
        return time.monotonic() - self._read_at

    def update(self, by_id: Mapping[int, Market]) -> None:
        """Take over what the table holds now."""
        exchanges: dict[Symbol, set[str]] = {}
        for market in (*self._always, *by_id.values()):
            exchanges.setdefault(market.symbol, set()).add(market.exchange)
        self._by_id = dict(by_id)
        self._exchanges = {symbol: frozenset(names) for symbol, names in exchanges.items()}
        self._read_at = time.monotonic()

    def market(self, market_id: int) -> Market | None:
        return self._by_id.get(market_id)

    def ids(self) -> Mapping[int, Market]:
        return self._by_id

    def resolve(self, typed: str) -> tuple[str | None, Symbol]:
        """The exchange (None: any) and pair that ``typed`` means.

        Raises UnknownSymbol when no market trades it.
        """
        known = self._exchanges.keys()
        if ":" not in typed:
            return None, parse_symbol(typed, known)
        every = frozenset[str]().union(*self._exchanges.values())
        market = parse_market(typed, sorted(every), known)
        trading = self._exchanges[market.symbol]
        if market.exchange not in trading:
            near = tuple(f"{exchange}:{market.symbol}" for exchange in sorted(trading))
            raise UnknownSymbol(typed, f"{market.exchange} does not trade {market.symbol} here", near)
        return market.exchange, market.symbol
