"""Quarantine of markets that stay more than 20 % from the other markets of their pair.

Such a market is most likely another coin with the same ticker. ``average`` excludes it at once; after
an hour it is quarantined. Pure: no I/O.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coinwatch.averaging.average import Judgement
from coinwatch.times import MINUTE_US

QUARANTINE_AFTER_US = 60 * MINUTE_US


class Change(msgspec.Struct, frozen=True):
    """A market was quarantined or released."""

    name: str
    since_us: int
    """Since when it has been more than 20 % from the others."""
    is_released: bool
    deviation: float
    """The distance from the others now; 0.2 is 20 %."""


class _Suspect(msgspec.Struct):
    since_us: int
    compared_us: int
    is_quarantined: bool = False


class Quarantine:
    """The markets of one pair that are not trusted, by candidate name."""

    def __init__(self, held: Mapping[str, int] | None = None) -> None:
        """``held``: the quarantined names, and since when they deviate (microseconds)."""
        self._suspects = {name: _Suspect(since, since, True) for name, since in (held or {}).items()}

    def trusts(self, name: str) -> bool:
        """Whether the market is trusted: neither deviating nor quarantined."""
        return name not in self._suspects

    def update(self, judgement: Judgement, now_us: int) -> list[Change]:
        """Apply the deviations of ``judgement``; returns the markets it quarantined or released.

        A market that is not quarantined is trusted again after an hour without another to compare with.
        """
        changes = []
        for name, deviation in sorted(judgement.deviations.items()):
            suspect = self._suspects.get(name)
            if name in judgement.trusted:
                if suspect is not None:
                    del self._suspects[name]
                    if suspect.is_quarantined:
                        changes.append(Change(name, suspect.since_us, True, deviation))
                continue
            if suspect is None:
                suspect = self._suspects[name] = _Suspect(now_us, now_us)
            suspect.compared_us = now_us
            if not suspect.is_quarantined and now_us - suspect.since_us >= QUARANTINE_AFTER_US:
                suspect.is_quarantined = True
                changes.append(Change(name, suspect.since_us, False, deviation))
        self._suspects = {
            name: suspect
            for name, suspect in self._suspects.items()
            if suspect.is_quarantined or now_us - suspect.compared_us < QUARANTINE_AFTER_US
        }
        return changes
