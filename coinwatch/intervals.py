"""Candle intervals."""

from __future__ import annotations

from enum import StrEnum

from coinwatch.errors import CoinwatchError
from coinwatch.times import SECOND_US


class Interval(StrEnum):
    """The length of a candle. Each divides the UTC day evenly, so all markets share one grid."""

    M1 = "1m"
    M5 = "5m"
    M15 = "15m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"

    @property
    def seconds(self) -> int:
        """The length in seconds."""
        return _SECONDS[self]

    @property
    def us(self) -> int:
        """The length in microseconds."""
        return _SECONDS[self] * SECOND_US

    def floor(self, ts_us: int) -> int:
        """The open time of the candle that ``ts_us`` falls in."""
        return ts_us - ts_us % self.us

    def ceil(self, ts_us: int) -> int:
        """The first open time at or after ``ts_us``."""
        return -(-ts_us // self.us) * self.us

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Parse ``text``, such as ``5m``. Raises CoinwatchError that lists the intervals."""
        try:
            return cls(text.strip().lower())
        except ValueError:
            known = ", ".join(cls)
            raise CoinwatchError(f"unknown interval {text[:20]!r}: use one of {known}") from None


_SECONDS = {
    Interval.M1: 60,
    Interval.M5: 300,
    Interval.M15: 900,
    Interval.H1: 3_600,
    Interval.H4: 14_400,
    Interval.D1: 86_400,
}
