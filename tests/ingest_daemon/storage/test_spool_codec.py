"""A batch comes back from the spool as it went in, also into a database that was replaced."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coinwatch.records import Market, Trade
from coinwatch.stream_gaps import GapCause
from ingest_daemon.storage.queue import Batch
from ingest_daemon.storage.spool_codec import decode, encode, markets_in
from warehouse.trades.gaps import Ending, LedgerEntries, Opening

MARKETS = [Market.canonical(name) for name in ("binance:BTC-USDT", "kraken:ETH-EUR")]
IDS = {market: number for number, market in enumerate(MARKETS, 7)}

ids = st.integers(0, 2**63 - 1)
times = st.integers(1, 4_000_000_000_000_000)
numbers = st.floats(min_value=1e-12, max_value=1e12)
trades = st.lists(
    st.builds(Trade, st.sampled_from(MARKETS), ids, times, numbers, numbers, st.booleans()), max_size=20
)
openings = st.builds(
    Opening,
    st.sampled_from(list(IDS.values())),
    st.sampled_from(GapCause),
    st.none() | ids,
    times,
    st.none() | ids,
    st.none() | times,
)
endings = st.builds(Ending, st.sampled_from(list(IDS.values())), ids, times)


@given(trades, trades, st.lists(openings, max_size=3), st.lists(endings, max_size=3))
def test_a_batch_is_decoded_as_it_was_encoded(
    live: list[Trade], past: list[Trade], opened: list[Opening], ended: list[Ending]
) -> None:
    batch, entries = Batch([], live, past, 12), LedgerEntries(opened, ended)
    payload = encode(batch, entries, IDS)
    assert decode(payload, IDS) == (batch, entries)
    assert markets_in(payload) == MARKETS


def test_market_ids_are_those_of_the_current_database() -> None:
    entries = LedgerEntries([Opening(7, GapCause.SILENT, 1, 2)], [Ending(8, 3, 4)])
    payload = encode(Batch(), entries, IDS)
    _, replayed = decode(payload, {MARKETS[0]: 100, MARKETS[1]: 200})
    ids_after = [replayed.openings[0].market_id, replayed.endings[0].market_id]
    assert ids_after == [100, 200]
