"""Indicators computed from candles: moving averages, bands and oscillators. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import talib
from numpy.typing import NDArray

from coinwatch.errors import CoinwatchError
from coinwatch.records import Candle
from coinwatch.times import DAY_US

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Candles as arrays."""

    opens_us: NDArray[np.int64]
    high: Array
    low: Array
    close: Array
    volume: Array

    @classmethod
    def of(cls, candles: Sequence[Candle]) -> Series:
        return cls(
            np.array([candle.open_ts_us for candle in candles], dtype=np.int64),
            *(
                np.array([getattr(candle, name) for candle in candles], dtype=np.float64)
                for name in ("high", "low", "close", "volume")
            ),
        )


@dataclass(frozen=True)
class Indicator:
    """An indicator with its parameters: ``SMA 20``, ``BB 20 2``, ``MACD 12 26 9``."""

    kind: str
    numbers: tuple[float, ...]

    def __str__(self) -> str:
        return " ".join([self.kind, *(f"{number:g}" for number in self.numbers)])

    @property
    def has_pane(self) -> bool:
        """Whether it is drawn below the prices rather than over them."""
        return _KINDS[self.kind].has_pane

    @property
    def is_running(self) -> bool:
        """Whether it is a running sum, of which only differences are meaningful."""
        return _KINDS[self.kind].is_running

    @property
    def needs(self) -> int:
        """Candles until its first value."""
        return _KINDS[self.kind].needs(*self.numbers)

    def warm_up(self, length_us: int) -> int:
        """Candles of ``length_us`` to read before the first shown.

        After that many, an exponential average keeps less than 0.05 % of its start.
        """
        if self.kind == "VWAP":
            return DAY_US // length_us if length_us < DAY_US else 0
        return _KINDS[self.kind].warm_up(*self.numbers)

    def compute(self, series: Series) -> dict[str, Array]:
        """Its lines by name, a value per candle; NaN where too few candles precede it."""
        if len(series.close) < self.needs:
            empty = np.full(len(series.close), np.nan)
            return dict.fromkeys(_KINDS[self.kind].names, empty)
        lines = _KINDS[self.kind].compute(series, *self.numbers)
        return dict(zip(_KINDS[self.kind].names, lines, strict=True))

    def moving(self, prices: Sequence[float]) -> list[float | None]:
        """A moving average of ``prices``. Raises ValueError for other indicators."""
        if self.kind not in MOVING_AVERAGES:
            raise ValueError(f"{self} is not a moving average of prices")
        nothing = np.array([], dtype=np.float64)
        series = Series(
            np.array([], dtype=np.int64), nothing, nothing, np.array(prices, dtype=np.float64), nothing
        )
        (line,) = self.compute(series).values()
        return [None if np.isnan(value) else float(value) for value in line]


@dataclass(frozen=True)
class Line:
    """A line of an indicator, aligned with the buckets of its chart."""

    name: str
    values: tuple[float | None, ...]
    indicator: str = ""
    """The indicator it is part of."""
    has_pane: bool = False
    """Whether it is drawn in a pane of its indicator rather than over the prices."""
    is_bars: bool = False

    @property
    def last(self) -> float | None:
        """Its newest value."""
        return next((value for value in reversed(self.values) if value is not None), None)

    @property
    def pane(self) -> str:
        """The name of its pane; empty: over the prices."""
        return self.indicator if self.has_pane else ""


@dataclass(frozen=True)
class _Kind:
    defaults: tuple[float, ...]
    limits: tuple[tuple[float, float], ...]
    names: tuple[str, ...]
    """Of its lines; empty for the indicator's own name."""
    compute: Callable[..., tuple[Array, ...]]
    needs: Callable[..., int]
    warm_up: Callable[..., int]
    has_pane: bool = False
    is_running: bool = False


def _vwap(series: Series) -> tuple[Array]:
    """Of the UTC day so far, of typical prices, like the stored indicator."""
    typical = (series.high + series.low + series.close) / 3
    starts = np.flatnonzero(np.diff(series.opens_us // DAY_US, prepend=-1))
    worth, amount = np.cumsum(typical * series.volume), np.cumsum(series.volume)
    lengths = np.diff(np.append(starts, len(typical)))
    before_worth = np.repeat(np.where(starts > 0, worth[starts - 1], 0.0), lengths)
    before_amount = np.repeat(np.where(starts > 0, amount[starts - 1], 0.0), lengths)
    traded = amount - before_amount
    with np.errstate(divide="ignore", invalid="ignore"):
        return (np.where(traded > 0, (worth - before_worth) / traded, np.nan),)


def _macd(series: Series, fast: float, slow: float, signal: float) -> tuple[Array, ...]:
    line, smoothed, histogram = talib.MACD(series.close, int(fast), int(slow), int(signal))
    return line, smoothed, histogram


def _bands(series: Series, length: float, deviations: float) -> tuple[Array, ...]:
    upper, middle, lower = talib.BBANDS(series.close, int(length), deviations, deviations)
    return upper, middle, lower


_LENGTH = (2.0, 300.0)
_SHORT = (2.0, 100.0)
MOVING_AVERAGES = ("SMA", "EMA")
_KINDS = {
    "SMA": _Kind(
        (20,),
        (_LENGTH,),
        ("",),
        lambda series, n: (talib.SMA(series.close, int(n)),),
        needs=lambda n: int(n),
        warm_up=lambda n: int(n) - 1,
    ),
    "EMA": _Kind(
        (20,),
        (_LENGTH,),
        ("",),
        lambda series, n: (talib.EMA(series.close, int(n)),),
        needs=lambda n: int(n),
        warm_up=lambda n: 4 * int(n),
    ),
    "BB": _Kind(
        (20, 2),
        (_LENGTH, (0.5, 5.0)),
        ("upper", "middle", "lower"),
        _bands,
        needs=lambda n, k: int(n),
        warm_up=lambda n, k: int(n) - 1,
    ),
    "VWAP": _Kind((), (), ("",), _vwap, needs=lambda: 1, warm_up=lambda: 0),
    "RSI": _Kind(
        (14,),
        (_SHORT,),
        ("",),
        lambda series, n: (talib.RSI(series.close, int(n)),),
        needs=lambda n: int(n) + 1,
        warm_up=lambda n: 8 * int(n),
        has_pane=True,
    ),
    "MACD": _Kind(
        (12, 26, 9),
        (_SHORT, _SHORT, _SHORT),
        ("", "signal", "histogram"),
        _macd,
        needs=lambda fast, slow, signal: int(max(fast, slow) + signal),
        warm_up=lambda fast, slow, signal: 4 * int(max(fast, slow) + signal),
        has_pane=True,
    ),
    "OBV": _Kind(
        (),
        (),
        ("",),
        lambda series: (talib.OBV(series.close, series.volume),),
        needs=lambda: 2,
        warm_up=lambda: 0,
        has_pane=True,
        is_running=True,
    ),
}
KINDS = tuple(_KINDS)
_ALIASES = {"BOLLINGER": "BB", "BBANDS": "BB", "MA": "SMA"}
_FORM = re.compile(r"([A-Za-z]+)[\s_-]*([\d.,\s/_-]*)")


def parse_indicator(text: str, kinds: Sequence[str] = KINDS) -> Indicator:
    """``SMA 20``, ``ema50``, ``bb 20 2``, ``RSI``: what is left out takes its usual value.

    Raises CoinwatchError with the correct form.
    """
    match = _FORM.fullmatch(text.strip()[:60])
    name = match[1].upper() if match else ""
    name = _ALIASES.get(name, name)
    if match is None or name not in kinds:
        raise CoinwatchError(f"{text[:30]!r} is not an indicator; use one of {examples(kinds)}")
    kind = _KINDS[name]
    try:
        given = tuple(float(part) for part in re.split(r"[\s,/_-]+", match[2].strip()) if part)
    except ValueError:
        raise CoinwatchError(f"{text[:30]!r}: parameters must be numbers, as in {_example(name)}") from None
    if len(given) > len(kind.defaults):
        raise CoinwatchError(f"{text[:30]!r}: too many parameters; write it like {_example(name)}")
    numbers = given + tuple(float(number) for number in kind.defaults[len(given) :])
    for place, (number, (low, high)) in enumerate(zip(numbers, kind.limits, strict=True)):
        if not low <= number <= high:
            raise CoinwatchError(f"{text[:30]!r}: {number:g} must be between {low:g} and {high:g}")
        is_length = not (name == "BB" and place == 1)
        if is_length and number != int(number):
            raise CoinwatchError(f"{text[:30]!r}: {number:g} must be a whole number of candles")
    return Indicator(name, numbers)


def examples(kinds: Sequence[str] = KINDS) -> str:
    """Each of ``kinds`` with its usual numbers."""
    return ", ".join(_example(name) for name in kinds)


def _example(name: str) -> str:
    return str(Indicator(name, tuple(float(number) for number in _KINDS[name].defaults)))
