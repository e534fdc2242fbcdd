"""Pseudo-random numbers as a pure function of (seed, index), the basis of all simulated data."""

from __future__ import annotations

import hashlib
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

TABLE_BITS: Final = 12
_TABLE_SIZE = 1 << TABLE_BITS
_QUANTILES = (np.arange(_TABLE_SIZE) + 0.5) / _TABLE_SIZE

NORMAL: Final[Floats] = np.array([NormalDist().inv_cdf(quantile) for quantile in _QUANTILES])
"""Quantiles of the standard normal: 12 hashed bits in, a normal variate out."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31 = np.uint64(30), np.uint64(27), np.uint64(31)
_MASK = np.uint64(_TABLE_SIZE - 1)


def seed_of(*names: object) -> int:
    """A 64-bit seed for a name, the same on every machine and in every run."""
    text = "|".join(map(str, names)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def words(seed: int | Words, index: Ints) -> Words:
    """splitmix64: 64 hashed bits for each index."""
    mixed = (index.astype(np.uint64) + np.uint64(1)) * _GOLDEN + np.asarray(seed, np.uint64)
    mixed = (mixed ^ (mixed >> _30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _27)) * _MIX_2
    return np.asarray(mixed ^ (mixed >> _31), np.uint64)


def bits(hashed: Words, shift: int, count: int = TABLE_BITS) -> Ints:
    """``count`` bits of each word, from bit ``shift`` up, as integers."""
    return ((hashed >> np.uint64(shift)) & np.uint64((1 << count) - 1)).astype(np.int64)


def units(hashed: Words) -> Floats:
    """Each word as a number in ``[0, 1)``."""
    return (hashed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(hashed: Words) -> Floats:
    """Each word as a standard normal variate."""
    return NORMAL[(hashed & _MASK).astype(np.int64)]
