"""Contract addresses of Gate.io."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coinwatch.errors import BadMessage
from sources.contracts import decode_contracts
from tests.sources.providers.test_coingecko import ANYTHING


def test_addresses_can_be_compared_and_empty_ones_are_none() -> None:
    body = json.dumps(
        [
            {
                "currency": "LINK",
                "chains": [
                    {"name": "ETH", "addr": "0x514910771AF9Ca656af840dff83E8264EcF986CA"},
                    {"name": "SOL", "addr": "LinkSoL1"},
                    {"name": "X", "addr": ""},
                ],
            },
            {"currency": "BTC", "chains": [{"name": "BTC", "addr": None}]},
            {"currency": "OLD"},
            7,
        ]
    )
    assert decode_contracts(body.encode()) == {
        "LINK": {"0x514910771af9ca656af840dff83e8264ecf986ca", "LinkSoL1"}
    }


@pytest.mark.parametrize("body", [b"", b"{}", b"<html>", b"[1"])
def test_anything_but_a_list_is_a_bad_message(body: bytes) -> None:
    with pytest.raises(BadMessage):
        decode_contracts(body)


@given(st.lists(st.fixed_dictionaries({}, optional={"currency": ANYTHING, "chains": ANYTHING}), max_size=4))
def test_whatever_is_in_a_row_it_is_read_or_left_out(rows: list[dict[str, Any]]) -> None:
    for ticker, addresses in decode_contracts(json.dumps(rows).encode()).items():
        assert ticker
        assert all(addresses)
