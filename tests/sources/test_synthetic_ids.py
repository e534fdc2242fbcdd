"""Ids derived from the numbers of trades, and detection of repeated frames."""

from __future__ import annotations

from sources.synthetic_ids import REMEMBERED, RecentFrames, SyntheticIds, synthetic_id

TRADE = ("BTCUSDT", 1, 2.0, 3.0, True)


def test_every_process_derives_the_same_ids() -> None:
    first, second = SyntheticIds(), SyntheticIds()
    ids = [first.id_of(*TRADE) for _ in range(3)]
    assert ids == [second.id_of(*TRADE) for _ in range(3)]
    assert ids == [synthetic_id(1, 2.0, 3.0, True, ordinal) for ordinal in range(3)]
    assert len(set(ids)) == 3
    assert all(0 <= trade_id < 2**63 for trade_id in ids)


def test_equal_trades_are_counted_across_many_others() -> None:
    ids = SyntheticIds()
    first = ids.id_of(*TRADE)
    for number in range(REMEMBERED + 10):
        ids.id_of("BTCUSDT", 2, number + 1.0, 3.0, True)
    assert ids.id_of(*TRADE) not in (first,)


def test_recent_frames_detect_repeats() -> None:
    recent = RecentFrames()
    assert not recent.has(b"first")
    assert recent.has(memoryview(b"first"))
    for number in range(REMEMBERED):
        assert not recent.has(b"%d" % number)
    assert recent.has(b"first"), "at least REMEMBERED frames are remembered"
