"""Builds the tree of a condition for one market of a pair, or for the pair as a whole. Pure: no I/O.

A function for each condition, in ``app.alerts.rules.builders``, registers itself with ``builds``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

from app.alerts.rules.condition_tree import Crossing, Node, Pulse
from app.alerts.rules.market_state import MarketState, Pair, PriceSeries, Reading
from app.alerts.rules.threshold_index import Series, Threshold
from coinwatch.alerts.conditions import Condition, Direction, Priced, Source, Way

C = TypeVar("C", bound=Condition)
Build: TypeAlias = "Callable[[ConditionTreeBuilder, C], Node]"
_BUILDERS: dict[type[Condition], Build[Any]] = {}


class ConditionTreeBuilder:
    """Builds trees for one place, and offers builders the series and thresholds they need."""

    def __init__(
        self,
        market_state: MarketState,
        pair: Pair,
        market: PriceSeries | None,
        *,
        owner: Any,
        hysteresis: float,
        was_met: bool,
        memory: Iterable[bool] = (),
    ) -> None:
        """
        Args:
            market_state: the state of all markets.
            pair: the pair of the rule.
            market: the market to build for; None for the pair as a whole.
            owner: the rule that the thresholds belong to.
            hysteresis: that of the rule's terms.
            was_met: without ``memory``, whether the condition was met when last known.
            memory: that of the tree built for this place before.
        """
        self.market_state = market_state
        self.pair = pair
        self.owner = owner
        self.hysteresis = hysteresis
        self._market = market
        self._was_met = was_met
        self._memory = iter(memory)

    def build(self, condition: Condition) -> Node:
        """The tree of ``condition``, with its thresholds in the series they depend on."""
        return _BUILDERS[type(condition)](self, condition)

    @property
    def market(self) -> PriceSeries:
        """The market to build for. Only for conditions on each market."""
        assert self._market is not None  # noqa: S101  # see is_per_market
        return self._market

    def prices(self, condition: Priced) -> PriceSeries:
        """The prices of the condition's source."""
        match condition.source:
            case Source.AVERAGE:
                return self.pair.average
            case Source.CANDLE:
                assert condition.interval is not None  # noqa: S101  # see Priced.refuse_contradictions
                return self.market_state.closes(self.market, condition.interval)
            case Source.TRADE:
                return self.market

    def price_threshold(self, series: Series, price: float, *, is_up: bool) -> Threshold:
        """A threshold at a price; the hysteresis is a percentage of it."""
        band = price * self.hysteresis / 100
        off = price - band if is_up else price + band
        return self._start(Threshold(self.owner, series, on=price, off=off, is_up=is_up))

    def threshold(
        self, series: Series, on: float, *, is_up: bool = True, is_strict: bool = False
    ) -> Threshold:
        """A threshold of a number; the hysteresis is in the unit of that number."""
        off = on - self.hysteresis if is_up else on + self.hysteresis
        return self._start(Threshold(self.owner, series, on=on, off=off, is_up=is_up, is_strict=is_strict))

    def reading_threshold(
        self, reading: Reading, level: float, side: Direction = Direction.ABOVE
    ) -> Threshold:
        """A threshold of a number that is read from the warehouse."""
        return self.threshold(self.market_state.reading(reading), level, is_up=side is Direction.ABOVE)

    def crossing(self, series: Series, level: float, way: Way, *, band: float) -> Node:
        """A crossing of ``level``; ``band`` is the hysteresis in the unit of the series."""
        is_up = way is not Way.DOWN
        off = level - band if is_up else level + band
        threshold = self._start(Threshold(self.owner, series, on=level, off=off, is_up=is_up))
        return (
            Pulse(threshold)
            if way is Way.EITHER
            else Crossing(threshold, was_off=self.remembered(self._was_met))
        )

    def remembered(self, default: bool = False) -> bool:
        """The next bit of the memory of the tree before; ``default`` without one."""
        return next(self._memory, default)

    def _start(self, threshold: Threshold) -> Threshold:
        value, remembered = threshold.series.value, next(self._memory, None)
        was_on = self._was_met if remembered is None else remembered
        threshold.start(
            is_on=bool(remembered) if value is None else threshold.would_be_on(value, was_on=was_on)
        )
        return threshold


def builds(struct: type[C]) -> Callable[[Build[C]], Build[C]]:
    """Register a function as the builder of a condition."""

    def register(build: Build[C]) -> Build[C]:
        _BUILDERS[struct] = build
        return build

    return register
