"""docs/alert-protocol.md is true: its conversations run word for word, and it names every error code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from app.alerts import protocol
from coinwatch.alerts.condition_parser import fields_of, read_condition
from coinwatch.alerts.conditions import DECLARATIONS
from tests.app.alerts.conftest import PAGE, Endpoint, Exchange, check
from tests.app.alerts.test_protocol import ALMOST
from tests.conftest import PROJECT

CONVERSATIONS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
TIMES = {"ts", "created_at"}
TRADE = re.compile(r"a trade on (\S+) at (\S+)")
REFUSING = ("app/alerts/access", "app/alerts/connections", "coinwatch/alerts")


def without_times(value: Any) -> Any:
    match value:
        case dict():
            return {key: "time" if key in TIMES else without_times(inner) for key, inner in value.items()}
        case list():
            return [without_times(inner) for inner in value]
        case _:
            return value


async def test_conversations_run_word_for_word(endpoint: Endpoint, exchange: Exchange) -> None:
    assert len(CONVERSATIONS) == 4
    for conversation in CONVERSATIONS:
        async with endpoint.client() as client:
            for line in conversation.splitlines():
                mark, _, text = line.partition(" ")
                if mark == "→":
                    await client.socket.send(text)
                elif mark == "←":
                    assert without_times(await client.read()) == without_times(json.loads(text))
                else:
                    ((market, price),) = TRADE.findall(text)
                    await exchange.trade(market, float(price))
            await client.nothing_more()


def test_every_error_code_is_on_the_page() -> None:
    paths = [path for place in REFUSING for path in sorted((PROJECT / place).rglob("*.py"))]
    sources = "".join(path.read_text() for path in [*paths, Path(protocol.__file__)])
    codes = set(re.findall(r'(?:InvalidField|Refused)\(\s*"(\w+)"', sources)) - {"bad_ma_cross"}
    codes |= {f"bad_{field}" for field in re.findall(r'_text\(fields, "(\w+)"', sources)}
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


@given(ALMOST)
def test_parsed_commands_match_the_schema(command: dict[str, Any]) -> None:
    frame = json.dumps(command)
    answer = protocol.parse(frame)
    if not isinstance(answer, protocol.Refused):
        check("command", {key: value for key, value in command.items() if value is not None})


@pytest.mark.parametrize("name", DECLARATIONS)
def test_every_condition_matches_the_schema(name: str) -> None:
    example = json.loads(DECLARATIONS[name].example)
    check("condition", example)
    check("condition", json.loads(json.dumps(fields_of(read_condition(example)))))
