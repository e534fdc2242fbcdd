"""What a backtest stands on, from what is stored of each of its sources."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.alerts.evaluation.coverage import Basis, CoverageSource, CoveredSpan, combined, holds, whole_steps
from coinwatch.windows import Window, merge

WINDOW = Window(0, 100)
WINDOWS = st.lists(
    st.tuples(st.integers(0, 99), st.integers(1, 30)).map(lambda drawn: Window(drawn[0], sum(drawn))),
    max_size=4,
).map(merge)
SOURCES = st.lists(st.builds(CoverageSource, WINDOWS, WINDOWS), min_size=1, max_size=3)
RANKS = list(Basis)


def test_the_weakest_source_counts() -> None:
    binance = CoverageSource([Window(60, 100)], [Window(10, 60)])
    kraken = CoverageSource([Window(20, 90)])
    assert combined(WINDOW, [binance, kraken]) == [
        CoveredSpan(Window(0, 20), Basis.NOTHING),
        CoveredSpan(Window(20, 60), Basis.CANDLES),
        CoveredSpan(Window(60, 90), Basis.TRADES),
        CoveredSpan(Window(90, 100), Basis.NOTHING),
    ]


def test_without_sources_there_is_no_coverage() -> None:
    assert combined(WINDOW, []) == []


@given(SOURCES)
def test_spans_follow_one_another_and_each_moment_is_right(sources: list[CoverageSource]) -> None:
    spans = combined(WINDOW, sources)
    assert [span.window.start_us for span in spans] == [0, *(span.window.end_us for span in spans[:-1])]
    assert spans[-1].window.end_us == WINDOW.end_us
    assert all(before.by is not after.by for before, after in pairwise(spans))
    for span in spans:
        for ts_us in range(span.window.start_us, span.window.end_us):
            bases = [basis_at(source, ts_us) for source in sources]
            assert span.by is max(bases, key=RANKS.index)


def basis_at(source: CoverageSource, ts_us: int) -> Basis:
    if holds(source.trades, ts_us):
        return Basis.TRADES
    return Basis.CANDLES if holds(source.candles, ts_us) else Basis.NOTHING


def test_only_whole_steps_are_kept() -> None:
    assert whole_steps([Window(1, 25), Window(31, 39)], 10) == [Window(10, 20)]
