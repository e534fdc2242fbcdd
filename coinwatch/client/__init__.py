"""The client library: watch prices and receive each alert once, or follow prices as they change.

async with AlertClient("ws://127.0.0.1:9090/ws", name="my-bot", after=last_seen) as client:
    await client.watch("btcusdt", above=70_000)
    async for alert in client:
        print(alert.message, alert.price)

async with PriceStream("ws://127.0.0.1:9090/prices", ["USD", "EUR"]) as prices:
    async for update in prices:
        print(update.currency, update.price)

``coinwatch.client.sync`` has the same for programs without an event loop.
"""

from coinwatch.client.alerts import AlertClient, Watch
from coinwatch.client.answers import Previewed, PreviewSpan, WatchedRule, WouldFire
from coinwatch.client.prices import PriceStream, PriceUpdate

__all__ = [
    "AlertClient",
    "PreviewSpan",
    "Previewed",
    "PriceStream",
    "PriceUpdate",
    "Watch",
    "WatchedRule",
    "WouldFire",
]
