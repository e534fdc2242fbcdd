"""Markets of one pair that are over 20 % from the others: left out at once, quarantined after an hour.

Such a market is most likely another coin of the same ticker. Pure; ``averaging`` judges, this remembers.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from coinwatch.averaging.average import Judgement
from coinwatch.times import MINUTE_US

QUARANTINE_AFTER_US = 60 * MINUTE_US


class Change(msgspec.Struct, frozen=True):
    """A market was quarantined, or released."""

    name: str
    since_us: int
    """From when on it was over 20 % from the others."""
    is_released: bool
    deviation: float
    """From the others, now."""


class _Astray(msgspec.Struct):
    since_us: int
    compared_us: int
    is_quarantined: bool = False


class Quarantine:
    def __init__(self, held: Mapping[str, int] | None = None) -> None:
        """``held``: the names that are in quarantine, and since when they are off."""
        self._astray = {name: _Astray(since, since, True) for name, since in (held or {}).items()}

    def trusts(self, name: str) -> bool:
        return name not in self._astray

    def heed(self, judgement: Judgement, now_us: int) -> list[Change]:
        """Remember what ``judgement`` says of each market; who was quarantined or released by it.

        An hour without anybody to compare with clears a market that is not in quarantine.
        """
        changes = []
        for name, deviation in sorted(judgement.deviations.items()):
            astray = self._astray.get(name)
            if name in judgement.trusted:
                if astray is not None:
                    del self._astray[name]
                    if astray.is_quarantined:
                        changes.append(Change(name, astray.since_us, True, deviation))
                continue
            if astray is None:
                astray = self._astray[name] = _Astray(now_us, now_us)
            astray.compared_us = now_us
            if not astray.is_quarantined and now_us - astray.since_us >= QUARANTINE_AFTER_US:
                astray.is_quarantined = True
                changes.append(Change(name, astray.since_us, False, deviation))
        self._astray = {
            name: astray
            for name, astray in self._astray.items()
            if astray.is_quarantined or now_us - astray.compared_us < QUARANTINE_AFTER_US
        }
        return changes
