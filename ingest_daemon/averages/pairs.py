"""The last live trade of every market, and the average of every pair. Pure: no I/O."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from statistics import median

import msgspec

from coinwatch.averaging.average import Average, Candidate, Method
from coinwatch.averaging.average import average as average_of
from coinwatch.averaging.quarantine import Quarantine
from coinwatch.liveness import WHOLE_DAY_US
from coinwatch.records import Market, Symbol
from coinwatch.times import MINUTE_US, now_us
from warehouse.averages.store import LiveTrade, PairAverage
from warehouse.candles.chart_reads import DayStats, TradeRate
from warehouse.db.notifications import MarketMove

FORGET_US = 60 * MINUTE_US
"""A market that has been silent for this long is no longer among the inputs of an average."""
STABLECOINS = ("USDC", "USDT")
FOLDED_INTO = "USD"
BRIDGE = "BTC"
"""Its prices in a stablecoin and in USD imply the rate of a stablecoin that has no market of its own."""


class Now(msgspec.Struct, frozen=True):
    """The clocks of this process: one that may be set, and one that stops while the machine sleeps.

    An age is the greater of both differences, so that neither clock makes an old price look fresh.
    """

    wall_us: int
    steady_us: int

    @classmethod
    def read(cls) -> Now:
        """Read both clocks."""
        return cls(now_us(), time.monotonic_ns() // 1_000)

    def since(self, earlier: Now) -> int:
        """How long ago ``earlier`` was, in microseconds."""
        return max(self.wall_us - earlier.wall_us, self.steady_us - earlier.steady_us, 0)

    def back(self, wall_us: int) -> Now:
        """The moment at which the wall clock showed ``wall_us``; this moment if that is in the future."""
        ago_us = max(0, self.wall_us - wall_us)
        return Now(self.wall_us - ago_us, self.steady_us - ago_us)


class QuarantineChange(msgspec.Struct, frozen=True):
    """A market enters quarantine, because it is taken for another coin, or is released from it."""

    market_id: int
    market: Market
    since_us: int
    is_released: bool
    deviation: float


class _Last(msgspec.Struct, frozen=True):
    price: float
    ts_us: int
    arrived: Now


class _Memory(msgspec.Struct):
    """What is kept of an average from one second to the next."""

    quarantine: Quarantine
    excluded: frozenset[str] = frozenset()
    is_disputed: bool = False


class Pairs:
    """Takes in trades, markets and statistics; computes averages."""

    def __init__(
        self, method: Method, *, fold_stablecoins: bool = False, quarantined: Mapping[int, int] | None = None
    ) -> None:
        """Start without trades.

        Args:
            method: How prices are combined.
            fold_stablecoins: Whether prices in stablecoins are converted to USD and join its averages.
            quarantined: Markets in quarantine, by id, and since when (us) they deviate.
        """
        self._method = method
        self._folds = fold_stablecoins
        self._quarantined = dict(quarantined or {})
        self._markets: dict[int, Market] = {}
        self._ids: defaultdict[Symbol, dict[str, int]] = defaultdict(dict)
        self._last: dict[int, _Last] = {}
        self._day: dict[int, DayStats] = {}
        self._interval_us: dict[int, int] = {}
        self._memories: dict[tuple[Symbol, bool], _Memory] = {}
        self._changes: list[QuarantineChange] = []
        self._disputes: list[tuple[Symbol, bool]] = []

    @property
    def has_unknown_markets(self) -> bool:
        """Whether there are trades of markets that were not added."""
        return not self._last.keys() <= self._markets.keys()

    @property
    def traded(self) -> list[int]:
        """The ids of the markets that have a last trade."""
        return sorted(self._last)

    def add_markets(self, markets: Mapping[int, Market]) -> None:
        """Add ``markets``, by id."""
        for market_id, market in markets.items():
            self._markets[market_id] = market
            self._ids[market.symbol][market.exchange] = market_id

    def add_stored(self, trade: LiveTrade, now: Now) -> None:
        """Take in the last live trade of a market, as the warehouse has it."""
        known = self._last.get(trade.market_id)
        if known is None or trade.ts_us > known.ts_us:
            self._last[trade.market_id] = _Last(trade.price, trade.ts_us, now.back(trade.received_us))

    def add_move(self, move: MarketMove, now: Now) -> None:
        """Take in live trades that were stored just now."""
        known = self._last.get(move.market_id)
        # A trade from a clock that is ahead must not shut out all later trades.
        if known is None or move.last_ts_us >= known.ts_us or known.ts_us > now.wall_us:
            self._last[move.market_id] = _Last(move.last, move.last_ts_us, now)

    def set_statistics(self, day: Iterable[DayStats], rates: Iterable[TradeRate]) -> None:
        """Replace the statistics of the last 24 hours and the trade rates of all markets."""
        self._day = {stats.market_id: stats for stats in day}
        self._interval_us = {
            rate.market_id: rate.mean_interval_us for rate in rates if rate.mean_interval_us is not None
        }

    def averages(self, ts_us: int, now: Now) -> Iterator[PairAverage]:
        """The average of each pair that has one, one at a time."""
        averages: dict[Symbol, Average] = {}
        folded = self._foldable() if self._folds else set()
        for symbol in self._symbols(now):
            average = self._judge(symbol, self._candidates(symbol, now), now)
            if average is None:
                continue
            averages[symbol] = average
            if symbol not in folded:
                yield self._row(symbol, ts_us, average, now)
        rates = _rates(averages)
        for symbol in sorted(folded):
            average = self._folded(symbol, rates, now) or averages.get(symbol)
            if average is not None:
                yield self._row(symbol, ts_us, average, now)

    def take_changes(self) -> list[QuarantineChange]:
        """Return the markets quarantined or released since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def take_disputes(self) -> list[tuple[Symbol, bool]]:
        """Return the pairs on which exchanges stopped agreeing (True) or agree again since the last call."""
        disputes, self._disputes = self._disputes, []
        return disputes

    def _symbols(self, now: Now) -> list[Symbol]:
        self._last = {id_: last for id_, last in self._last.items() if now.since(last.arrived) < FORGET_US}
        return sorted({self._markets[id_].symbol for id_ in self._last if id_ in self._markets})

    def _foldable(self) -> set[Symbol]:
        """The pairs in USD whose averages include prices in stablecoins."""
        quotes = (*STABLECOINS, FOLDED_INTO)
        traded = (self._markets[id_].symbol for id_ in self._last if id_ in self._markets)
        return {Symbol(s.base, FOLDED_INTO) for s in traded if s.quote in quotes and s.base not in quotes}

    def _candidates(self, symbol: Symbol, now: Now, rate: float | None = None) -> list[Candidate]:
        """The markets of ``symbol``, converted by ``rate`` where there is one."""
        own = self._memory(symbol)
        memory = own if rate is None else self._memory(Symbol(symbol.base, FOLDED_INTO), folded=True)
        candidates = []
        for exchange, market_id in self._ids[symbol].items():
            last = self._last.get(market_id)
            if last is None:
                continue
            day = self._day.get(market_id)
            name = exchange if symbol.quote == FOLDED_INTO or rate is None else f"{exchange}:{symbol.quote}"
            candidates.append(
                Candidate(
                    name=name,
                    price=last.price * (rate or 1.0),
                    ts_us=last.ts_us,
                    age_us=now.since(last.arrived),
                    mean_interval_us=self._interval_us.get(market_id),
                    volume=day.quote_volume * (rate or 1.0) if day else 0.0,
                    was_excluded=name in memory.excluded,
                    is_trusted=own.quarantine.trusts(exchange) and memory.quarantine.trusts(name),
                    rate=None if symbol.quote == FOLDED_INTO else rate,
                )
            )
        return candidates

    def _folded(self, symbol: Symbol, rates: Mapping[str, tuple[float, bool]], now: Now) -> Average | None:
        candidates = self._candidates(symbol, now, 1.0)
        for coin, (rate, is_implied) in rates.items():
            # A rate implied by prices of the bridge cannot be used to convert them.
            if not (is_implied and symbol.base == BRIDGE):
                candidates += self._candidates(Symbol(symbol.base, coin), now, rate)
        return self._judge(symbol, candidates, now, folded=True)

    def _judge(
        self, symbol: Symbol, candidates: list[Candidate], now: Now, *, folded: bool = False
    ) -> Average | None:
        memory = self._memory(symbol, folded=folded)
        judgement = average_of(candidates, self._method)
        memory.excluded = memory.excluded - judgement.trusted | judgement.excluded
        changes = memory.quarantine.update(judgement, now.wall_us)
        if folded:
            return judgement.average
        for change in changes:
            market_id = self._ids[symbol][change.name]
            self._changes.append(
                QuarantineChange(
                    market_id,
                    self._markets[market_id],
                    change.since_us,
                    change.is_released,
                    change.deviation,
                )
            )
        is_disputed = judgement.average is None and bool(judgement.deviations)
        if is_disputed != memory.is_disputed and (is_disputed or judgement.average):
            memory.is_disputed = is_disputed
            self._disputes.append((symbol, is_disputed))
        return judgement.average

    def _memory(self, symbol: Symbol, *, folded: bool = False) -> _Memory:
        memory = self._memories.get((symbol, folded))
        if memory is None:
            ids = {} if folded else self._ids[symbol]
            since = {name: self._quarantined[id_] for name, id_ in ids.items() if id_ in self._quarantined}
            memory = self._memories[symbol, folded] = _Memory(Quarantine(since))
        return memory

    def _row(self, symbol: Symbol, ts_us: int, made: Average, now: Now) -> PairAverage:
        ids = (self._ids[symbol].get(name) for name, given in made.inputs.items() if given.used)
        days = [
            day
            for id_ in ids
            if id_ is not None and (day := self._day.get(id_)) and now.wall_us - day.first_us >= WHOLE_DAY_US
        ]
        if not days:
            return PairAverage(symbol=symbol, ts_us=ts_us, average=made)
        return PairAverage(
            symbol=symbol,
            ts_us=ts_us,
            average=made,
            change_24h=made.price / median(day.open for day in days) - 1,
            # The price is newer than the statistics and may lie outside them.
            high_24h=max(made.price, median(day.high for day in days)),
            low_24h=min(made.price, median(day.low for day in days)),
        )


def _rates(averages: Mapping[Symbol, Average]) -> dict[str, tuple[float, bool]]:
    """The price of each stablecoin in USD, and whether it is only implied."""
    rates: dict[str, tuple[float, bool]] = {}
    for coin in STABLECOINS:
        own = averages.get(Symbol(coin, FOLDED_INTO))
        here, there = averages.get(Symbol(BRIDGE, FOLDED_INTO)), averages.get(Symbol(BRIDGE, coin))
        if own is not None:
            rates[coin] = own.price, False
        elif here is not None and there is not None:
            rates[coin] = here.price / there.price, True
    return rates
