"""How several daemons share the markets. Pure: no I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from coinwatch.records import Market


def fair_share(wanted: int, daemons: int) -> int:
    """How many of ``wanted`` markets each of ``daemons`` may hold, so that together they hold all.

    Zero daemons count as one: a daemon may not see its own heartbeat yet.
    """
    return -(-wanted // max(1, daemons))


def to_release(held: Collection[Market], share: int) -> list[Market]:
    """The markets to release, so that at most ``share`` of ``held`` are left.

    Exchanges with the fewest markets are released first and at most one is divided, so that the rest
    needs few sockets. The order of ``held`` does not matter.
    """
    by_exchange: defaultdict[str, list[Market]] = defaultdict(list)
    for market in sorted(held):
        by_exchange[market.exchange].append(market)
    smallest_first: Sequence[list[Market]] = sorted(
        by_exchange.values(), key=lambda group: (len(group), group[0])
    )
    surplus = max(0, len(held) - max(0, share))
    return [market for group in smallest_first for market in reversed(group)][:surplus]
