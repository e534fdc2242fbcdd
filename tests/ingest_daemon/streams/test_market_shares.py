"""How several daemons share the markets."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from coinwatch.records import Market, Symbol
from ingest_daemon.streams.market_shares import fair_share, to_release

MARKETS = st.lists(
    st.builds(
        Market,
        st.sampled_from(["binance", "coinbase", "kraken", "okx"]),
        st.builds(Symbol, st.sampled_from("ABCDEFGHIJ"), st.sampled_from(["USDT", "EUR"])),
    ),
    unique=True,
)


@given(st.integers(0, 2_000), st.integers(0, 50))
def test_shares_cover_all_markets_evenly(wanted: int, daemons: int) -> None:
    share = fair_share(wanted, daemons)
    assert share * max(1, daemons) >= wanted
    assert (share - 1) * max(1, daemons) < wanted


@given(MARKETS, st.integers(0, 60))
def test_a_daemon_keeps_its_share(held: list[Market], share: int) -> None:
    released = to_release(held, share)
    assert len(set(released)) == len(released)
    assert set(released) <= set(held)
    assert len(held) - len(released) == min(share, len(held))


@given(MARKETS, st.integers(0, 60))
def test_at_most_one_exchange_is_divided_and_the_largest_kept(held: list[Market], share: int) -> None:
    released = set(to_release(held, share))
    kept = {market.exchange for market in held if market not in released}
    divided = kept & {market.exchange for market in released}
    assert len(divided) <= 1
    sizes = Counter(market.exchange for market in held)
    fewest = 0
    room = min(share, len(held))
    for size in sorted(sizes.values(), reverse=True):
        if room <= 0:
            break
        fewest += 1
        room -= size
    assert len(kept) == fewest


@given(MARKETS, st.integers(0, 60), st.data())
def test_the_order_of_held_markets_does_not_matter(
    held: list[Market], share: int, data: st.DataObject
) -> None:
    assert to_release(held, share) == to_release(data.draw(st.permutations(held)), share)


@given(MARKETS, st.integers(0, 60), st.integers(0, 60))
def test_a_smaller_share_releases_more_of_the_same(held: list[Market], share: int, other: int) -> None:
    small, large = sorted((share, other))
    more, less = to_release(held, small), to_release(held, large)
    assert more[: len(less)] == less
