"""The known markets: resolves typed symbols and market ids."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping

from coinwatch.errors import UnknownSymbol
from coinwatch.records import Market, Symbol
from coinwatch.symbols import QUOTES, parse_market, parse_symbol
from warehouse.markets import KnownMarket


class Catalogue:
    """The markets table, as of its last ``update``."""

    def __init__(self, always: Iterable[Market], exchanges: Collection[str]) -> None:
        """
        Args:
            always: the configured markets, which are known before the table has them.
            exchanges: those that can be streamed; their markets can be watched before they are streamed.
        """
        self._always = frozenset(always)
        self._streamable = frozenset(exchanges)
        self.update([])
        self._read_at = float("-inf")

    @property
    def age_s(self) -> float:
        """Seconds since the last update; infinite before the first."""
        return time.monotonic() - self._read_at

    def update(self, known: Collection[KnownMarket]) -> None:
        """Replace the known markets with those of the table."""
        exchanges: dict[Symbol, set[str]] = {}
        for market in (*self._always, *(row.market for row in known if row.is_active)):
            exchanges.setdefault(market.symbol, set()).add(market.exchange)
        self._by_id = {row.id: row.market for row in known}
        self._exchanges = {symbol: frozenset(names) for symbol, names in exchanges.items()}
        self._listed = frozenset(row.market.exchange for row in known if row.is_listed)
        self._read_at = time.monotonic()

    def market(self, market_id: int) -> Market | None:
        """The market of an id; None for an unknown id."""
        return self._by_id.get(market_id)

    def ids(self) -> Mapping[int, Market]:
        """The markets by id."""
        return self._by_id

    def resolve(self, typed: str) -> tuple[str | None, Symbol]:
        """The exchange (None: any) and the pair of a typed symbol.

        A market of an exchange whose list is not known is accepted if its spelling is valid.

        Raises:
            UnknownSymbol: if no market trades it.
        """
        if ":" not in typed:
            return None, parse_symbol(typed, self._exchanges.keys())
        exchanges = sorted(self._streamable.union(*self._exchanges.values()))
        try:
            market = parse_market(typed, exchanges, self._exchanges.keys())
        except UnknownSymbol:
            market = parse_market(typed, exchanges)
            if not self._may_exist(market) or market.symbol in self._exchanges:
                raise
            return market.exchange, market.symbol
        trading = self._exchanges[market.symbol]
        if market.exchange not in trading and not self._may_exist(market):
            near = tuple(f"{exchange}:{market.symbol}" for exchange in sorted(trading))
            raise UnknownSymbol(typed, f"{market.exchange} does not trade {market.symbol} here", near)
        return market.exchange, market.symbol

    def _may_exist(self, market: Market) -> bool:
        return (
            market.exchange in self._streamable
            and market.exchange not in self._listed
            and market.symbol.quote in QUOTES
        )
