"""Sentiment collected from the simulated sources, as functions and as runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from functools import partial
from random import Random
from typing import Any

import psycopg
import pytest

from coinwatch.sentiment.mentions import Mentions
from coinwatch.sentiment.scoring import SentimentSource, parts_of, score_of
from coinwatch.times import now_us, utc_day
from pipelines.sentiment.clients import Feed, ScoreClients, TextClients
from pipelines.sentiment.collect import Asset, Collected, collect_scores, wanted_assets
from pipelines.sentiment.texts import FeedResult, collect_texts, rescore
from simulator.providers.news import OUTLETS
from simulator.server import Simulator
from sources.budgets import LocalBudget
from sources.http import Patience
from sources.providers.alternative import alternative_http
from sources.providers.coingecko import coingecko_http
from sources.providers.feed_parser import parse_feed
from sources.providers.gdelt import gdelt_http
from sources.providers.news import feed_http
from sources.providers.telegram import telegram_http
from sources.providers.x import x_http
from tests.sources.scripted_server import answer, scripted
from tests.stored import rows
from warehouse.sentiment.store import scores_between

Conn = psycopg.AsyncConnection[Any]
QUICK = Patience(attempts=2, first_wait_s=0.01, longest_wait_s=0.02)
ASSETS = [
    Asset("BTC", ("Bitcoin",), "bitcoin"),
    Asset("SOL", ("Solana",), "solana"),
    Asset("NEW", (), None),
]
TOKEN = "AAAAB"  # noqa: S105 -- of the simulator
GIVEN: dict[str, Any] = {"scale": 1_000, "patience": QUICK}


@asynccontextmanager
async def opened(simulator: Simulator, token: str = "") -> AsyncIterator[ScoreClients]:
    budget, root = LocalBudget(), simulator.rest_url
    async with (
        alternative_http(f"{root}/alternative", budget, **GIVEN) as fear,
        gdelt_http(f"{root}/gdelt", budget, **GIVEN) as tones,
        coingecko_http(f"{root}/coingecko", budget, key=None, **GIVEN) as gecko,
        x_http(f"{root}/x", budget, token=token, **GIVEN) as posts,
    ):
        yield ScoreClients(fear, tones, gecko, posts if token else None)


@asynccontextmanager
async def feed(name: str, url: str) -> AsyncIterator[dict[str, Feed]]:
    async with feed_http(name, url, LocalBudget(), **GIVEN) as client:
        yield {name: Feed(url, client)}


async def read(conn: Conn, feeds: dict[str, Feed]) -> list[FeedResult]:
    return await collect_texts(conn, TextClients(feeds), Mentions({}), now_us())


async def read_all(conn: Conn, simulator: Simulator) -> list[FeedResult]:
    results = []
    for name in OUTLETS:
        async with feed(name, f"{simulator.rest_url}/news/{name}") as feeds:
            results += await read(conn, feeds)
    return results


async def collect(conn: Conn, clients: ScoreClients, days: int = 1) -> Collected:
    today = utc_day(now_us())
    return await collect_scores(conn, clients, ASSETS, today - timedelta(days=days), today, now_us())


def asked(simulator: Simulator, name: str) -> int:
    return sum(count for path, count in simulator.requests.items() if path.startswith(f"{name}/"))


async def test_articles_of_all_feeds_are_stored_once(conn: Conn, simulator: Simulator) -> None:
    first = await read_all(conn, simulator)
    assert not any(result.error for result in first)
    assert [result.stored.copies > 5 for result in first] == [False, True, True, True, True]
    assert await rows(conn, "select count(*) from news") == [(sum(result.stored.new for result in first),)]
    titles = "select count(*) from news group by title_key, source having count(*) > 1"
    assert await rows(conn, titles) == []
    copied = await rows(conn, "select copies from news where copies <> '{}'")
    assert max(len(copies) for (copies,) in copied) >= 3
    assert await rows(conn, "select 1 from news where 'BTC' = any(bases) and title !~ 'Bitcoin|BTC'") == []
    assert (await rows(conn, "select count(*) from news where bases <> '{}' and score <> 0"))[0][0] > 20

    again = await read_all(conn, simulator)
    assert any(result.is_unchanged for result in again)  # all, but for what is written meanwhile
    assert await rows(conn, "select count(*) from news") == [
        (sum(result.stored.new for result in (*first, *again)),)
    ]


async def test_a_moved_feed_is_requested_without_the_old_etag(conn: Conn, simulator: Simulator) -> None:
    async with feed("coindesk", f"{simulator.rest_url}/news/coindesk") as feeds:
        await read(conn, feeds)
    async with feed("coindesk", f"{simulator.rest_url}/news/coindesk?all=1") as feeds:
        (result,) = await read(conn, feeds)
    assert not result.is_unchanged
    assert result.read > 0


async def test_texts_are_scored_again_for_new_names(conn: Conn, simulator: Simulator) -> None:
    async with feed("decrypt", f"{simulator.rest_url}/news/decrypt") as feeds:
        await read(conn, feeds)
    assert await rescore(conn, Mentions({}), now_us()) == 0
    known = Mentions({"BTC": ("Bitcoin",), "DEV": ("Developers", "Traders", "upgrade", "tumbles", "Fund")})
    changed = await rescore(conn, known, now_us())
    assert changed > 0
    assert await rows(conn, "select count(*) from news where 'DEV' = any(bases)") == [(changed,)]
    assert await rescore(conn, known, now_us()) == 0


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (answer("", 503), "HTTP 503"),
        (answer("slow", 429, retry_after="600"), "HTTP 429"),
        (answer("gone", 404), "HTTP 404"),
        (answer("<html>Just a moment</html>"), "not a feed"),
        (answer("<rss version='2.0'><chan"), "feed"),
        (answer(""), "not a feed"),
    ],
    ids=["503", "429", "404", "html", "truncated", "empty"],
)
async def test_a_failing_feed_does_not_affect_the_others(
    conn: Conn, simulator: Simulator, sent: bytes, problem: str
) -> None:
    async with (
        scripted(sent) as server,
        feed("broken", f"{server.root}/feed") as broken,
        feed("decrypt", f"{simulator.rest_url}/news/decrypt") as good,
    ):
        first, second = await read(conn, {**broken, **good})
    assert str(first.error).startswith("broken: ")
    assert problem in str(first.error)
    assert second.error is None
    assert second.stored.new > 20
    assert await rows(conn, "select outlet from news_feeds") == [("decrypt",)]


async def test_a_truncated_feed_is_requested_in_full_again(conn: Conn) -> None:
    item = "<item><title>Title {0} of many articles</title><link>https://a.example/{0}</link></item>"
    whole = f"<rss version='2.0'><channel>{''.join(map(item.format, range(6)))}</channel></rss>"
    sent = [answer(part, etag='"1"') for part in (whole[: len(whole) // 2], whole)]
    async with scripted(*sent) as server, feed("wire", f"{server.root}/feed") as feeds:
        (cut,) = await read(conn, feeds)
        assert await rows(conn, "select etag from news_feeds") == [(None,)]
        (full,) = await read(conn, feeds)
    assert (cut.is_whole, full.is_whole) == (False, True)
    assert cut.stored.new > 0
    assert cut.stored.new + full.stored.new == 6
    assert await rows(conn, "select etag from news_feeds") == [('"1"',)]


async def test_whatever_a_feed_sends_can_be_stored(conn: Conn) -> None:
    """Postgres has no NUL, and limits keys: one article must not prevent all others."""
    noise = "".join(chr(random.randrange(0x4E00, 0x9FFF)) for random in [Random(7)] for _ in range(9_000))
    titles = ["\ufdfa\u3316\u33a8 " * 160, "a&#0;b c d e", noise, "Good title of an article"]
    item = "<item><title>{0}</title><link>https://a.example/{1}</link></item>"
    items = [item.format(title, place) for place, title in enumerate(titles)]
    items.append(item.format("Another good title today", noise))
    body = f"<rss version='2.0'><channel>{''.join(items)}</channel></rss>"
    async with (
        scripted(answer(body, etag="caf\u00e9")) as server,
        feed("wire", f"{server.root}/feed") as feeds,
    ):
        for _ in range(2):  # the second request has the validators of the first answer
            (result,) = await read(conn, feeds)
            assert result.error is None
    stored = await rows(conn, "select count(*) from news")
    assert stored == [(4,)]


async def test_a_feed_that_hangs_its_parser_does_not_affect_the_others(
    conn: Conn, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.sentiment.texts.parse_feed", partial(parse_feed, limit_s=1))
    body = f"<rss version='2.0'><channel><item><author>{'a.' * 100_000}</author></item></channel></rss>"
    async with (
        scripted(answer(body)) as server,
        feed("slow", f"{server.root}/feed") as slow,
        feed("decrypt", f"{simulator.rest_url}/news/decrypt") as good,
    ):
        first, second = await read(conn, {**slow, **good})
    assert "took too long" in str(first.error)
    assert second.stored.new > 20


async def test_messages_of_channels_and_a_private_one(conn: Conn, simulator: Simulator) -> None:
    async with telegram_http(f"{simulator.rest_url}/telegram", LocalBudget(), **GIVEN) as client:
        clients = TextClients({}, telegram=client, channels=("some_channel", "private_one", "?"))
        outlets = await collect_texts(conn, clients, Mentions({}), now_us())
    assert [bool(result.error) for result in outlets] == [False, True, True]
    assert "COINWATCH_TELEGRAM_CHANNELS" in str(outlets[2].error)
    assert await rows(conn, "select source, outlet, count(*) > 9 from news group by 1, 2") == [
        ("telegram", "some_channel", True)
    ]


async def test_scores_of_all_sources_are_combined(conn: Conn, simulator: Simulator) -> None:
    await read_all(conn, simulator)
    async with opened(simulator, token=TOKEN) as clients:
        collected = await collect(conn, clients)
    assert collected.errors == []
    today = utc_day(now_us())
    stored = await scores_between(conn, today, today)
    of_bitcoin = {score.source: score for score in stored if score.base == "BTC"}
    assert set(of_bitcoin) == {
        SentimentSource.GDELT,
        SentimentSource.NEWS,
        SentimentSource.VOTES,
        SentimentSource.X,
        SentimentSource.COMBINED,
    }
    of_market = {score.source: score for score in stored if score.base is None}
    assert set(of_market) == {
        SentimentSource.FEAR_GREED,
        SentimentSource.GDELT,
        SentimentSource.NEWS,
        SentimentSource.COMBINED,
    }
    combined = of_bitcoin[SentimentSource.COMBINED]
    parts = parts_of(combined.detail)
    assert {part.source: part.score for part in parts} == {
        SentimentSource.FEAR_GREED: of_market[SentimentSource.FEAR_GREED].score,
        **{
            source: of_bitcoin[source].score
            for source in (SentimentSource.GDELT, SentimentSource.NEWS, SentimentSource.VOTES)
        },
    }
    assert score_of(parts) == combined.score
    assert {score.base for score in stored if score.source == SentimentSource.COMBINED} >= {
        "BTC",
        "SOL",
        None,
    }
    yesterday = await scores_between(conn, today - timedelta(days=1), today - timedelta(days=1))
    assert {score.source for score in yesterday} >= {
        SentimentSource.FEAR_GREED,
        SentimentSource.GDELT,
        SentimentSource.X,
        SentimentSource.COMBINED,
    }


async def test_a_second_run_sends_few_requests_and_changes_nothing(conn: Conn, simulator: Simulator) -> None:
    async with opened(simulator, token=TOKEN) as clients:
        await collect(conn, clients)
        before = await rows(conn, "select day, source, base, value, score from sentiment order by 1, 2, 3")
        counts = {name: asked(simulator, name) for name in ("gdelt", "coingecko", "x")}
        again = await collect(conn, clients)
    assert counts == {"gdelt": 3, "coingecko": 2, "x": 2}
    assert {name: asked(simulator, name) for name in counts} == counts
    assert again.results[SentimentSource.GDELT].skipped == "requested less than six hours ago"
    assert sum(result.changed for result in again.results.values()) == 0
    assert (
        await rows(conn, "select day, source, base, value, score from sentiment order by 1, 2, 3") == before
    )


async def test_old_days_have_scores_of_sources_with_a_history(conn: Conn, simulator: Simulator) -> None:
    day = date(2024, 3, 9)
    async with opened(simulator) as clients:
        collected = await collect_scores(conn, clients, ASSETS, day, day + timedelta(days=2), now_us())
    assert {source: result.days for source, result in collected.results.items()} == {
        SentimentSource.FEAR_GREED: 3,
        SentimentSource.VOTES: 0,
        SentimentSource.X: 0,
        SentimentSource.GDELT: 0,
    }
    assert "three months" in collected.results[SentimentSource.GDELT].skipped
    assert "not configured: COINWATCH_X_BEARER_TOKEN" in collected.results[SentimentSource.X].skipped
    assert await rows(conn, "select distinct source from sentiment order by 1") == [
        ("combined",),
        ("fear_greed",),
    ]
    assert asked(simulator, "gdelt") == asked(simulator, "coingecko") == asked(simulator, "x") == 0


async def test_three_months_come_in_one_run(conn: Conn, simulator: Simulator) -> None:
    async with opened(simulator) as clients:
        await collect(conn, clients)
        collected = await collect(conn, clients, days=89)
    assert collected.errors == []
    assert await rows(conn, "select count(*) from sentiment where source = 'gdelt' and base = 'BTC'") == [
        (90,)
    ]
    assert await rows(conn, "select count(*) from sentiment where source = 'combined' and base = 'BTC'") == [
        (90,)
    ]


@pytest.mark.parametrize("name", ["alternative", "gdelt", "coingecko", "x"])
async def test_a_failing_source_does_not_affect_the_others(
    conn: Conn, simulator: Simulator, name: str
) -> None:
    simulator.fail_rest(name, 503, times=1_000)
    async with opened(simulator, token=TOKEN) as clients:
        collected = await collect(conn, clients)
    by_name = {
        "alternative": SentimentSource.FEAR_GREED,
        "gdelt": SentimentSource.GDELT,
        "coingecko": SentimentSource.VOTES,
        "x": SentimentSource.X,
    }
    assert [source for source, result in collected.results.items() if result.errors] == [by_name[name]]
    assert f"{name}: " in str(collected.results[by_name[name]].errors[0])
    assert "HTTP 503" in str(collected.results[by_name[name]].errors[0])
    assert all(result.days > 0 for source, result in collected.results.items() if source != by_name[name])
    assert collected.combined > 0


async def test_failed_requests_are_repeated_by_the_next_run(conn: Conn, simulator: Simulator) -> None:
    simulator.fail_rest("gdelt", 503, times=2)
    async with opened(simulator) as clients:
        first = await collect(conn, clients)
        second = await collect(conn, clients)
    assert len(first.results[SentimentSource.GDELT].errors) == 1
    assert (second.results[SentimentSource.GDELT].errors, second.results[SentimentSource.GDELT].days) == (
        [],
        2,
    )
    assert await rows(conn, "select count(*) from sentiment where source = 'gdelt'") == [(6,)]


async def test_a_source_is_skipped_after_two_refusals(conn: Conn, simulator: Simulator) -> None:
    simulator.fail_rest("gdelt", 404, times=1_000)
    async with opened(simulator) as clients:
        collected = await collect(conn, clients)
    assert "with 1 requests left" in str(collected.results[SentimentSource.GDELT].errors[-1])
    assert asked(simulator, "gdelt") == 2


async def test_a_removed_coin_and_a_wrong_key_are_errors(conn: Conn, simulator: Simulator) -> None:
    gone = [Asset("ATL", (), "atlantis"), ASSETS[0]]
    today = utc_day(now_us())
    async with opened(simulator, token=TOKEN.lower()) as clients:
        collected = await collect_scores(conn, clients, gone, today, today, now_us())
    assert "coingecko: /coins/atlantis: HTTP 404 coin not found" in str(
        collected.results[SentimentSource.VOTES].errors[0]
    )
    assert collected.results[SentimentSource.VOTES].days == 1
    assert "Unauthorized" in str(collected.results[SentimentSource.X].errors[0])


def test_configured_assets_come_before_the_largest() -> None:
    names = {"BTC": ("Bitcoin",), **{f"A{number}": (f"Asset {number}",) for number in range(20)}}
    wanted = wanted_assets(["SOL", "BTC", "ODD"], names, {"BTC": "bitcoin"})
    assert [asset.base for asset in wanted] == ["SOL", "BTC", "ODD", *(f"A{number}" for number in range(7))]
    assert wanted[:3] == [
        Asset("SOL", ("Solana",), None),
        Asset("BTC", ("Bitcoin",), "bitcoin"),
        Asset("ODD", (), None),
    ]
