"""Invalid input made of valid input, from a seed, so that a run can be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

PIECES = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        "é".encode(),
        "\U0001f4a9".encode(),
    ),
    *(
        b"null",
        b"true",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"-0",
        b"1e999",
        b"-1e-999",
        b"1e400",
        b"0.1",
        b"-1",
    ),
    *(
        b"9" * 20,
        b"9" * 400,
        b"9" * 5_000,
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"{}",
        b"[]",
        b"[null]",
        b'""',
    ),
    *(b"{", b"[", b"}", b"]", b",", b":", b"<", b">", b"<a", b"<a ", b"</a>", b"<!--", b"-->", b"<![CDATA["),
    *(b"&", b"&#", b"&#x41;", b"&#99999999999;", b"&amp;", b"&lt;", b"%", b"%00", b"%ff", b"?", b"#", b"://"),
    *(b"http://[", b"2026-11-20T10:00:00Z", b"0001-01-01T00:00:00+23:59", b"9999-12-31", b"24:00", b"-1400"),
    *(
        b"\r\n",
        b" " * 200,
        b"[" * 2_000,
        b'{"a":' * 2_000,
        b"a." * 200,
        b"<div>" * 200,
        b"'",
        b"GMT",
        b"\x1f\x8b",
    ),
)


def mutated(random: Random, valid: Sequence[bytes], longest: int) -> bytes:
    """One of ``valid`` with bytes changed, removed, repeated, moved, or pieces of others put in."""
    wrong = bytearray(random.choice(valid))
    for _ in range(random.choice((1, 1, 2, 3, 8))):
        place = random.randrange(len(wrong) + 1)
        size = random.choice((1, 1, 2, 4, 16, 64))
        match random.randrange(7):
            case 0 if wrong:
                wrong[place - 1] = random.randrange(256)
            case 1:
                del wrong[place : place + size]
            case 2:
                wrong[place:place] = wrong[place : place + size] * random.choice((1, 2, 30))
            case 3:
                wrong[place : place + random.choice((0, size))] = random.choice(PIECES)
            case 4:
                del wrong[place:]
            case 5:
                other = random.choice(valid)
                start = random.randrange(len(other) + 1)
                wrong[place : place + size] = other[start : start + size * 4]
            case _:
                wrong[place : place + size] = random.randbytes(size)
    return bytes(wrong[:longest])


def pumped(random: Random, valid: Sequence[bytes]) -> tuple[bytes, bytes, bytes]:
    """A beginning, a middle to repeat many times, and an end."""
    base = random.choice(valid)
    start = random.randrange(len(base) + 1)
    if random.random() < 0.5:
        piece = random.choice([piece for piece in PIECES if 0 < len(piece) <= 24])
        middle = piece + (random.choice(PIECES)[:8] if random.random() < 0.5 else b"")
    elif random.random() < 0.2:
        middle, start = base[start:] or b"a", 0
    else:
        middle = base[start : start + random.choice((1, 2, 3, 5, 9, 20, 80))] or b"a"
    tail = start if random.random() < 0.7 else random.randrange(start, len(base) + 1)
    end = b"" if random.random() < 0.3 else base[tail:]
    return base[:start], middle, end
