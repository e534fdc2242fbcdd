"""The endpoint over real sockets and real Postgres."""

from __future__ import annotations

from tests.app.alerts.conftest import Endpoint, Exchange


async def test_a_seed_watch_below_the_price_is_answered_by_exactly_one_alert(
    endpoint: Endpoint, exchange: Exchange
) -> None:
    await exchange.trade("binance:BTC-USDC", 50_000.0)
    async with endpoint.client() as client:
        ack = await client.ask(cmd="watch", symbol="btcusdc", price=1.0, id=7)
        assert ack["type"] == "ack"
        assert ack["id"] == 7
        await client.nothing_more()

        (trade, *_) = await exchange.trade("binance:BTC-USDC", 50_001.0, 50_002.0)
        alert = await client.read(timeout_s=1)
        assert alert.pop("ts").endswith("Z")
        assert alert == {
            "type": "alert",
            "event_id": 1,
            "rule_id": ack["rule_id"],
            "symbol": "BTC-USDC",
            "exchange": "binance",
            "price": trade.price,
            "message": "Take profit on btcusdc",
        }
        await exchange.trade("binance:BTC-USDC", 50_003.0)
        await exchange.trade("binance:BTC-USDC", 60_000.0)
        assert (await client.ask(cmd="list"))["rules"] == []
        await client.nothing_more()
