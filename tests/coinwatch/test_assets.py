"""Normalised contract addresses."""

from __future__ import annotations

import pytest

from coinwatch.assets import plain_contract


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        (" 0xABCd ", "0xabcd"),
        ("0Xabcd", "0xabcd"),
        ("So11111111111111111111111111111111111111112", "So11111111111111111111111111111111111111112"),
    ],
)
def test_only_ethereum_style_addresses_ignore_case(address: str, plain: str) -> None:
    assert plain_contract(address) == plain
