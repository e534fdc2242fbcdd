"""From a trade sent to an alert received: python -m bench.alerts

Each part runs in its own process, as in production: a sender, the ingest daemon, the alert endpoint and
the subscribers. Embedded Postgres runs in a temporary folder with fsync and synchronous_commit on.
``--engine`` measures the rule engine alone, ``--connections N`` the memory of idle connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
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

from bench.alerts_engine import FIRED_AT_ONCE, MANY_RULES, SUBSCRIBERS, WITHIN, engine
from bench.alerts_parts import PARTS, SETTLING_S, open_sockets, part
from bench.ingest import cpu_s, durability, rest, sender
from bench.walking import FIRST_PRICE
from coinwatch import logs
from coinwatch.records import Market, Trade
from coinwatch.times import now_us
from warehouse.db.connect import connect as connect_postgres
from warehouse.db.connect import conninfo
from warehouse.db.migrate import upgrade
from warehouse.embedded.ports import free_port
from warehouse.embedded.server import EmbeddedPostgres
from warehouse.markets import ensure_markets
from warehouse.trades.writer import TickWriter

RULES = 100_000
PACE = 2_000
PACED_S = 20


def main() -> None:
    """Run the selected benchmarks and print the figures."""
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
        uvloop.run(PARTS[name](json.loads(given)))
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


async def speed(url: sqlalchemy.URL, subscribers: int) -> None:
    """Measure latency without rules, with rules, and of many rules that fire at once."""
    await _of_each(url, subscribers)
    with _awake() as is_awake:
        if is_awake:
            print("the same with cores kept awake between trades (/dev/cpu_dma_latency at 0):")
            await _of_each(url, subscribers)


async def _of_each(url: sqlalchemy.URL, subscribers: int) -> None:
    with psycopg.connect(conninfo(url), autocommit=True) as connection:
        connection.execute("truncate alert_rules, alert_events")
        connection.execute("update alert_counter set last_event_id = 0")
    with part("endpoint", url, port=(port := free_port())) as endpoint:
        await _healthy(port)
        heard = np.asarray((await _paced(url, endpoint, port, []))["heard_ms"])
        print(f"without rules, COPY + NOTIFY heard: {_percentiles(heard)}")
    with sender("bench.walking", 1, PACE) as ready:
        markets = ready["markets"]
    _store_rules(url, markets, RULES, subscribers)
    with part("endpoint", url, port=(port := free_port())) as endpoint:
        await _healthy(port)
        clients = [f"c{number}" for number in range(subscribers)]
        result = await _paced(url, endpoint, port, clients)
        latencies_ms = np.asarray(result["alert_ms"])
        per_s, ratio = len(latencies_ms) / (PACED_S - SETTLING_S), np.median(latencies_ms) / np.median(heard)
        print(
            f"{RULES:,} rules, alerts received: {_percentiles(latencies_ms)}; {per_s:.0f} a second to "
            f"{subscribers:,} subscribers; over NOTIFY heard {ratio:.2f} x"
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
        part("subscribers", url, port=port, clients=clients) as receivers,
    ):
        assert receivers.stdout is not None
        assert receivers.stdin is not None
        await asyncio.to_thread(receivers.stdout.readline)
        with part("daemon", url, **ready, rest_url=rest_url) as fed:
            parts = {
                "sender": psutil.Process(ready["pid"]),
                "daemon": psutil.Process(fed.pid),
                "Postgres": postmaster,
                "endpoint": psutil.Process(endpoint.pid),
                "subscribers": psutil.Process(receivers.pid),
            }
            await asyncio.sleep(SETTLING_S)
            with _shares(parts):
                await asyncio.sleep(PACED_S - SETTLING_S)
            await asyncio.sleep(3)
        receivers.stdin.write("stop\n")
        receivers.stdin.flush()
        result: dict[str, Any] = json.loads(await asyncio.to_thread(receivers.stdout.readline))
    return result


async def _at_once(url: sqlalchemy.URL, port: int, clients: list[str]) -> None:
    """Measure many rules at one price that one trade fires."""
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
    with part("subscribers", url, port=port, clients=clients, count=FIRED_AT_ONCE) as receivers:
        assert receivers.stdout is not None
        await asyncio.to_thread(receivers.stdout.readline)
        await asyncio.sleep(3)
        async with await connect_postgres(url, application_name="bench") as conn:
            market = Market.canonical("kraken:BTC-USDT")  # where no other rule waits
            ids = await ensure_markets(conn, {market: "BTC/USDT"})
            await TickWriter(conn, ids).write([Trade(market, 1, now_us(), 1_000_000.0, 1.0, True)])
        result = json.loads(await asyncio.to_thread(receivers.stdout.readline))
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


async def load(url: sqlalchemy.URL) -> None:
    """Measure how long an endpoint takes to load many rules, and whether its heartbeats continue."""
    _store_rules(url, ["binance:BTC-USDT"], MANY_RULES, SUBSCRIBERS)
    started = time.monotonic()
    with part("endpoint", url, port=(port := free_port())) as process:
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
    """Measure the memory of idle connections."""
    for compression in (None, "deflate"):
        with part("endpoint", url, port=(port := free_port())) as process:
            await _healthy(port)
            before = psutil.Process(process.pid).memory_info().rss
            async with AsyncExitStack() as stack:
                await open_sockets(stack, port, [""] * count, compression)
                weight = (psutil.Process(process.pid).memory_info().rss - before) / count
                print(
                    f"{count:,} connections, compression {compression}: {weight / 1024:.1f} kB each, "
                    f"{weight * 10_000 / 2**30:.2f} GB for 10,000"
                )


@contextmanager
def _awake() -> Iterator[bool]:
    """Keep idle cores awake, like Linux's low-latency profiles; yields whether that is permitted.

    A sleeping core of a virtual machine wakes up with empty caches.
    """
    device = Path("/dev/cpu_dma_latency")
    if not os.access(device, os.W_OK):
        yield False
        return
    with device.open("wb", buffering=0) as latency:
        latency.write((0).to_bytes(4, "little"))
        yield True


@contextmanager
def _shares(parts: dict[str, psutil.Process]) -> Iterator[None]:
    """Print the share of a core used by each part, and by the rest of the machine."""
    cores = os.cpu_count() or 1
    started = time.monotonic()
    before_s = {name: cpu_s(part) for name, part in parts.items()}
    psutil.cpu_percent()
    yield
    passed_s = time.monotonic() - started
    shares = {name: (cpu_s(part) - before_s[name]) / passed_s for name, part in parts.items()}
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


if __name__ == "__main__":
    main()
