"""Which assets a text mentions. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

WELL_KNOWN: Final[Mapping[str, tuple[str, ...]]] = {
    "BTC": ("Bitcoin",),
    "ETH": ("Ethereum", "Ether"),
    "SOL": ("Solana",),
    "XRP": ("Ripple",),
    "BNB": ("Binance Coin",),
    "DOGE": ("Dogecoin",),
    "ADA": ("Cardano",),
    "AVAX": ("Avalanche",),
    "LINK": ("Chainlink",),
    "LTC": ("Litecoin",),
    "DOT": ("Polkadot",),
    "TRX": ("TRON",),
    "BCH": ("Bitcoin Cash",),
    "BSV": ("Bitcoin SV",),
    "ETC": ("Ethereum Classic",),
    "WBTC": ("Wrapped Bitcoin",),
}
"""Names known without any provider; the last ones keep "Bitcoin Cash" from matching Bitcoin."""

TICKERS_THAT_ARE_WORDS: Final = frozenset(
    """
    ACE ACT AI ALL ALT APE ARC ARK ART AUCTION BAKE BAND BANK BAR BEAM BIG BIT BLUR BONE BOOM CAKE CAT CELL
    CHESS CITY COMBO COMP COW CREAM CULT DASH DATA DENT DOCK DOG DOT EDGE ERA ETF EVER FARM FIRE FLOW FLUX
    FOR FORTH FRONT FUN GALA GAS GEAR GHOST GO GODS HARD HIGH HOLD HOOK HOT ICE ID IN IQ IT JOE JUST KEEP
    KEY LINK LIT LOOM LOOT LUNA MAGIC MAP MASK MEME MOVE NEAR NEO NEON NEWS NO NOT OG OM ONE ORCA ORDER PEN
    PEOPLE PERP PIXEL POND PORTAL POWER PROM PUMP QUICK RAD RARE RAY REAL REEF REP ROSE RUNE SAFE SAGA SAND
    SC SEC SEED SHELL SKY SLEEP SNAP SOLVE SPELL STAR STEEM STEP STORM STRONG SUN SUPER SURE SWEAT T TIME
    TON TRIBE TROY TRUMP TRUST TURBO UP US USA USD USUAL WAVES WIN WING X ZEN
    """.split()  # noqa: SIM905 -- easier to read than quoted words
)
"""Tickers that match only as ``$LINK``, never as ``LINK``; such assets still match by name."""

NAMES_THAT_ARE_WORDS: Final = frozenset(
    """
    act audius axiom band beam blur chain circle compound curve dash dent drift edge fetch flow function gala
    gas golem harmony hive hop horizon hot hyper icon immutable io just linear link loop magic maker mantle
    mask movement near neon ocean official one optimism orbit order orchid origin people plasma portal pulse
    render request reserve river safe saga sand serum shadow sky solar sonic space stacks star status step
    storm story sun super time token trust unity usual wave waves wing world zero
    """.split()  # noqa: SIM905 -- easier to read than quoted words
)
"""Names that never match, because headlines capitalise every word; the ticker still matches."""

NAMES_IN_CAPITALS: Final = frozenset({"avalanche", "cosmos", "polygon", "ripple", "stellar", "terra"})
"""Words that match only with a capital: not the "avalanche of orders"."""

_CAPITALS_SHARE = 0.7
_CAPITALS_LETTERS = 12
_SHORTEST_NAME = 3


class Mentions:
    """Finds assets by ticker and name. ``names`` maps tickers to names, such as BTC to Bitcoin.

    Names match as whole words, case-insensitively unless they are English words. The longest match wins,
    so "Bitcoin Cash" is not Bitcoin. Tickers match in capitals, unless the whole text is in capitals, and
    always after a dollar sign.
    """

    def __init__(self, names: Mapping[str, Collection[str]]) -> None:
        tickers = {*WELL_KNOWN, *names}
        self._by_name: dict[str, str] = {}
        for ticker in sorted(tickers):
            for name in (*WELL_KNOWN.get(ticker, ()), *names.get(ticker, ())):
                usable = len(name) >= _SHORTEST_NAME and _plain(name) not in NAMES_THAT_ARE_WORDS
                if usable and (name.upper() == ticker or name.upper() not in tickers):
                    self._by_name.setdefault(_plain(name), ticker)
        self._tickers = frozenset(tickers)
        longest_first = sorted(self._by_name, key=lambda name: (-len(name), name))
        alternatives = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in longest_first)
        self._names = re.compile(rf"(?<![\w$])(?:{alternatives})(?!\w)", re.IGNORECASE)
        by_length = sorted(tickers, key=lambda ticker: (-len(ticker), ticker))
        any_ticker = "|".join(map(re.escape, by_length))
        self._cashtags = re.compile(rf"(?<!\w)\$({any_ticker})(?!\w)", re.IGNORECASE)
        self._plain_tickers = re.compile(rf"(?<![\w$])({any_ticker})(?!\w)")

    def of(self, text: str) -> tuple[str, ...]:
        """The tickers of the assets that ``text`` mentions, in alphabetical order."""
        tickers = {match[1].upper() for match in self._cashtags.finditer(text)} & self._tickers
        in_capitals = _in_capitals(text)
        for match in self._names.finditer(text):
            name = _plain(match[0])
            if name not in NAMES_IN_CAPITALS or (match[0][0].isupper() and not in_capitals):
                # Ignoring case also matches other letters, such as the long s: those are no names.
                tickers.update(filter(None, [self._by_name.get(name)]))
        if not in_capitals:
            tickers |= {match[1] for match in self._plain_tickers.finditer(text)} - TICKERS_THAT_ARE_WORDS
        return tuple(sorted(tickers))


def _plain(name: str) -> str:
    return " ".join(name.split()).lower()


def _in_capitals(text: str) -> bool:
    """Whether the whole text is in capitals, so that those of single words mean nothing."""
    letters = [letter for letter in text if letter.isalpha()]
    capitals = sum(map(str.isupper, letters))
    return len(letters) >= _CAPITALS_LETTERS and capitals >= _CAPITALS_SHARE * len(letters)
