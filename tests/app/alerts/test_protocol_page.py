"""docs/alert-protocol.md says the truth: its conversations are held, word for word."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hypothesis import given

from app.alerts import protocol
from app.alerts.access import admission
from app.alerts.connections import session
from coinwatch.alerts import condition_parser
from tests.app.alerts.conftest import PAGE, Endpoint, Exchange, check
from tests.app.alerts.test_protocol import ALMOST

CONVERSATIONS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
TIMES = {"ts", "created_at"}
TRADE = re.compile(r"a trade on (\S+) at (\S+)")


def without_times(value: Any) -> Any:
    match value:
        case dict():
            return {key: "time" if key in TIMES else without_times(inner) for key, inner in value.items()}
        case list():
            return [without_times(inner) for inner in value]
        case _:
            return value


async def test_the_conversations(endpoint: Endpoint, exchange: Exchange) -> None:
    assert len(CONVERSATIONS) == 4
    for conversation in CONVERSATIONS:
        async with endpoint.client() as client:
            for line in conversation.splitlines():
                mark, _, said = line.partition(" ")
                if mark == "→":
                    await client.socket.send(said)
                elif mark == "←":
                    assert without_times(await client.read()) == without_times(json.loads(said))
                else:
                    (found,) = TRADE.findall(said)
                    await exchange.trade(found[0], float(found[1]))
            await client.nothing_more()


def test_every_code_is_on_the_page() -> None:
    sources = "".join(
        Path(module.__file__ or "").read_text() for module in (admission, protocol, session, condition_parser)
    )
    codes = set(re.findall(r'(?:Nonsense|Refused)\(\s*"(\w+)"', sources))
    codes |= {f"bad_{field}" for field in re.findall(r'_text\(fields, "(\w+)"', sources)}
    assert len(codes) > 12
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


@given(ALMOST)
def test_what_is_understood_is_what_the_schema_allows(command: dict[str, Any]) -> None:
    frame = json.dumps(command)
    answer = protocol.parse(frame)
    if not isinstance(answer, protocol.Refused):
        check("command", {key: value for key, value in command.items() if value is not None})
