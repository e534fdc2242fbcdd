"""Reading the recordings, and reading time and numbers in a second, slower way than the decoders."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from coinwatch.records import Market, Trade
from coinwatch.times import from_datetime
from sources.exchanges.base import Decoder, Skipped


def frames(path: Path) -> list[bytes]:
    """Every frame the exchange sent, as it was sent."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [_frame(line) for line in lines if line["dir"] == "in"]


def _frame(line: dict[str, str]) -> bytes:
    return base64.b64decode(line["raw_b64"]) if "raw_b64" in line else line["raw"].encode()


def decoded(decode: Decoder, sent: Iterable[bytes]) -> tuple[list[Trade], Counter[str]]:
    """The trades of the frames, and how many of the others there are of each kind."""
    got: list[Trade] = []
    kinds: Counter[str] = Counter()
    for frame in sent:
        answer = decode(frame)
        if isinstance(answer, list):
            got += answer
        else:
            assert isinstance(answer, Skipped)
            kinds[answer.kind] += 1
    return got, kinds


def body(path: Path) -> bytes:
    """The body of a recorded answer, its digits untouched."""
    text = path.read_text().strip()
    start = text.index('"body":') + len('"body":')
    assert text.endswith("}")
    return text[start:-1].strip().encode()


def loads(raw: bytes) -> Any:
    """JSON with every number exact."""
    return json.loads(raw, parse_float=Decimal)


def exact_us(text: str) -> int:
    """A UTC time as text in microseconds, finer digits cut."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = from_datetime(datetime.fromisoformat(whole + "+00:00"))
    return seconds + int(Fraction(f"0.{fraction or 0}") * 1_000_000)


def markets(exchange: str, *symbols: str) -> list[Market]:
    return [Market.canonical(f"{exchange}:{symbol}") for symbol in symbols]
