"""Frames of clients, good and bad."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts import protocol, replies
from app.alerts.protocol import ListRules, Ping, Refused, Unwatch, Watch, parse
from coinwatch.alerts import Above, Below, Terms
from coinwatch.alerts.condition_parser import EXAMPLES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ALMOST = st.fixed_dictionaries(
    {"cmd": st.sampled_from([*protocol.COMMANDS, "dance"]) | JSON},
    optional={
        "id": st.integers() | st.text() | JSON,
        "symbol": st.sampled_from(["btcusdc", "binance:BTC-USDC"]) | st.text() | JSON,
        "price": st.floats() | st.integers() | JSON,
        "condition": st.fixed_dictionaries(
            {}, optional={"type": st.sampled_from(["above", "below"]) | JSON, "price": st.floats() | JSON}
        )
        | JSON,
        "note": st.text() | JSON,
        "rule_id": st.integers() | JSON,
    },
)


def refused(frame: str | bytes) -> Refused:
    answer = parse(frame)
    assert isinstance(answer, Refused), answer
    return answer


def test_watch_with_a_price() -> None:
    assert parse('{"cmd":"watch","symbol":"btcusdc","price":1.0}') == Watch(
        id=None,
        typed="btcusdc",
        condition=Above(price=1.0),
        terms=Terms(template="Take profit on btcusdc"),
    )


def test_watch_with_a_condition() -> None:
    frame = (
        '{"cmd":"watch","id":"a","symbol":"binance:BTC-USDC",'
        '"condition":{"type":"below","price":2},"note":"dip"}'
    )
    assert parse(frame) == Watch(id="a", typed="binance:BTC-USDC", condition=Below(price=2.0), note="dip")


@pytest.mark.parametrize(
    ("frame", "command"),
    [
        ('{"cmd":"unwatch","id":1,"rule_id":7}', Unwatch(1, 7)),
        ('{"cmd":"list"}', ListRules(None)),
        (' {"id":"x","cmd":"ping"} ', Ping("x")),
    ],
)
def test_the_other_commands(frame: str, command: Any) -> None:
    assert parse(frame) == command


@pytest.mark.parametrize(
    ("price", "problem"),
    [
        ("NaN", "NaN"),
        ("Infinity", "infinite"),
        ("-Infinity", "infinite"),
        ("1e999", "infinite"),
        ("1" + "0" * 400, "too large"),
        ("-1", "-1"),
        ("0", "0"),
        ("-0.0", "0"),
        ('"1.0"', "the text '1.0'"),
        ("true", "true"),
        ("[1]", "a list"),
        ("{}", "an object"),
    ],
)
@pytest.mark.parametrize("form", ['"price":%s', '"condition":{"type":"above","price":%s}'])
def test_only_finite_positive_numbers_are_prices(form: str, price: str, problem: str) -> None:
    answer = refused(f'{{"cmd":"watch","id":5,"symbol":"btcusdc",{form % price}}}')
    assert answer.code == "bad_price"
    assert problem in answer.message
    assert "finite number above 0" in answer.hint
    assert answer.id == 5


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b'{"cmd":"ping"}', "binary_frame"),
        ("", "bad_json"),
        ("{", "bad_json"),
        ("[" * 30_000, "bad_json"),
        ('{"a":' * 10_000, "bad_json"),
        ("1" * 5_000, "bad_json"),
        (" " * 65_537, "frame_too_large"),
        ("ä" * 32_769, "frame_too_large"),
        ("null", "not_an_object"),
        ('["watch"]', "not_an_object"),
        ("{}", "unknown_command"),
        ('{"cmd":"WATCH"}', "unknown_command"),
        ('{"cmd":["watch"]}', "unknown_command"),
        ('{"cmd":"subscribe","currency":"USD"}', "unknown_command"),
        ('{"cmd":"ping","id":true}', "bad_id"),
        ('{"cmd":"ping","id":1.5}', "bad_id"),
        ('{"cmd":"ping","id":[]}', "bad_id"),
        ('{"cmd":"ping","id":9007199254740993}', "bad_id"),
        (json.dumps({"cmd": "ping", "id": "x" * 101}), "bad_id"),
        ('{"cmd":"ping","extra":1}', "unknown_field"),
        ('{"cmd":"watch","symbol":"btcusdc","price":1,"repeat":"always"}', "bad_repeat"),
        ('{"cmd":"watch","symbol":"btcusdc"}', "missing_field"),
        ('{"cmd":"watch","symbol":"btcusdc","price":null}', "missing_field"),
        ('{"cmd":"watch","price":1}', "missing_field"),
        ('{"cmd":"watch","symbol":5,"price":1}', "bad_symbol"),
        ('{"cmd":"watch","symbol":" ","price":1}', "bad_symbol"),
        ('{"cmd":"watch","symbol":"a\\u0000b","price":1}', "bad_symbol"),
        ('{"cmd":"watch","symbol":"\\ud800","price":1}', "bad_symbol"),
        ('{"cmd":"watch","symbol":"btcusdc","price":1,"note":"\\u0000"}', "bad_note"),
        (json.dumps({"cmd": "watch", "symbol": "b", "price": 1, "note": "x" * 501}), "bad_note"),
        (
            '{"cmd":"watch","symbol":"b","price":1,"condition":{"type":"above","price":1}}',
            "bad_condition",
        ),
        ('{"cmd":"watch","symbol":"b","condition":"above"}', "bad_condition"),
        ('{"cmd":"watch","symbol":"b","condition":{"type":"near","price":1}}', "bad_condition"),
        ('{"cmd":"watch","symbol":"b","condition":{"type":{},"price":1}}', "bad_condition"),
        ('{"cmd":"watch","symbol":"b","condition":{"price":1}}', "bad_condition"),
        ('{"cmd":"watch","symbol":"b","condition":{"type":"above"}}', "missing_field"),
        ('{"cmd":"watch","symbol":"b","condition":{"type":"above","price":1,"x":1}}', "unknown_field"),
        ('{"cmd":"unwatch"}', "missing_field"),
        ('{"cmd":"unwatch","rule_id":"7"}', "bad_rule_id"),
        ('{"cmd":"unwatch","rule_id":-7}', "bad_rule_id"),
        ('{"cmd":"unwatch","rule_id":true}', "bad_rule_id"),
        ('{"cmd":"unwatch","rule_id":9223372036854775808}', "bad_rule_id"),
    ],
)
def test_invalid_frames_have_an_error_code(frame: str | bytes, code: str) -> None:
    answer = refused(frame)
    assert answer.code == code
    assert answer.message
    assert answer.hint
    assert len(answer.message) < 300


def test_an_unknown_command_gets_the_known_ones_as_hint() -> None:
    assert refused('{"cmd":"subscribe"}').hint == (
        "cmd is one of watch, unwatch, snooze, resume, preview, list, ping, auth"
    )


def test_a_preview_before_1970_is_refused() -> None:
    for span in ('"since":"24h","until":"0001-01-02T00:00:00Z"', '"since":"1969-12-31T23:00:00Z","until":1'):
        assert refused(f'{{"cmd":"preview","symbol":"btcusdc","price":1.0,{span}}}').code == "bad_since"


def must_answer(frame: str | bytes) -> None:
    answer = parse(frame)
    reply = json.loads(replies.error(answer) if isinstance(answer, Refused) else replies.ack(answer.id, "x"))
    assert reply["type"] in ("ack", "error")
    assert "id" in reply
    if isinstance(answer, Refused):
        assert reply["code"]
        assert reply["message"]
        assert reply["hint"]


@given(st.text() | st.binary())
def test_any_frame_gets_a_reply(frame: str | bytes) -> None:
    must_answer(frame)


@given((JSON | ALMOST).map(json.dumps))
def test_any_json_gets_a_reply(frame: str) -> None:
    must_answer(frame)


@given(ALMOST.map(json.dumps), st.data())
def test_a_damaged_command_gets_a_reply(frame: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(frame)))
    end = data.draw(st.integers(start, len(frame)))
    must_answer(frame[:start] + data.draw(st.text(max_size=3)) + frame[end:])


@given(st.integers(-protocol.MAX_SAFE_INT, protocol.MAX_SAFE_INT) | st.text(max_size=100))
def test_the_id_is_returned_unchanged(command_id: int | str) -> None:
    command = parse(json.dumps({"cmd": "ping", "id": command_id}))
    assert isinstance(command, Ping)
    assert json.loads(replies.ack(command.id, "ping"))["id"] == command_id


@pytest.mark.proof
def test_two_hundred_thousand_damaged_frames_get_a_reply() -> None:
    """Valid frames, cut, doubled, and with bytes and values changed; none raises."""
    chance = random.Random(13)
    frames = [
        f'{{"cmd":"{cmd}","id":1,"symbol":"btcusdc","condition":{example},"repeat":"every","since":"1h"}}'
        for example in EXAMPLES.values()
        for cmd in ("watch", "preview")
    ]
    frames += ['{"cmd":"watch","symbol":"btcusdc","price":1.0}', '{"cmd":"snooze","rule_id":7,"for":"1h"}']
    values = ["NaN", "1e999", "-1", "null", "[]", "{}", '""', "true", '"\\u0000"', "1" * 400, "[" * 300]
    understood = 0
    for _ in range(200_000):
        text = chance.choice(frames)
        for _ in range(chance.randint(0, 3)):
            start, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
            middle = chance.choice(
                [text[start:end] * 2, "", chance.choice(values), chr(chance.randrange(0x110000))]
            )
            text = text[:start] + middle + text[end:]
            if not text:
                break
        answer = parse(text)
        understood += not isinstance(answer, Refused)
        json.loads(replies.error(answer)) if isinstance(answer, Refused) else None
    assert understood > 1_000
