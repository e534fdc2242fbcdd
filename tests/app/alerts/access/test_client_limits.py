"""What a client may take, it may take once: over all its connections, and all names of its tokens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from app.alerts.access.rate_limits import Paces
from tests.app.alerts.access.test_admission import ALICE, ALICE_TOO, BOB, TOKENS, bearer
from tests.app.alerts.access.test_rate_limits import Clock
from tests.app.alerts.conftest import Client, Endpoint, Exchange

Start = Callable[[], Awaitable[Endpoint]]

SLOW: dict[str, object] = {"alerts_commands_per_s": 0.5}
"""Five at once."""


@asynccontextmanager
async def clients(endpoint: Endpoint, *whos: tuple[str, str]) -> AsyncIterator[list[Client]]:
    """One for each token and query."""
    async with AsyncExitStack() as stack:
        yield [
            Client(
                await stack.enter_async_context(
                    connect(endpoint.url + query, additional_headers=bearer(token), close_timeout=1)
                )
            )
            for token, query in whos
        ]


@pytest.mark.parametrize("overrides", [{"alerts_watches": 3, "alerts_tokens": TOKENS}])
async def test_watches_are_counted_over_all_names_of_an_owner(exchange: Exchange, start: Start) -> None:
    here, there = await start(), await start()
    async with (
        clients(here, (ALICE, "?client=one"), (ALICE_TOO, "?client=two"), (ALICE, ""), (BOB, "")) as at_first,
        clients(there, (ALICE_TOO, ""), (BOB, "?client=first")) as at_second,
    ):
        first, two, unnamed, bob = at_first
        far, far_bob = at_second
        for client in (first, unnamed, far):
            assert (await watch(client))["type"] == "ack"
        for client in (first, two, unnamed, far):
            refused = await watch(client)
            assert refused["code"] == "too_many_watches"
            assert "3 watches" in str(refused["message"])
        for client in (bob, far_bob, bob):
            assert (await watch(client))["type"] == "ack"
        assert (await watch(far_bob))["code"] == "too_many_watches"
        [mine] = (await far.ask(cmd="list"))["rules"]
        await far.ask(cmd="unwatch", rule_id=mine["rule_id"])
        assert (await watch(two))["type"] == "ack"


@pytest.mark.parametrize("overrides", [{"alerts_watches": 7}])
async def test_connections_that_watch_at_once_do_not_pass_the_limit_together(endpoint: Endpoint) -> None:
    async with clients(endpoint, *[("", "?client=keen")] * 20) as many:
        answers = await asyncio.gather(*map(watch, many))
    assert Counter(answer.get("code", "ack") for answer in answers) == {"ack": 7, "too_many_watches": 13}


@pytest.mark.parametrize(
    ("overrides", "together", "apart"),
    [
        (SLOW, [("", "?client=keen"), ("", "?client=keen")], [("", "?client=other"), ("", "")]),
        (SLOW, [("", "")], [("", ""), ("", "")]),
        (
            {**SLOW, "alerts_tokens": TOKENS},
            [(ALICE, "?client=one"), (ALICE_TOO, "?client=two"), (ALICE, "")],
            [(BOB, "?client=one")],
        ),
    ],
)
async def test_commands_are_counted_over_all_connections_of_a_client(
    endpoint: Endpoint, together: list[tuple[str, str]], apart: list[tuple[str, str]]
) -> None:
    async with clients(endpoint, *together) as ours, clients(endpoint, *apart) as others:
        taken = [await ours[number % len(ours)].ask(cmd="ping") for number in range(5)]
        assert [answer["type"] for answer in taken] == ["ack"] * 5
        for client in ours:
            assert (await client.ask(cmd="ping"))["code"] == "too_many_commands"
        for client in others:
            assert (await client.ask(cmd="ping"))["type"] == "ack"
    if together[0][1]:
        async with clients(endpoint, together[0]) as [again]:
            assert (await again.ask(cmd="ping"))["code"] == "too_many_commands"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 15)), max_size=60))
def test_a_pace_lasts_until_it_is_as_good_as_new(visits: list[tuple[str, float]]) -> None:
    clock = Clock()
    paces = Paces(1, clock)
    taken = Counter[str]()
    for client, pause_s in visits:
        clock.now_s += pause_s
        with paces.of(client) as pace:
            taken[client] += not pace.take()
    for count in taken.values():
        assert count <= 10 + clock.now_s
    clock.now_s += 20
    with paces.of("d"):
        assert len(paces) == 1


def test_connections_at_once_share_a_pace() -> None:
    paces = Paces(1, Clock())
    with ExitStack() as stack:
        first, other = (stack.enter_context(paces.of("a")) for _ in range(2))
        assert first is other
        with paces.of("b") as third:
            assert third is not first
        assert stack.enter_context(paces.of("a")) is first
    assert len(paces) == 1  # b has rested, a went last


async def watch(client: Client) -> dict[str, object]:
    return await client.ask(cmd="watch", symbol="ethusd", price=1e9)
