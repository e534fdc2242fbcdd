"""Types of settings that are more than a plain value, and how each is read from text or TOML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from coinwatch.errors import CoinwatchError
from coinwatch.records import Market
from coinwatch.symbols import parse_market
from coinwatch.tokens import HASH, NAME

Port = Annotated[int, Field(ge=1, le=65_535)]
WsUrl = Annotated[str, Field(pattern=r"^wss?://[^\s/]+(/\S*)?$")]
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]


def _from_text(separator: str, parse: Callable[[list[str]], Any]) -> Callable[[Any], Any]:
    """A validator that parses comma-separated text, a list of texts, or a table of texts.

    ``separator`` is what stands between the key and the value of a table's entry when written as text.
    Anything else is left to the type itself.
    """

    def validate(value: Any) -> Any:
        if isinstance(value, Mapping):
            value = [f"{key}{separator}{entry}" for key, entry in value.items()]
        elif isinstance(value, str):
            value = value.split(",")
        if not (isinstance(value, list) and all(isinstance(entry, str) for entry in value)):
            return value
        return parse([entry.strip() for entry in value if entry.strip()])

    return validate


def _parse_markets(entries: list[str]) -> tuple[Market, ...]:
    try:
        return tuple(dict.fromkeys(parse_market(entry) for entry in entries))
    except CoinwatchError as error:
        raise ValueError(str(error)) from None


def _parse_feeds(entries: list[str]) -> tuple[tuple[str, str], ...]:
    feeds = {}
    for entry in entries:
        name, equals, url = map(str.strip, entry.partition("="))
        if not (equals and name and url.startswith(("http://", "https://"))):
            raise ValueError(f"{entry[:60]!r} is not name=URL")
        feeds[name] = url
    return tuple(feeds.items())


def _parse_token_hashes(entries: list[str]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for number, entry in enumerate(entries, 1):
        owner, _, hashed = map(str.strip, entry.partition(":"))
        if not (NAME.fullmatch(owner) and HASH.fullmatch(hashed)):
            # Not shown: it may be a token by mistake.
            raise ValueError(f"entry {number} is not name:hash; `coinwatch token NAME` creates an entry")
        pairs.append((owner, hashed))
    return tuple(pairs)


def _parse_asset_ids(entries: list[str]) -> tuple[tuple[str, str], ...]:
    ids = {}
    for entry in entries:
        base, equals, asset = map(str.strip, entry.partition("="))
        if not (equals and base and asset):
            raise ValueError(f"{entry[:60]!r} is not base=CoinGecko id, such as BTC=bitcoin")
        ids[base.upper()] = asset
    return tuple(ids.items())


AssetIds = Annotated[
    tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_from_text("=", _parse_asset_ids))
]
Feeds = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_from_text("=", _parse_feeds))]
TokenHashes = Annotated[
    tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_from_text(":", _parse_token_hashes))
]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_from_text("", tuple))]
Markets = Annotated[tuple[Market, ...], NoDecode, BeforeValidator(_from_text(":", _parse_markets))]
