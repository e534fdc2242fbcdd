"""Everything that reads what others wrote: decoders of frames and answers, cleaners of text, commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import NamedTuple

from app.alerts import protocol
from app.alerts.access.refusals import RequestRefused
from app.alerts.connections.http import BadTarget, read_target
from app.alerts.price_stream.request import read_request
from app.dashboard.fundamentals.view import plain
from app.dashboard.ui.indicators import parse_indicator
from coinwatch.errors import CoinwatchError
from coinwatch.intervals import Interval
from coinwatch.outside.http_dates import http_date, retry_after_s
from coinwatch.outside.markup import LONGEST_MARKUP, plain_text
from coinwatch.sentiment.articles import LONGEST_TITLE, canonical_url, title_key
from coinwatch.sentiment.mentions import WELL_KNOWN, Mentions
from coinwatch.sentiment.scoring import score_text
from coinwatch.symbols import parse_market
from ingest_daemon.streams.reader import MAX_MESSAGE_BYTES
from sources import contracts
from sources.exchanges import EXCHANGES
from sources.exchanges._template import Example
from sources.exchanges.base import Exchange, RestRequest
from sources.http import _message
from sources.providers import (
    alternative,
    coingecko,
    coingecko_votes,
    coinmarketcap,
    defillama,
    gdelt,
    lenient_fields,
    telegram,
    x,
)
from sources.providers.feed_parser import decode_feed
from sources.providers.news import LARGEST_FEED
from tests.fuzzing import samples
from tests.simulator.asking import NOW_US
from tests.sources import recorded

ANSWER_BYTES = 4 * 1024 * 1024
TODAY = date(2026, 11, 21)
NOW = datetime(2026, 11, 21, tzinfo=UTC)
_KEEPS_QUADRATIC_TIME = frozenset({"feed"})
"""Of a library, which therefore runs in a process with a limit of time; see test_news.py."""

TITLES = [
    b"Bitcoin <b>rises</b> 5 % &amp; Ether falls | CoinDesk",
    b"\xe2\x82\xbf $BTC $ETH -- SEC v. Ripple!",
]
HTML = [b'<p>A <a href="https://x.y/z">currency</a>&nbsp;of &#8364; 5<br>and<script>x()</script> more</p>']
URLS = [b"https://user@example.org:443/a/b?utm_source=x&b=%41+c#frag", b"http://[::1]/x?a=1;b=2"]
DATES = [b"Tue, 11 Nov 2025 00:17:04 GMT", b"Fri, 31 Dec 9999 23:59:59 -1400", b"120"]
COMMANDS = [
    b'{"cmd":"watch","symbol":"btcusdt","price":70000.5,"note":"{symbol} at {price}","id":1,"for":"10m"}',
    b'{"cmd":"preview","symbol":"kraken:BTC-USD","since":"24h","condition":{"type":"all","of":[{"type":"above",'
    b'"price":1},{"type":"change","percent":5,"window":"1h"}]},"quiet":{"from":"22:00","to":"07:00"}}',
]
TARGETS = [b"/ws?client=bot&after=7", b"/prices?currency=USD&symbol=BTC&interval=60&since_date=2025-11-20"]
EXAMPLE_TRADE = b'{"id":7,"price":"65140.5","size":"0.0027","side":"buy","time_ms":1786310822605}'
EXAMPLE_FRAMES = [b'{"channel":"trades","market":"BTC-USDT","data":[%s]}' % EXAMPLE_TRADE]
EXAMPLE_ANSWERS = [
    b'[[1786310820000,"65140","65150","65130","65145","1.5","97710"]]',
    b"[%s]" % EXAMPLE_TRADE,
    b'[{"name":"BTC-USDT","base":"BTC","quote":"USDT","status":"trading","price_step":"1","size_step":"1"}]',
    b'[{"name":"BTC-USDT","quote_volume":"889377538.04"}]',
    b'{"error":"unknown market"}',
]


class Reader(NamedTuple):
    """Something to give bytes to. It raises one of ``refuses`` and nothing else."""

    name: str
    read: Callable[[bytes], object]
    samples: tuple[bytes, ...]
    longest: int
    """The most bytes that ever reach it."""
    refuses: tuple[type[Exception], ...] = (CoinwatchError,)

    @property
    def is_linear(self) -> bool:
        """Whether twice the input may not cost much more than twice the time."""
        return self.name not in _KEEPS_QUADRATIC_TIME


def all_readers() -> list[Reader]:
    """Every reader of the project."""
    return [*_exchanges(), *_providers(), *_cleaners(), *_commands()]


def _exchanges() -> Iterator[Reader]:
    for exchange in (*EXCHANGES.values(), Example()):
        is_simulated = exchange.name in EXCHANGES
        frames = samples.frames(exchange) if is_simulated else EXAMPLE_FRAMES
        answers = samples.answers(exchange) if is_simulated else EXAMPLE_ANSWERS
        yield Reader(f"{exchange.name} frames", _frames_of(exchange), tuple(frames), MAX_MESSAGE_BYTES)
        for name, read in _answers_of(exchange).items():
            yield Reader(f"{exchange.name} {name}", read, tuple(answers), ANSWER_BYTES)


def _frames_of(exchange: Exchange) -> Callable[[bytes], object]:
    markets = recorded.markets(exchange.name, "BTC-USDT", "BTC-USD", "ZIL-USDT", "SKL-USD")
    decode_many = exchange.many_decoder(markets)

    def read(frame: bytes) -> object:
        if decode_many is not None:
            decode_many([frame, frame])
        return exchange.decoder(markets)(frame)

    return read


def _answers_of(exchange: Exchange) -> dict[str, Callable[[bytes], object]]:
    [market] = recorded.markets(exchange.name, "BTC-USDT")
    answers: dict[str, Callable[[bytes], object]] = {
        "candles": lambda body: exchange.decode_candles(market, Interval.M1, body),
        "trades": lambda body: exchange.decode_trades(market, body),
        "markets": exchange.decode_instruments,
        "errors": exchange.error_in,
    }
    return answers if exchange.volumes_request() is None else {**answers, "volumes": exchange.decode_volumes}


def _providers() -> Iterator[Reader]:
    provided = samples.provided
    index = provided("alternative", alternative.index_request(5))
    tones = provided("gdelt", gdelt.tone_request(("Bitcoin",)))
    coins = provided("coingecko", coingecko.coins_request(), coingecko.top_request(1))
    votes = provided("coingecko", coingecko_votes.votes_request("bitcoin"))
    listings = provided("coinmarketcap", coinmarketcap.listings_request(key=None))
    described = provided("coinmarketcap", *coinmarketcap.descriptions_requests([1, 1027], key=None))
    locked = provided("defillama", defillama.protocols_request(), defillama.chains_request())
    parents = [b'{"parentProtocols":[{"id":"parent#uniswap","name":"Uniswap","gecko_id":"uniswap"}]}']
    counts = [b'{"data":[{"start":"2026-11-20T00:00:00.000Z","tweet_count":4711}],"meta":{}}']
    page = provided("telegram", telegram.channel_request("some_channel"))
    feeds = provided("news", *(RestRequest(f"/{outlet}") for outlet in ("coindesk", "theblock", "decrypt")))
    gateio = [*samples.answers(EXCHANGES["gateio"]), b'[{"currency":"LINK","chains":[{"addr":"0x5149"}]}]']
    errors = [b'{"status":{"error_code":1011,"error_message":"limit"},"error":"not found","msg":"no"}']
    readers: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
        "fear and greed": (lambda body: alternative.decode_index(body, TODAY), index),
        "tones": (lambda body: gdelt.decode_tones(body, "BTC", TODAY), tones),
        "coins": (coingecko.decode_coins, coins),
        "metrics": (coingecko.decode_metrics, coins),
        "votes": (lambda body: coingecko_votes.decode_votes(body, "BTC", TODAY), votes),
        "listings": (coinmarketcap.decode_listings, listings),
        "descriptions": (coinmarketcap.decode_descriptions, described),
        "protocols": (defillama.decode_protocols, locked),
        "chains": (defillama.decode_chains, locked),
        "parents": (defillama.decode_parents, parents),
        "counts": (lambda body: x.decode_counts(body, "BTC", TODAY), counts),
        "contracts": (contracts.decode_contracts, gateio),
        "errors of coingecko": (coingecko.error_in, errors),
        "errors of coinmarketcap": (coinmarketcap.error_in, errors),
        "errors of gdelt": (gdelt.error_in, [b"The specified phrase is too short."]),
        "errors of x": (x.error_in, errors),
        "messages of refusals": (_message, errors),
    }
    for name, (read, given) in readers.items():
        yield Reader(name, read, tuple(given), ANSWER_BYTES)
    yield Reader(
        "channel", lambda body: telegram.decode_channel("c", body, NOW_US), tuple(page), telegram.LARGEST_PAGE
    )
    yield Reader("feed", lambda body: decode_feed("wire", body, NOW_US), tuple(feeds), LARGEST_FEED)


def _cleaners() -> Iterator[Reader]:
    mentions = Mentions({**dict.fromkeys(WELL_KNOWN, ()), "PEPE": ("Pepe Coin",)})
    for name, clean, given, longest in (
        ("markup", plain_text, [*HTML, *TITLES], LONGEST_MARKUP),
        ("descriptions shown", plain, [*HTML, *TITLES], LONGEST_MARKUP),
        ("mentions", mentions.of, TITLES, LONGEST_TITLE),
        ("scores", score_text, TITLES, LONGEST_TITLE),
        ("keys of titles", lambda title: title_key(title, "CoinDesk"), TITLES, LONGEST_TITLE),
        ("addresses", canonical_url, URLS, LONGEST_MARKUP),
        ("links", lenient_fields.url, URLS, ANSWER_BYTES),
        ("texts", lenient_fields.text, TITLES, ANSWER_BYTES),
        ("times", lenient_fields.moment_us, DATES, ANSWER_BYTES),
        ("days", lenient_fields.day, DATES, ANSWER_BYTES),
        ("whole numbers", lenient_fields.whole, [b"120"], ANSWER_BYTES),
        ("dates of headers", http_date, DATES, 100_000),
        ("pauses", lambda header: retry_after_s(header, NOW), DATES, 100_000),
        ("pairs", parse_market, [b"binance:btc_usdt", b"kraken:XBT/USD"], protocol.MAX_FRAME_BYTES),
        ("indicators", parse_indicator, [b"SMA 20", b"bb 20, 2"], 100_000),
    ):
        yield Reader(name, _of_text(clean), tuple(given), longest)


def _commands() -> Iterator[Reader]:
    longest = protocol.MAX_FRAME_BYTES
    yield Reader("commands", _of_text(protocol.parse), tuple(COMMANDS), longest)
    yield Reader("commands in bytes", protocol.parse, tuple(COMMANDS), longest)
    yield Reader("targets", _of_text(read_target), tuple(TARGETS), 8_000, (BadTarget,))
    yield Reader(
        "requests of prices",
        _of_text(lambda path: read_request(path, NOW_US)),
        tuple(TARGETS),
        8_000,
        (RequestRefused,),
    )


def _of_text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda raw: read(raw.decode(errors="replace"))
