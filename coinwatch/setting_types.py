"""The kinds of values settings have besides the plain ones, and how each is read from text."""

from __future__ import annotations

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


def _markets(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return tuple(dict.fromkeys(parse_market(part) for part in value.split(",") if part.strip()))
    except CoinwatchError as error:
        raise ValueError(str(error)) from None


def _feeds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    feeds = {}
    for part in filter(None, map(str.strip, value.split(","))):
        outlet, equals, url = part.partition("=")
        if not (equals and outlet.strip() and url.startswith(("http://", "https://"))):
            raise ValueError(f"{part[:60]!r} is not outlet=URL")
        feeds[outlet.strip()] = url.strip()
    return tuple(feeds.items())


def _token_hashes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    pairs = []
    for number, part in enumerate(filter(None, map(str.strip, value.split(","))), 1):
        owner, _, hashed = map(str.strip, part.partition(":"))
        if not (NAME.fullmatch(owner) and HASH.fullmatch(hashed)):
            # Not shown: it may be a token by mistake.
            raise ValueError(f"entry {number} is not name:hash; `coinwatch token NAME` makes one")
        pairs.append((owner, hashed))
    return tuple(pairs)


def _names(value: Any) -> Any:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _asset_ids(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    ids = {}
    for part in filter(None, map(str.strip, value.split(","))):
        base, equals, asset = map(str.strip, part.partition("="))
        if not (equals and base and asset):
            raise ValueError(f"{part[:60]!r} is not base=CoinGecko id, such as BTC=bitcoin")
        ids[base.upper()] = asset
    return tuple(ids.items())


AssetIds = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_asset_ids)]
Feeds = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_feeds)]
TokenHashes = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(_token_hashes)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]
Markets = Annotated[tuple[Market, ...], NoDecode, BeforeValidator(_markets)]
