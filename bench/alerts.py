"""From a trade sent to an alert received: python -m bench.alerts

Every part in a process of its own, as in service: a sender, the ingest daemon, the alert endpoint, the
subscribers; embedded Postgres in a temporary folder as shipped, fsync and synchronous_commit on.
``--engine`` measures the rule engine alone, ``--connections N`` the memory of idle connections.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import psycopg
import sqlalchemy
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from app.alerts.endpoint import serve
from app.alerts.machine import Machine
from app.cli.alerts import collect_seldom
from bench.ingest import _cpu_s, _free_port, durability, rest, sender
from bench.walking import FIRST_PRICE
from coinwatch import logs
from coinwatch.alerts import Above, Below, Rule
from coinwatch.records import Market, Trade
from coinwatch.settings import Settings
from coinwatch.times import SECOND_US, now_us
from ingest_daemon import daemon
from warehouse.connect import connect as connect_postgres
from warehouse.connect import conninfo
from warehouse.markets import ensure_markets
from warehouse.migrate import upgrade
from warehouse.notifications import decode_notice
from warehouse.server import EmbeddedPostgres
from warehouse.ticks import TickWriter

RULES = 100_000
WITHIN = 0.02
SUBSCRIBERS = 1_000
PACE = 2_000
PACED_S = 20
SETTLING_S = 5
FIRED_AT_ONCE = 10_000
MANY_RULES = 1_000_000
ENGINE_TRADES = 100_000
CONNECT_AT_ONCE = 100


def main() -> None:
    """Run what is asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", action="store_true", help="the rule engine alone")
    parser.add_argument("--load", action="store_true", help=f"an endpoint with {MANY_RULES:,} rules")
    parser.add_argument("--connections", type=int, help="the memory of so many idle connections")
    parser.add_argument("--subscribers", type=int, default=SUBSCRIBERS)
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        logs.configure("bench", level="error")
        name, given = arguments.part
        uvloop.run(_PARTS[name](json.loads(given)))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if arguments.engine:
        engine()
        return
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        server.start()
        try:
            url = server.socket_url()
            upgrade(url)
            print(f"Postgres: {durability(url)}")
            if arguments.connections:
                uvloop.run(connections(url, arguments.connections))
            elif arguments.load:
                uvloop.run(load(url))
            else:
                uvloop.run(speed(url, arguments.subscribers))
        finally:
            server.stop()


# The engine alone.


def engine() -> None:
    """What a trade costs with few rules and with many, and what a rule weighs."""
    costs = []
    for count in (1_000, MANY_RULES):
        gc.collect()
        before = psutil.Process().memory_info().rss
        machine, market = Machine(), Market.canonical("binance:BTC-USDT")
        started = time.perf_counter()
        for rule in _rules(count, market):
            machine.put(rule, 0)
        loaded_s = time.perf_counter() - started
        weight = (psutil.Process().memory_info().rss - before) / count
        gc.freeze()
        costs.append(_cost_us(machine, market))
        print(
            f"{count:>9,} rules   {costs[-1]:.2f} us a trade, {weight:,.0f} bytes a rule, "
            f"put in {loaded_s:.1f} s"
        )
    print(f"ratio {costs[1] / costs[0]:.2f}")
    machine = Machine()
    for rule in _rules(FIRED_AT_ONCE, market, at=FIRST_PRICE):
        machine.put(rule, 0)
    feed = machine.meet(1, market)
    started = time.perf_counter()
    machine.trade(feed, Trade(market, 1, 1, FIRST_PRICE, 1.0, True), 1, 1)
    fired = len(machine.drain())
    print(f"{fired:,} rules fired by one trade in {(time.perf_counter() - started) * 1e3:.0f} ms")


def _rules(count: int, market: Market, at: float | None = None) -> Iterator[Rule]:
    for number in range(count):
        away = WITHIN * (number + 1) / count
        side = Above if number % 2 else Below
        price = FIRST_PRICE * (1 + away if number % 2 else 1 - away)
        yield Rule(
            id=number + 1,
            symbol=market.symbol,
            condition=Above(price=at) if at else side(price=price),
            typed="btcusdt",
            client=f"c{number % SUBSCRIBERS}",
            created_at_us=number,
        )


def _cost_us(machine: Machine, market: Market) -> float:
    """Microseconds a trade that fires nothing costs, the median of five runs."""
    feed = machine.meet(1, market)
    trades = [
        Trade(market, number, number, FIRST_PRICE + number % 7 / 1e6, 1.0, True)
        for number in range(ENGINE_TRADES)
    ]
    runs = []
    for _ in range(5):
        started = time.perf_counter()
        for trade in trades:
            machine.trade(feed, trade, trade.trade_id, 0)
        runs.append((time.perf_counter() - started) / ENGINE_TRADES * 1e6)
    return statistics.median(runs)


# The whole way.


async def speed(url: sqlalchemy.URL, subscribers: int) -> None:
    """Latency without rules, with them, and of many that fire at once."""
    with _part("endpoint", url, port=(port := _free_port())) as endpoint:
        await _healthy(port)
        without = await _paced(url, endpoint, port, [])
        print(f"without rules   COPY + NOTIFY heard: {_percentiles(without['heard_ms'])}")
    with sender("bench.walking", 1, PACE) as ready:
        markets = ready["markets"]
    _store_rules(url, markets, RULES, subscribers)
    with _part("endpoint", url, port=(port := _free_port())) as endpoint:
        await _healthy(port)
        clients = [f"c{number}" for number in range(subscribers)]
        result = await _paced(url, endpoint, port, clients)
        heard, told = np.asarray(result["heard_ms"]), np.asarray(result["alert_ms"])
        print(f"{RULES:,} rules     COPY + NOTIFY heard: {_percentiles(heard)}")
        print(
            f"alerts received: {_percentiles(told)}; {len(told) / (PACED_S - SETTLING_S):.0f} a second to "
            f"{subscribers:,} subscribers; over NOTIFY heard {np.median(told) / np.median(heard):.2f} x"
        )
        with psycopg.connect(conninfo(url), autocommit=True) as connection:
            stored = connection.execute("select count(*), count(distinct rule_id) from alert_events")
            print("events, rules fired:", stored.fetchone(), "; received:", result["received"])
        await _at_once(url, port, clients)


async def _paced(
    url: sqlalchemy.URL, endpoint: subprocess.Popen[str], port: int, clients: list[str]
) -> dict[str, Any]:
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        connection.execute("truncate ticks, stream_gaps, leases")
        postmaster = psutil.Process(connection.info.backend_pid).parent()
    assert postmaster is not None
    with (
        sender("bench.walking", PACE * PACED_S, PACE) as ready,
        rest() as rest_url,
        _part("subscribers", url, port=port, clients=clients) as told,
    ):
        assert told.stdout is not None
        assert told.stdin is not None
        await asyncio.to_thread(told.stdout.readline)
        with _part("daemon", url, **ready, rest_url=rest_url) as fed:
            parts = {
                "sender": psutil.Process(ready["pid"]),
                "daemon": psutil.Process(fed.pid),
                "Postgres": postmaster,
                "endpoint": psutil.Process(endpoint.pid),
                "subscribers": psutil.Process(told.pid),
            }
            await asyncio.sleep(SETTLING_S)
            with _shares(parts):
                await asyncio.sleep(PACED_S - SETTLING_S)
            await asyncio.sleep(3)
        told.stdin.write("stop\n")
        told.stdin.flush()
        result: dict[str, Any] = json.loads(await asyncio.to_thread(told.stdout.readline))
    return result


async def _at_once(url: sqlalchemy.URL, port: int, clients: list[str]) -> None:
    """Many rules at one price, and one trade at it."""
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        connection.execute(
            """
            with made as (
                insert into alert_rules (client, base, quote, typed, condition)
                select 'c' || n %% %s, 'BTC', 'USDT', 'btcusdt', '{"type":"above","price":1000000}'
                from generate_series(1, %s) n returning id
            ) select count(pg_notify('alert_rules', id::text)) from made
            """,
            (len(clients), FIRED_AT_ONCE),
        )
    with _part("subscribers", url, port=port, clients=clients, count=FIRED_AT_ONCE) as told:
        assert told.stdout is not None
        await asyncio.to_thread(told.stdout.readline)
        await asyncio.sleep(3)
        async with await connect_postgres(url, application_name="bench") as conn:
            market = Market.canonical("kraken:BTC-USDT")  # where no other rule waits
            ids = await ensure_markets(conn, {market: "BTC/USDT"})
            await TickWriter(conn, ids).write([Trade(market, 1, now_us(), 1_000_000.0, 1.0, True)])
        result = json.loads(await asyncio.to_thread(told.stdout.readline))
    print(
        f"{result['received']:,} of {FIRED_AT_ONCE:,} rules fired by one trade: the last received after "
        f"{max(result['alert_ms'], default=0):.0f} ms, the first after "
        f"{min(result['alert_ms'], default=0):.0f} ms"
    )


def _store_rules(url: sqlalchemy.URL, markets: list[str], count: int, clients: int) -> None:
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        connection.execute(
            """
            insert into alert_rules (client, exchange, base, quote, typed, condition)
            select 'c' || n %% %(clients)s, split_part(m, ':', 1), split_part(split_part(m, ':', 2), '-', 1),
                split_part(m, '-', 2), m, jsonb_build_object(
                    'type', case when n %% 2 = 0 then 'above' else 'below' end,
                    'price', %(price)s * (1 + (n %% 2 * -2 + 1) * %(within)s * n / %(count)s))
            from generate_series(1, %(count)s) n
            cross join lateral (select (%(markets)s::text[])[n %% %(places)s + 1] m) place
            """,
            {
                "clients": clients,
                "price": FIRST_PRICE,
                "within": WITHIN,
                "count": count,
                "markets": markets,
                "places": len(markets),
            },
        )
        connection.execute("analyze alert_rules")


# Many rules, many connections.


async def load(url: sqlalchemy.URL) -> None:
    """How long an endpoint takes to read many rules, and whether its heart goes on beating."""
    _store_rules(url, ["binance:BTC-USDT"], MANY_RULES, SUBSCRIBERS)
    started = time.monotonic()
    with _part("endpoint", url, port=(port := _free_port())) as process:
        beats: list[float] = []
        while time.monotonic() - started < 300:
            await asyncio.sleep(0.1)
            with psycopg.connect(conninfo(url)) as connection:
                row = connection.execute(
                    "select extract(epoch from clock_timestamp() - max(beat_at))::float8"
                    " from service_heartbeats where service = 'alerts'"
                ).fetchone()
            if row and row[0] is not None:
                beats.append(row[0])
            with suppress(httpx.HTTPError):
                async with httpx.AsyncClient(trust_env=False) as client:
                    health = await client.get(f"http://127.0.0.1:{port}/healthz")
                if health.status_code == 200:
                    break
        rss = psutil.Process(process.pid).memory_info().rss
        print(
            f"{MANY_RULES:,} rules read in {time.monotonic() - started:.1f} s, {rss / 2**20:.0f} MB in all; "
            f"the oldest heartbeat meanwhile {max(beats, default=0):.1f} s"
        )


async def connections(url: sqlalchemy.URL, count: int) -> None:
    """What idle connections weigh."""
    for compression in (None, "deflate"):
        with _part("endpoint", url, port=(port := _free_port())) as process:
            await _healthy(port)
            before = psutil.Process(process.pid).memory_info().rss
            async with AsyncExitStack() as stack:
                await _open(stack, port, [""] * count, compression)
                weight = (psutil.Process(process.pid).memory_info().rss - before) / count
                print(
                    f"{count:,} connections, compression {compression}: {weight / 1024:.1f} kB each, "
                    f"{weight * 10_000 / 2**30:.2f} GB for 10,000"
                )


# The parts.


async def _run_endpoint(given: dict[str, Any]) -> None:
    url = sqlalchemy.make_url(given["url"])
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder:
        settings = Settings(
            _env_file=None,
            data_dir=Path(folder),
            database_url=given["url"],
            alerts_connections_per_address=20_000,
            alerts_port=given["port"],
            markets="binance:BTC-USDT",
        )
        collect_seldom()
        await serve(settings, url.set(drivername="postgresql+psycopg"), stop=asyncio.Event())


async def _run_daemon(given: dict[str, Any]) -> None:
    url = sqlalchemy.make_url(given["url"])
    with tempfile.TemporaryDirectory(prefix="coinwatch-bench-") as folder:
        settings = Settings(
            _env_file=None,
            data_dir=Path(folder),
            database_url=given["url"],
            markets=",".join(given["markets"]),
            binance_ws_url=given["ws_url"],
            binance_rest_url=given["rest_url"],
            ingest_port=_free_port(),
        )
        gc.collect()
        gc.freeze()
        await daemon.run(settings, url.set(drivername="postgresql+psycopg"), stop=asyncio.Event())


async def _run_subscribers(given: dict[str, Any]) -> None:
    """Clients that keep the time at which each alert came, and a bare listener beside them."""
    alerts_ms: list[tuple[int, float]] = []
    heard_ms: list[tuple[int, float]] = []
    enough = asyncio.Event()

    async def receive(socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for frame in socket:
                received_us = now_us()
                ts_us = _ts_us(json.loads(frame)["ts"])
                alerts_ms.append((ts_us, (received_us - ts_us) / 1e3))
                if len(alerts_ms) == given.get("count"):
                    enough.set()

    async def hear() -> None:
        url = sqlalchemy.make_url(given["url"]).set(drivername="postgresql+psycopg")
        async with await connect_postgres(url, application_name="bench listener") as conn:
            await conn.execute("listen ticks")
            async for notify in conn.notifies():
                received_us = now_us()
                for move in decode_notice(notify.payload).moves:
                    heard_ms.append((move.last_ts_us, (received_us - move.last_ts_us) / 1e3))

    async with AsyncExitStack() as stack:
        sockets = await _open(
            stack, given["port"], [f"?client={name}" for name in given["clients"]], "deflate"
        )
        for socket in sockets:  # greeted, when it answers
            await socket.send('{"cmd":"ping"}')
            await socket.recv()
        tasks = [asyncio.create_task(work) for work in (*map(receive, sockets), hear())]
        print("ready", flush=True)
        if "count" in given:
            with suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await enough.wait()
        else:
            await asyncio.to_thread(sys.stdin.readline)
        for task in tasks:
            task.cancel()
        settled_us = heard_ms[0][0] + SETTLING_S * SECOND_US if heard_ms and "count" not in given else 0
        told = {
            "received": len(alerts_ms),
            "alert_ms": [ms for ts_us, ms in alerts_ms if ts_us >= settled_us],
            "heard_ms": [ms for ts_us, ms in heard_ms if ts_us >= settled_us],
        }
        print(json.dumps(told), flush=True)
        os._exit(0)  # a thousand closing handshakes measure nothing


_PARTS = {"endpoint": _run_endpoint, "daemon": _run_daemon, "subscribers": _run_subscribers}


@contextmanager
def _part(name: str, url: sqlalchemy.URL, **given: Any) -> Iterator[subprocess.Popen[str]]:
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.alerts", "--part", name, json.dumps({**given, "url": address})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def _open(
    stack: AsyncExitStack, port: int, queries: list[str], compression: str | None
) -> list[ClientConnection]:
    sockets: list[ClientConnection] = []
    for start in range(0, len(queries), CONNECT_AT_ONCE):
        sockets += await asyncio.gather(
            *(
                stack.enter_async_context(
                    connect(
                        f"ws://127.0.0.1:{port}/ws{query}",
                        compression=compression,
                        ping_interval=None,
                        open_timeout=60,
                        close_timeout=0.1,
                    )
                )
                for query in queries[start : start + CONNECT_AT_ONCE]
            )
        )
    return sockets


@contextmanager
def _shares(parts: dict[str, psutil.Process]) -> Iterator[None]:
    """Prints which share of a core each part had, and everything else on the machine."""
    cores = os.cpu_count() or 1
    started = time.monotonic()
    before_s = {name: _cpu_s(part) for name, part in parts.items()}
    psutil.cpu_percent()
    yield
    passed_s = time.monotonic() - started
    shares = {name: (_cpu_s(part) - before_s[name]) / passed_s for name, part in parts.items()}
    shares["all else"] = psutil.cpu_percent() / 100 * cores - sum(shares.values())
    print("of a core:", ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))


async def _healthy(port: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            with suppress(httpx.HTTPError):
                if (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)


def _percentiles(values_ms: Any) -> str:
    if not len(values_ms):
        return "nothing"
    p50, p99 = np.percentile(values_ms, [50, 99])
    return f"p50 {p50:.2f} ms   p99 {p99:.2f} ms   ({len(values_ms):,})"


def _ts_us(moment: str) -> int:
    return round(np.datetime64(moment.rstrip("Z"), "us").astype(np.int64))


if __name__ == "__main__":
    main()
