"""Stream gaps for every order in which trades and interruptions can arrive."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.records import Market, Trade
from coinwatch.stream_gaps import GapCause
from ingest_daemon.recovery.continuity import HOLE_PATIENCE_S, Continuity
from ingest_daemon.storage.queue import Interruption
from warehouse.trades.gaps import Ending, LedgerEntries, Opening
from warehouse.trades.rows import TickRows

MARKET = Market.canonical("binance:BTC-USDT")
ID = 7


def rows(*ids: int) -> TickRows:
    return TickRows.of([Trade(MARKET, i, 1_000 * i, 1.0, 1.0, True) for i in ids], {MARKET: ID})


def followed(*, is_consecutive: bool = True, known_ts_us: int = 0) -> Continuity:
    continuity = Continuity()
    continuity.begin(MARKET, ID, is_consecutive=is_consecutive, known_ts_us=known_ts_us, now_s=0.0)
    return continuity


def plan(
    continuity: Continuity, *ids: int, cause: GapCause | None = None, now_s: float = 0.0
) -> LedgerEntries:
    interruptions = [Interruption((MARKET,), cause)] if cause else []
    return continuity.plan(interruptions, rows(*ids), now_s)


def test_the_first_live_trade_ends_the_initial_gap() -> None:
    continuity = followed()
    assert plan(continuity, 5, 6, 7) == LedgerEntries([], [Ending(ID, 5, 5_000)])
    assert not plan(continuity, 8)
    assert continuity.newest(MARKET) == (8, 8_000)


def test_a_repeated_trade_does_not_end_a_gap() -> None:
    continuity = followed(known_ts_us=9_000)
    assert not plan(continuity, 8, 9)
    assert continuity.newest(MARKET) is None
    assert plan(continuity, 9, 12, 13).endings == [Ending(ID, 12, 12_000)]


def test_an_interruption_opens_one_gap_and_a_trade_ends_it() -> None:
    continuity = followed()
    plan(continuity, 1, 2)
    entries = plan(continuity, cause=GapCause.DISCONNECTED)
    assert entries == LedgerEntries([Opening(ID, GapCause.DISCONNECTED, 2, 2_000)], [])
    assert not plan(continuity, cause=GapCause.SILENT)
    assert plan(continuity, 9).endings == [Ending(ID, 9, 9_000)]


def test_an_interruption_and_its_end_are_one_entry() -> None:
    continuity = followed()
    plan(continuity, 1)
    both = plan(continuity, 4, 5, cause=GapCause.DISCONNECTED)
    assert both == LedgerEntries([Opening(ID, GapCause.DISCONNECTED, 1, 1_000)], [Ending(ID, 4, 4_000)])


def test_a_hole_counts_when_it_is_still_open_a_second_later() -> None:
    continuity = followed()
    plan(continuity, 1, 2)
    plan(continuity, 6, 7, now_s=10.0)
    assert continuity.has_holes
    assert continuity.overdue_holes(10.5) == []
    assert not plan(continuity, 4, now_s=10.5)
    late = continuity.overdue_holes(10.0 + HOLE_PATIENCE_S)
    assert late == [
        Opening(ID, GapCause.MISSING_TRADES, 2, 2_000, 4, 4_000),
        Opening(ID, GapCause.MISSING_TRADES, 4, 4_000, 6, 6_000),
    ]
    assert not continuity.has_holes
    assert continuity.overdue_holes(20.0) == []


def test_an_interruption_records_the_open_holes() -> None:
    continuity = followed()
    plan(continuity, 1)
    plan(continuity, 3)
    assert plan(continuity, cause=GapCause.SILENT).openings == [
        Opening(ID, GapCause.MISSING_TRADES, 1, 1_000, 3, 3_000),
        Opening(ID, GapCause.SILENT, 3, 3_000),
    ]
    assert not continuity.has_holes


def test_without_consecutive_ids_there_are_no_holes() -> None:
    continuity = followed(is_consecutive=False)
    plan(continuity, 10)
    assert not plan(continuity, 50, 30)
    assert not continuity.has_holes
    assert continuity.newest(MARKET) == (50, 50_000)


def test_a_market_completed_by_recovery_is_live() -> None:
    continuity = followed()
    continuity.complete_until(MARKET, 20, 20_000, 0.0)
    assert not plan(continuity, 21)
    plan(continuity, 25)
    assert continuity.has_holes


def test_a_market_that_is_no_longer_followed_has_no_gaps() -> None:
    continuity = followed()
    plan(continuity, 1, 5)
    continuity.end(MARKET)
    assert not plan(continuity, 9, cause=GapCause.SILENT)
    assert not continuity.has_holes


@given(st.permutations(range(2, 30)), st.lists(st.integers(1, 6), min_size=1))
def test_reordered_trades_leave_no_hole(order: list[int], sizes: list[int]) -> None:
    continuity = followed()
    plan(continuity, 1)
    for part in _parts(order, sizes):
        assert not plan(continuity, *part)
    assert not continuity.has_holes


@given(
    st.sets(st.integers(2, 40)), st.randoms(use_true_random=False), st.lists(st.integers(1, 6), min_size=1)
)
def test_the_gaps_cover_exactly_the_missing_trades(
    missing: set[int], chance: object, sizes: list[int]
) -> None:
    sent = [i for i in range(2, 41) if i not in missing]
    chance.shuffle(sent)  # type: ignore[attr-defined]
    continuity = followed()
    plan(continuity, 1)
    for part in [*_parts(sent, sizes), [41]]:
        plan(continuity, *part)
    missing_ids = {
        i
        for row in continuity.overdue_holes(5.0)
        if row.after_id is not None and row.before_id is not None
        for i in range(row.after_id + 1, row.before_id)
    }
    assert missing_ids == missing


@pytest.mark.parametrize(("usual_s", "quiet_s"), [(0.1, 8.0), (2.0, 16.0), (600.0, 300.0)])
def test_a_market_is_suspected_by_its_usual_interval(usual_s: float, quiet_s: float) -> None:
    continuity = followed()
    now_s = 0.0
    for number in range(1, 41):
        now_s += usual_s
        plan(continuity, number, now_s=now_s)
    assert continuity.quiet(now_s + quiet_s * 0.95) == []
    assert continuity.quiet(now_s + quiet_s * 1.05) == [MARKET]
    continuity.confirm_quiet(MARKET, now_s + quiet_s * 1.05)
    assert continuity.quiet(now_s + quiet_s * 1.5) == []


def test_a_market_of_unknown_interval_is_suspected_ever_later() -> None:
    continuity = followed()
    continuity.complete_until(MARKET, None, 5, 5.0)
    asked_s, now_s = [], 5.0
    while now_s < 1_200:
        now_s += 0.25
        if continuity.quiet(now_s):
            asked_s.append(now_s)
            continuity.confirm_quiet(MARKET, now_s)
    assert continuity.newest(MARKET) == (None, 5)
    assert asked_s[0] < 15
    waits_s = [later - earlier for earlier, later in pairwise(asked_s)]
    assert all(wait_s <= 300.25 for wait_s in waits_s)
    assert len(asked_s) < 10


def test_a_few_trades_do_not_reset_confirmed_silences() -> None:
    continuity = followed()
    plan(continuity, 1, now_s=0.5)
    assert continuity.quiet(8.4) == []
    assert continuity.quiet(8.6) == [MARKET]
    for _ in range(3):
        continuity.confirm_quiet(MARKET, 9.0)
    plan(continuity, 2, 3, now_s=10.0)
    assert continuity.quiet(10.0 + 63) == []
    assert continuity.quiet(10.0 + 65) == [MARKET]


def test_interruptions_do_not_count_as_quiet_time() -> None:
    continuity = followed()
    now_s = 0.0
    for number in range(1, 41):
        now_s += 60.0 if number % 10 == 0 else 0.1
        plan(continuity, number, cause=GapCause.SILENT if number % 10 == 0 else None, now_s=now_s)
    assert continuity.quiet(now_s + 8.5) == [MARKET]


def _parts(items: Sequence[int], sizes: list[int]) -> list[list[int]]:
    parts, start, turn = [], 0, 0
    while start < len(items):
        size = sizes[turn % len(sizes)]
        parts.append(list(items[start : start + size]))
        start, turn = start + size, turn + 1
    return parts
