"""The subscriber's library: watch a price, be told once, miss nothing.

async with AlertClient("ws://127.0.0.1:9090/ws", name="my-bot", after=last_seen) as client:
    await client.watch("btcusdt", above=70_000)
    async for alert in client:
        print(alert.message, alert.price)
"""

from coinwatch.client.alerts import AlertClient, Watch

__all__ = ["AlertClient", "Watch"]
