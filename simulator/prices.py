"""The reference price of every base asset, shared by all exchanges; any time is computed independently.

The logarithm of a price is a sum of tents (the Lévy construction of Brownian motion): a level for
each power of two minutes, each tent's height a hash of (seed, level, position). Heights are scaled
by a slow volatility that is hashed in the same way, which gives calm and wild hours.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from simulator.hashing import Floats, Ints, Words, normals, seed_of, words

GRID: Final = 64
"""Points within a minute between which prices are interpolated linearly."""

_TOP = 17
"""The coarsest level: 2**17 minutes, 91 days. Above it prices stay in their band."""
_LEVELS = np.arange(_TOP, 0, -1)[:, None]
_VOLATILITY_LEVELS = np.array([12, 9, 6])[:, None]
_VOLATILITY_SWING = 0.38
_MINUTES_A_YEAR = 525_600


def log_price(name: str, yearly_volatility: float, minutes: Ints) -> Floats:
    """The logarithm of the price of ``name`` at the start of each minute, relative to its centre."""
    seed = seed_of("price", name)
    a_minute = yearly_volatility / _MINUTES_A_YEAR**0.5
    band = a_minute * 2 ** (_TOP / 2)
    tents = minutes >> _LEVELS
    place = (minutes - (tents << _LEVELS)) / (1 << _LEVELS)
    heights = normals(words(_level_seeds(seed, _LEVELS), tents))
    heights = heights * volatility(name, (tents << _LEVELS).ravel()).reshape(heights.shape)
    heights = heights * (a_minute * np.sqrt(1 << _LEVELS) / 2)
    moved = _add_up(heights * (1.0 - np.abs(2.0 * place - 1.0)))
    moved += band * _interpolated(seed, minutes, np.array([[_TOP]]))
    return moved


def volatility(name: str, minutes: Ints) -> Floats:
    """The volatility around each minute: 1 is normal; hours of 0.4 and of 2.5 occur."""
    return np.exp(_VOLATILITY_SWING * _interpolated(seed_of("volatility", name), minutes, _VOLATILITY_LEVELS))


def drift(name: str, size: float, minutes: Ints) -> Floats:
    """A slow random walk of standard deviation near ``size``, for spreads between exchanges."""
    return size * 0.7 * _interpolated(seed_of("drift", name), minutes, np.array([[10], [6]]))


def within_minutes(name: str, yearly_volatility: float, minutes: Ints) -> Floats:
    """How far the log price deviates inside each minute from the line between its ends.

    Shape ``(len(minutes), GRID + 1)``; the first and last point of each row are 0.
    """
    seed = seed_of("within", name)
    points = (minutes[:, None] * GRID + np.arange(GRID)).ravel()
    scale = volatility(name, minutes) * (yearly_volatility / _MINUTES_A_YEAR**0.5 / 2)
    heights = normals(words(seed, points)).reshape(-1, GRID) * scale[:, None]
    path = np.zeros((len(minutes), GRID + 1))
    step = GRID
    while step > 1:
        half = step // 2
        ends = (path[:, :-1:step] + path[:, step::step]) * 0.5
        path[:, half::step] = ends + heights[:, half::step] * (step / GRID) ** 0.5
        step = half
    return path


def _interpolated(seed: int, minutes: Ints, levels: Ints) -> Floats:
    """Normal variates at the multiples of 2**level minutes, straight lines between, levels summed."""
    left = minutes >> levels
    place = (minutes - (left << levels)) / (1 << levels)
    seeds = _level_seeds(seed, levels + 32)
    return _add_up(normals(words(seeds, left)) * (1.0 - place) + normals(words(seeds, left + 1)) * place)


def _level_seeds(seed: int, levels: Ints) -> Words:
    return words(seed, levels)


def _add_up(rows: Floats) -> Floats:
    """The sum over rows in a fixed order, so that a minute alone and a day at once agree to the bit."""
    total: Floats = rows[0]
    for row in rows[1:]:
        total = total + row
    return total
