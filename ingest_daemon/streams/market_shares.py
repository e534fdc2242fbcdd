"""How several daemons share the markets. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from coinwatch.records import Market


def fair_share(wanted: int, daemons: int) -> int:
    """How many of ``wanted`` markets one of ``daemons`` may have, so that together they have all.

    A daemon that does not see itself yet counts as one.
    """
    return -(-wanted // max(1, daemons))


def to_release(held: Collection[Market], share: int) -> list[Market]:
    """What to give up of ``held`` so that no more than ``share`` are left.

    The exchanges with the fewest markets go first and at most one is divided, so that what is kept
    needs few sockets. The same whatever the order of ``held``.
    """
    by_exchange: defaultdict[str, list[Market]] = defaultdict(list)
    for market in sorted(held):
        by_exchange[market.exchange].append(market)
    smallest_first: Sequence[list[Market]] = sorted(
        by_exchange.values(), key=lambda group: (len(group), group[0])
    )
    surplus = max(0, len(held) - max(0, share))
    return [market for group in smallest_first for market in reversed(group)][:surplus]
