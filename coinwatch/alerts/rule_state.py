"""How far a rule has got: its state, as it is stored with each claim. Frozen."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

_STORED_NAMES = {"fired_ts_us": "told_us", "late_firings": "told_late"}
"""The names of fields in the stored JSON, if they are not those of the struct."""


class RuleState(msgspec.Struct, frozen=True, omit_defaults=True, rename=_STORED_NAMES):
    """The state of a rule. It is stored with each claim, so that any endpoint can continue from it."""

    waiting: bool = False
    """Whether it has fired and waits until its condition is no longer met."""
    paused: bool = False
    """Whether it fired too often. Its owner can resume it."""
    armed_us: int | None = None
    """When it was last re-armed; None: when it was created."""
    fired_ts_us: int | None = None
    """The time of the price that fired it, while it waits."""
    holding_us: int | None = None
    """Since when its condition is met, if it has to hold."""
    snoozed_until_us: int | None = None
    recent_us: tuple[int, ...] = ()
    """When it fired within the last minutes, by the database's clock."""
    seen: Mapping[str, int] = {}
    """By feed, the last commit that this state includes. That one and earlier ones change nothing."""
    legs: Mapping[str, str] = {}
    """By market id, the memory of its condition tree; only what the last prices do not show."""
    late_firings: tuple[tuple[str, int, int], ...] = ()
    """The last late trades that fired it: feed, commit and time of each."""

    def has_fired_late_on(self, feed: str, tx: int) -> bool:
        """Whether late trades of a feed in commit ``tx`` fired it."""
        return any((feed, tx) == (late_feed, late_tx) for late_feed, late_tx, _ in self.late_firings)
