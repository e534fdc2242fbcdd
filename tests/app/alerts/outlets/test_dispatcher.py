"""Events of clients, delivered to their outlets."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from psycopg import AsyncConnection
from sqlalchemy import URL
from standardwebhooks import Webhook, WebhookVerificationError

from app.alerts.outlets import apprise_process, apprise_sender, webhooks
from app.alerts.outlets.dispatcher import LEASE_S, MOST_ATTEMPTS, RETRIES_S, retry_in_s
from app.alerts.outlets.webhooks import Outcome, Webhooks, check_secret, check_url
from coinwatch.alerts import Alert
from coinwatch.errors import SettingsError
from tests.app.alerts.conftest import Endpoint, Exchange
from tests.app.alerts.outlets.webhook_receiver import Receiver
from tests.waiting import eventually
from warehouse.alerts import deliveries as stored
from warehouse.alerts.deliveries import DeliveryRow, Kind, State
from warehouse.db.connect import connect

SECRET, OTHER = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
ALERT = Alert(
    event_id=7,
    rule_id=3,
    symbol="BTC-USDT",
    exchange="kraken",
    price=70_000.5,
    ts_us=1_768_478_400_000_000,
    message="Take profit on btcusdt",
)


@pytest.fixture
def overrides() -> dict[str, object]:
    return {"webhooks_allow_private": True}


@pytest.fixture
async def conn(database: URL) -> AsyncIterator[AsyncConnection]:
    async with await connect(database, application_name="test") as connection:
        yield connection


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


async def add(conn: AsyncConnection, receiver: Receiver, client: str = "bot") -> int:
    return await stored.add_outlet(conn, client=client, kind=Kind.WEBHOOK, url=receiver.url, secret=SECRET)


async def fire(endpoint: Endpoint, exchange: Exchange, price: float, client: str = "bot") -> None:
    async with endpoint.client(f"?client={client}") as subscriber:
        await subscriber.ask(cmd="watch", symbol="btcusdt", price=price)
        await exchange.trade("binance:BTC-USDT", price)
        assert (await subscriber.read())["type"] == "alert"


async def only_delivery(conn: AsyncConnection, state: State) -> DeliveryRow:
    async def there() -> list[DeliveryRow]:
        return await stored.recent_deliveries(conn, state=state)

    [row] = await eventually(there)
    return row


async def due_now(conn: AsyncConnection) -> None:
    await conn.execute("update deliveries set due_at = now()")


async def test_an_alert_is_delivered_signed_and_recorded(
    endpoint: Endpoint, exchange: Exchange, conn: AsyncConnection, receiver: Receiver
) -> None:
    await fire(endpoint, exchange, 5.0)
    outlet = await add(conn, receiver)
    await add(conn, receiver, client="other")
    await fire(endpoint, exchange, 10.0)
    row = await only_delivery(conn, State.DELIVERED)
    assert (row.event_id, row.outlet_id, row.attempts, row.http_status) == (2, outlet, 1, 200)
    [message] = receiver.received
    received = Webhook(SECRET).verify(message.body, message.headers)
    assert received["type"] == "alert.fired"
    assert received["timestamp"] == received["data"]["ts"]
    assert (received["data"]["event_id"], received["data"]["price"]) == (2, 10.0)
    assert message.headers["webhook-id"] == f"msg_2_{outlet}"
    assert message.headers["host"] == receiver.url.split("/")[2]


async def test_what_fails_is_tried_again_under_the_same_id(
    endpoint: Endpoint, exchange: Exchange, conn: AsyncConnection, receiver: Receiver
) -> None:
    await add(conn, receiver)
    receiver.answers.extend(
        ["500 Oops", "302 Found\r\nLocation: /elsewhere", "429 Slow\r\nRetry-After: 9000"]
    )
    await fire(endpoint, exchange, 10.0)

    async def delivered(status: int) -> DeliveryRow | None:
        [row] = await stored.recent_deliveries(conn)
        return row if row.http_status == status else None

    first = await eventually(lambda: delivered(500))
    assert first is not None
    assert first.attempted_at is not None
    assert 4 < (first.due_at - first.attempted_at).total_seconds() < 8
    await due_now(conn)
    second = await eventually(lambda: delivered(302))
    assert second is not None
    assert second.error == "302 Found: redirects are not followed"
    await due_now(conn)
    third = await eventually(lambda: delivered(429))
    assert third is not None
    assert third.attempted_at is not None
    assert (third.due_at - third.attempted_at).total_seconds() > 8_990
    await due_now(conn)
    assert (await only_delivery(conn, State.DELIVERED)).attempts == 4
    assert {message.headers["webhook-id"] for message in receiver.received} == {"msg_1_1"}


async def test_what_is_given_up_can_be_sent_again(
    endpoint: Endpoint, exchange: Exchange, conn: AsyncConnection, receiver: Receiver
) -> None:
    outlet = await add(conn, receiver)
    receiver.answers.append("500 Oops")
    await fire(endpoint, exchange, 10.0)
    await eventually(lambda: receiver.received)
    await eventually(lambda: _waits_again(conn))
    receiver.answers.append("500 Oops")
    await conn.execute("update deliveries set attempts = %s, due_at = now()", (len(RETRIES_S),))
    row = await only_delivery(conn, State.DEAD)
    assert (row.error, row.attempts) == ("500 Oops", len(RETRIES_S) + 1)
    assert await stored.resend(conn, outlet) == 1
    assert (await only_delivery(conn, State.DELIVERED)).attempts == 1
    assert await stored.resend(conn, outlet) == 0
    assert await stored.resend(conn, outlet, row.event_id) == 1
    await eventually(lambda: len(receiver.received) == 4)


async def _waits_again(conn: AsyncConnection) -> bool:
    [row] = await stored.recent_deliveries(conn)
    return row.http_status == 500


async def test_a_receiver_that_is_gone_is_disabled(
    endpoint: Endpoint, exchange: Exchange, conn: AsyncConnection, receiver: Receiver
) -> None:
    outlet = await add(conn, receiver)
    receiver.answers.append("410 Gone")
    await fire(endpoint, exchange, 10.0)
    assert (await only_delivery(conn, State.DEAD)).http_status == 410

    async def disabled() -> bool:
        [outlet] = await stored.outlets(conn)
        return outlet.disabled_at is not None

    await eventually(disabled)
    await fire(endpoint, exchange, 20.0)
    assert await stored.enable_outlet(conn, outlet)
    await fire(endpoint, exchange, 30.0)
    assert (await only_delivery(conn, State.DELIVERED)).event_id == 3
    assert [message.received["data"]["event_id"] for message in receiver.received] == [1, 3]


async def test_several_endpoints_deliver_once_and_take_over_from_a_dead_one(
    exchange: Exchange, start: Callable[[], Awaitable[Endpoint]], conn: AsyncConnection, receiver: Receiver
) -> None:
    await add(conn, receiver)
    endpoints = [await start() for _ in range(3)]
    async with endpoints[0].client("?client=bot") as subscriber:
        for price in range(10, 40):
            await subscriber.ask(cmd="watch", symbol="btcusdt", price=price)
        await exchange.trade("binance:BTC-USDT", 100.0)
        for _ in range(30):
            await subscriber.read()

    async def all_delivered() -> bool:
        return len(await stored.recent_deliveries(conn, state=State.DELIVERED)) == 30

    await eventually(all_delivered, timeout_s=90)
    assert sorted(message.received["data"]["event_id"] for message in receiver.received) == list(range(1, 31))
    # As if it had been taken by an endpoint that was killed just then.
    await conn.execute(
        "update deliveries set state = 'waiting', delivered_at = null, due_at = now() where event_id = 5"
    )
    await eventually(all_delivered, timeout_s=90)
    assert len(receiver.received) == 31


async def test_a_receiver_that_hangs_delays_no_other(
    endpoint: Endpoint, exchange: Exchange, conn: AsyncConnection, receiver: Receiver
) -> None:
    async with Receiver() as hanging:
        hanging.hanging = True
        await add(conn, hanging)
        await add(conn, receiver)
        await fire(endpoint, exchange, 10.0)
        await fire(endpoint, exchange, 20.0)
        await eventually(lambda: len(receiver.received) == 2)


async def test_secrets_rotate(conn: AsyncConnection, receiver: Receiver) -> None:
    outlet_id = await add(conn, receiver)
    assert await stored.rotate_secret(conn, outlet_id, OTHER, 24)
    [outlet] = await stored.outlets(conn)
    assert outlet.secrets == (OTHER, SECRET)
    sender = Webhooks(allow_private=True)
    assert await sender.send(outlet.url, outlet.secrets, outlet.id, ALERT) == Outcome(
        delivered=True, http_status=200
    )
    [message] = receiver.received
    for secret in outlet.secrets:
        Webhook(secret).verify(message.body, message.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"x" * 32).decode()).verify(message.body, message.headers)
    await conn.execute("update outlets set previous_until = now()")
    [outlet] = await stored.outlets(conn)
    assert outlet.secrets == (OTHER,)
    assert not await stored.rotate_secret(conn, 99, OTHER, 24)
    await sender.aclose()


async def test_private_addresses_are_refused(receiver: Receiver) -> None:
    sender = Webhooks(allow_private=False)
    port = receiver.url.split(":")[2].split("/")[0]
    for host in (
        *("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[fec0::1]", "192.0.0.8"),
        *("0x7f000001", "2130706433"),
    ):
        outcome = await sender.send(f"http://{host}:{port}/", (SECRET,), 1, ALERT)
        assert not outcome.delivered
        assert outcome.http_status is None
    assert receiver.received == []
    await sender.aclose()


def test_urls_and_secrets_that_cannot_be() -> None:
    check_url("https://example.org/hook", allow_private=False)
    check_url("http://192.168.1.5/hook", allow_private=True)
    for url in (
        "https://",
        "http://[",
        "http://:80/",
        "http://10.0.0.1/",
        "http://localhost/x",
        "http://a:b/",
    ):
        with pytest.raises(SettingsError) as refused:
            check_url(url, allow_private=False)
        assert refused.value.args[0].startswith(("not a URL", "10.0.0.1 is", "localhost is"))
    assert check_secret(SECRET) == SECRET
    for secret in ("", "whsec_", "whsec_c2hvcnQ=", SECRET[6:], "whsec_" + "!" * 40):
        with pytest.raises(SettingsError):
            check_secret(secret)


def test_the_ladder() -> None:
    waits = [retry_in_s(attempt) for attempt in range(1, len(RETRIES_S) + 2)]
    assert waits[-1] is None
    for wait, least in zip(waits, RETRIES_S, strict=False):
        assert wait is not None
        assert least <= wait <= least * 1.2
    assert retry_in_s(1, at_least_s=100.0) == 100.0
    assert max(webhooks.TIMEOUT_S, apprise_sender.TIMEOUT_S) < LEASE_S


@pytest.fixture
def apprise_url(receiver: Receiver) -> str:
    return receiver.url.replace("http://", "json://").partition("?")[0]


async def test_messages_by_apprise(receiver: Receiver, apprise_url: str) -> None:
    assert await apprise_sender.send(apprise_url, ALERT, allow_private=True) == Outcome(delivered=True)
    [message] = receiver.received
    assert message.received["message"] == ALERT.message
    receiver.answers.append("500 Oops")
    failed = await apprise_sender.send(apprise_url, ALERT, allow_private=True)
    assert failed == Outcome(delivered=False, error="the service did not take it")
    unknown = await apprise_sender.send("not-a-service", ALERT, allow_private=True)
    assert unknown.error == "no service has such a URL"


def test_apprise_urls_that_cannot_be() -> None:
    assert apprise_process.service("tgram://123456789:abcdefg_hijklmnop/1", allow_private=False) == "Telegram"
    assert apprise_process.service("json://127.0.0.1/", allow_private=True) == "JSON"
    with pytest.raises(SettingsError, match="no service"):
        apprise_process.service("not-a-service://secret", allow_private=False)
    for host in ("localhost", "127.0.0.1", "[fd00::1]", "[64:ff9b::10.0.0.1]"):
        with pytest.raises(SettingsError, match="private address"):
            apprise_process.service(f"json://{host}/", allow_private=False)


async def test_apprise_connects_to_no_private_address(receiver: Receiver, apprise_url: str) -> None:
    for url in (apprise_url, apprise_url.replace("127.0.0.1", "localhost"), "json://0x7f000001:1/"):
        refused = await apprise_sender.send(url, ALERT, allow_private=False)
        assert not refused.delivered
        assert "COINWATCH_WEBHOOKS_ALLOW_PRIVATE" in (refused.error or "")
    assert receiver.received == []


async def test_an_apprise_service_that_drips_is_ended(receiver: Receiver, apprise_url: str) -> None:
    """Each byte comes in time, the whole answer never does."""
    receiver.dripping = True
    began_s = time.monotonic()
    many = [apprise_sender.send(apprise_url, ALERT, allow_private=True, timeout_s=2) for _ in range(12)]
    outcomes = await asyncio.gather(*many)
    assert {outcome.error for outcome in outcomes} == {"no answer within 2 s"}
    assert time.monotonic() - began_s < 20
    receiver.dripping = False
    assert (await apprise_sender.send(apprise_url, ALERT, allow_private=True)).delivered


async def test_a_fault_of_one_attempt_ends_no_other(
    endpoint: Endpoint, exchange: Exchange, conn: AsyncConnection, receiver: Receiver
) -> None:
    """The secret of an outlet was damaged in the database."""
    outlet = await add(conn, receiver)
    await conn.execute("update outlets set secret = 'whsec_\u00e9' where id = %s", (outlet,))
    await fire(endpoint, exchange, 10.0)

    async def failed() -> str | None:
        [row] = await stored.recent_deliveries(conn)
        return row.error

    assert "it failed" in (await eventually(failed) or "")
    await conn.execute("update outlets set secret = %s where id = %s", (SECRET, outlet))
    await due_now(conn)
    assert (await only_delivery(conn, State.DELIVERED)).attempts == 2
    assert await endpoint.healthy()


@pytest.mark.parametrize(
    "header",
    [
        "Fri, 31 Dec 9999 23:59:59 -1400",
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "9" * 4_000,
        "Tue, 11 Nov 2025 00:17:04 +99999999999999999999",
    ],
)
async def test_a_far_retry_after_is_a_day_at_most(receiver: Receiver, header: str) -> None:
    receiver.answers.append(f"503 Later\r\nRetry-After: {header}")
    sender = Webhooks(allow_private=True)
    outcome = await sender.send(receiver.url, (SECRET,), 1, ALERT)
    assert (outcome.http_status, outcome.retry_after_s <= 86_400) == (503, True)
    await sender.aclose()


async def test_attempts_that_ended_with_the_endpoint_are_counted(
    endpoint: Endpoint, exchange: Exchange, conn: AsyncConnection, receiver: Receiver
) -> None:
    """As if each endpoint had been killed by the answer, before it recorded an outcome."""
    async with Receiver() as hanging:
        hanging.hanging = True
        await add(conn, hanging)
        await fire(endpoint, exchange, 10.0)
        await eventually(lambda: hanging.received)
        await conn.execute("update deliveries set attempts = %s, due_at = now()", (MOST_ATTEMPTS,))
        row = await only_delivery(conn, State.DEAD)
    assert row.error == "the endpoint ended during the attempts before"


async def test_old_deliveries_are_forgotten(conn: AsyncConnection, receiver: Receiver) -> None:
    outlet = await add(conn, receiver)
    await conn.execute(
        "insert into deliveries (event_id, outlet_id, created_at) select number, %s, %s"
        " from generate_series(1, 3) number",
        (outlet, datetime(2020, 1, 1, tzinfo=UTC)),
    )
    assert await stored.forget_old_deliveries(conn) == 3
    assert await stored.remove_outlet(conn, outlet)
    assert not await stored.remove_outlet(conn, outlet)
