"""Frames no client should send, and some that one should. From a seed, so that a run can be had again."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from app.alerts.protocol import COMMANDS, MAX_FRAME_BYTES
from coinwatch.alerts.condition_parser import EXAMPLES, TERMS

NUMBERS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "-1", "0", "-0.0", "1", "0.5", "1e308"),
    *("9" * 400, "1e5", "9007199254740993", "-9223372036854775809", "true", "null", '"1"', "[]", "{}"),
)
TEXTS = (
    *("", " ", "btcusdt", "BTC-USDC", "binance:btcusdt", "kraken:", ":", "btcusd", "bitcoin", "NaN", "\x00"),
    *("\ud800", "é" * 70, "x" * 600, "'; drop table alert_rules; --", "{symbol}", "{price.__class__}", "{0}"),
    *("24h", "-1s", "1e9d", "now", "2026-01-15T12:00:00Z", "0001-01-01T00:00:00+23:59", "22:00", "Mars/Base"),
)
FIELDS = ("symbol", "price", "condition", "note", "rule_id", "for", "until", "since", "token", "id", *TERMS)


class Sent(NamedTuple):
    """A frame, and what must come of it: one reply, with this ``id`` where it is known, or an end."""

    frame: str | bytes
    as_text: bool | None = None
    """Whether bytes go as a text frame."""
    close_code: int | None = None
    id: object = ...


class Fuzzer:
    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._last_id = 0

    def next(self) -> Sent:
        chance = self._chance
        kind = chance.random()
        if kind < 0.25:
            return self._command(broken=False)
        if kind < 0.50:
            return self._command(broken=True)
        if kind < 0.75:
            return Sent(self._damaged())
        if kind < 0.90:
            return Sent(self._junk(0))
        if kind < 0.95:
            return Sent(chance.randbytes(chance.choice((0, 1, 50, 3_000, MAX_FRAME_BYTES + 1))), id=None)
        if kind < 0.99:
            return Sent(self._odd())
        if kind < 0.995:
            return Sent("x" * chance.randint(MAX_FRAME_BYTES + 1, 200_000), id=None)
        if kind < 0.998:
            return Sent(b'{"cmd":"\xff"}', as_text=True, close_code=1007)
        return Sent("[" * chance.choice((300_000, 1024 * 1024)), close_code=1009)

    def _command(self, *, broken: bool) -> Sent:
        """A command with a fresh id, or now and then the last one again."""
        self._last_id += self._chance.random() > 0.1
        fields: dict[str, Any] = {"cmd": self._chance.choice(COMMANDS), "id": self._last_id}
        match fields["cmd"]:
            case "watch" | "preview":
                fields["symbol"] = self._chance.choice(("btcusdt", "ethusd", "kraken:BTC-USDT", "dogemoon"))
                if self._chance.random() < 0.5:
                    fields["price"] = self._chance.choice((1e9, 2e9, 5e8))
                else:
                    fields["condition"] = json.loads(self._chance.choice(list(EXAMPLES.values())))
                if fields["cmd"] == "preview":
                    fields["since"] = "1h"
            case "unwatch" | "snooze" | "resume":
                fields["rule_id"] = self._chance.randrange(1, 3_000)
                if fields["cmd"] == "snooze":
                    fields["for"] = "1h"
            case "auth":
                fields |= {"token": "coinwatch_none"}
        if not broken:
            return Sent(json.dumps(fields), id=fields["id"])
        written = {name: json.dumps(value) for name, value in fields.items()}
        for name in self._chance.sample(FIELDS, self._chance.randint(1, 3)):
            written[name] = self._value(0)
        if self._chance.random() < 0.1:
            written["cmd"] = self._value(0)
        body = ",".join(f'"{name}":{value}' for name, value in written.items())
        if self._chance.random() < 0.1:
            body += f',"price":{self._value(0)}'  # a key that is there twice
        return Sent(f"{{{body}}}")

    def _damaged(self) -> str:
        """A command cut, doubled, or with values changed."""
        frame = self._command(broken=self._chance.random() < 0.5).frame
        text = frame if isinstance(frame, str) else frame.decode()
        for _ in range(self._chance.randint(1, 3)):
            start, end = sorted(self._chance.randrange(len(text) + 1) for _ in range(2))
            middle = self._chance.choice((text[start:end] * 2, "", self._chance.choice(NUMBERS), "\x00", "é"))
            text = text[:start] + middle + text[end:]
        return text

    def _odd(self) -> str:
        return self._chance.choice(
            (
                *("", " ", "\ufeff{}", "{", "[]", "null", '"watch"', "NaN", "-", "\x00", "{}{}", '{"cmd":'),
                *("[" * 60_000, '{"a":' * 10_000, '{"cmd":"watch","price":' + "9" * 60_000 + "}"),
                '{"cmd":"list","id":' + json.dumps("x" * 101) + "}",
                '{"cmd":"watch","condition":' + '{"type":"all","of":[' * 900 + "]}" * 900 + "}",
                '{"cmd":"subscribe"}',
                "watch btcusdt above 70000",
            )
        )

    def _junk(self, depth: int) -> str:
        kind = self._chance.random()
        if depth > 5 or kind < 0.3:
            return self._value(depth + 1)
        inner = [self._junk(depth + 1) for _ in range(self._chance.randint(0, 4))]
        if kind < 0.6:
            return f"[{','.join(inner)}]"
        names = ("cmd", "type", "of", *FIELDS)
        members = ",".join(f'"{self._chance.choice(names)}":{member}' for member in inner)
        return f"{{{members}}}"

    def _value(self, depth: int) -> str:
        kind = self._chance.random()
        if kind < 0.5:
            return self._chance.choice(NUMBERS)
        if kind < 0.9 or depth > 5:
            return json.dumps(self._chance.choice((*TEXTS, *COMMANDS)))
        return self._junk(depth + 1)
