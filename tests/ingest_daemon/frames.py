"""Frames as the exchanges spell them, for tests that only need some."""

from __future__ import annotations

import json

START_MS = 1_773_500_000_000


def binance(native: str, *trade_ids: int, start_ms: int = START_MS) -> list[str]:
    return [
        json.dumps(
            {
                "stream": f"{native.lower()}@aggTrade",
                "data": {
                    "e": "aggTrade",
                    "E": start_ms + trade_id,
                    "s": native,
                    "a": trade_id,
                    "p": "0.21448000",
                    "q": "2062.90000000",
                    "f": trade_id,
                    "l": trade_id,
                    "T": start_ms + trade_id,
                    "m": False,
                    "M": True,
                },
            }
        )
        for trade_id in trade_ids
    ]


def coinbase(native: str, *trade_ids: int, kind: str = "match") -> list[str]:
    """Matches; with ``kind="last_match"`` the trade before the subscription."""
    return [
        json.dumps(
            {
                "type": kind,
                "trade_id": trade_id,
                "maker_order_id": "a",
                "taker_order_id": "b",
                "side": "sell",
                "size": "0.07",
                "price": "14.7776",
                "product_id": native,
                "sequence": trade_id,
                "time": "2026-04-17T16:43:37.027441Z",
            }
        )
        for trade_id in trade_ids
    ]
