"""Window arithmetic: pieces cover, do not overlap, and subtraction agrees with counting points."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.times import DAY_US
from coinwatch.windows import Window, merge, subtract

MOMENTS = st.integers(0, 60)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(MOMENTS)
    return Window(start, start + draw(st.integers(1, 20)))


def points(spans: list[Window]) -> set[int]:
    return {point for span in spans for point in range(span.start_us, span.end_us)}


@given(st.lists(windows()), st.lists(windows()))
def test_subtract_agrees_with_counting_points(wanted: list[Window], taken: list[Window]) -> None:
    left = subtract(wanted, taken)
    assert points(left) == points(wanted) - points(taken)
    assert left == merge(left)


@given(st.lists(windows()))
def test_merge_keeps_every_point_in_order_without_touching(spans: list[Window]) -> None:
    merged = merge(spans)
    assert points(merged) == points(spans)
    assert all(before.end_us < after.start_us for before, after in itertools.pairwise(merged))


@given(windows(), st.integers(1, 30))
def test_pieces_cover_exactly(window: Window, length_us: int) -> None:
    pieces = list(window.pieces(length_us))
    assert pieces[0].start_us == window.start_us
    assert pieces[-1].end_us == window.end_us
    assert all(piece.length_us <= length_us for piece in pieces)
    assert all(a.end_us == b.start_us for a, b in itertools.pairwise(pieces))


def test_days_cut_at_midnight() -> None:
    window = Window(DAY_US - 5, 2 * DAY_US + 5)
    assert list(window.days()) == [
        Window(DAY_US - 5, DAY_US),
        Window(DAY_US, 2 * DAY_US),
        Window(2 * DAY_US, 2 * DAY_US + 5),
    ]


@given(windows(), windows())
def test_intersect_agrees_with_counting_points(first: Window, second: Window) -> None:
    both = first.intersect(second)
    assert points([both] if both else []) == points([first]) & points([second])


@pytest.mark.parametrize(("start_us", "end_us"), [(5, 5), (6, 5)])
def test_an_empty_window_is_refused(start_us: int, end_us: int) -> None:
    with pytest.raises(ValueError, match="empty window"):
        Window(start_us, end_us)


@pytest.mark.parametrize("length_us", [0, -1])
def test_pieces_need_a_positive_length(length_us: int) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        list(Window(0, 10).pieces(length_us))
