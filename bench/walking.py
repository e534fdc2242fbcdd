"""As bench.paced, at a price that rises a little with each trade: rules above it fire at a steady rate.

A process of its own for bench.alerts. The first line printed is JSON: where to connect, the trades.
"""

from __future__ import annotations

import asyncio
import sys

from bench.paced import serve_paced

FIRST_PRICE = 50_000.0
RISE_PER_S = 8e-6
"""Of the price. Of 100,000 rules evenly within 2 % of it on either side, 20 are reached each second."""


def _price(after_s: float) -> float:
    return FIRST_PRICE * (1 + RISE_PER_S * after_s)


if __name__ == "__main__":
    asyncio.run(serve_paced(int(sys.argv[1]), int(sys.argv[2]), _price))
