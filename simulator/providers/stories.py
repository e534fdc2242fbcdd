"""Headlines about the simulated coins that follow their prices, the same on any machine."""

from __future__ import annotations

from typing import Final, NamedTuple

from coinwatch.times import MINUTE_US
from simulator.hashing import seed_of
from simulator.markets import BASES
from simulator.providers.coins import SimCoin, sim_coins

EVERY_US: Final = 20 * MINUTE_US
"""How often an outlet publishes."""
_DAY_MINUTES: Final = 1_440
_UP: Final = (
    "{name} rallies {percent} as spot demand returns",
    "Traders turn bullish on {name} after {percent} jump",
    "{name} ({symbol}) climbs to {price}, analysts see a breakout",
    "Fund inflows lift {name} for a third day",
)
_DOWN: Final = (
    "{name} slumps {percent} amid heavy liquidations",
    "Fear spreads as {name} falls {percent} to {price}",
    "{name} ({symbol}) tumbles, traders warn of further losses",
    "Outflows weigh on {name}, bears in control",
)
_CALM: Final = (
    "{name} holds at {price} ahead of rate decision",
    "What to know about the next {name} upgrade",
    "Developers publish proposal for {name} fees",
    "{name} volumes unchanged on the day",
)
_OF_NONE: Final = (
    "Regulators publish guidance on custody of digital assets",
    "Exchange hacked: hot wallet drained, withdrawals halted",
    "Payments company opens stablecoin service to merchants",
    "An avalanche of filings reaches the regulator",
)


class Story(NamedTuple):
    """One article."""

    slot: int
    """The number of the period of EVERY_US at whose start it was published."""
    title: str
    is_wire: bool
    """From an agency: every outlet publishes it under its own URL."""

    @property
    def published_us(self) -> int:
        return self.slot * EVERY_US


def story(outlet: str, slot: int) -> Story:
    """The story of ``outlet`` in a slot; every fourth is the agency's, the same for all outlets."""
    is_wire = slot % 4 == 0
    seed = seed_of("story", "wire" if is_wire else outlet, slot)
    if seed % 8 == 0:
        return Story(slot, f"{_OF_NONE[seed // 8 % len(_OF_NONE)]}, week {slot // 504 % 52 + 1}", is_wire)
    coins = traded()
    coin = coins[min(seed // 64 % len(coins), seed // 4_096 % len(coins))]  # the large ones more often
    at_us = slot * EVERY_US
    change = coin.change(at_us, _DAY_MINUTES)
    templates = _CALM if abs(change) < 1 else _UP if change > 0 else _DOWN
    price = coin.price(at_us)
    title = templates[seed // 2**20 % len(templates)].format(
        name=coin.name,
        symbol=coin.symbol,
        percent=f"{abs(change):.1f}%",
        price=f"${price:,.0f}" if price > 100 else f"${price:.4g}",
    )
    return Story(slot, f"{title} - day {at_us // 86_400_000_000 % 1_000}", is_wire)


def newest(outlet: str, now_us: int, count: int) -> list[Story]:
    """The newest stories of ``outlet``, the newest first."""
    slot = now_us // EVERY_US
    return [story(outlet, slot - back) for back in range(count)]


def traded() -> list[SimCoin]:
    """The coins that the simulated markets trade, the largest first."""
    return list(sim_coins().values())[: len(BASES)]
