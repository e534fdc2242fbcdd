"""Which assets a text is about. Pure."""

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
"""Names that are known before any provider told them; the last ones keep theirs from being another's."""

TICKERS_THAT_ARE_WORDS: Final = frozenset(
    """
    ACE ACT AI ALL ALT APE ARC ARK ART AUCTION BAKE BAND BANK BAR BEAM BIG BIT BLUR BONE BOOM CAKE CAT CELL
    CHESS CITY COMBO COMP COW CREAM CULT DASH DATA DENT DOCK DOG DOT EDGE ERA ETF EVER FARM FIRE FLOW FLUX
    FOR FORTH FRONT FUN GALA GAS GEAR GHOST GO GODS HARD HIGH HOLD HOOK HOT ICE ID IN IQ IT JOE JUST KEEP
    KEY LINK LIT LOOM LOOT LUNA MAGIC MAP MASK MEME MOVE NEAR NEO NEON NEWS NO NOT OG OM ONE ORCA ORDER PEN
    PEOPLE PERP PIXEL POND PORTAL POWER PROM PUMP QUICK RAD RARE RAY REAL REEF REP ROSE RUNE SAFE SAGA SAND
    SC SEC SEED SHELL SKY SLEEP SNAP SOLVE SPELL STAR STEEM STEP STORM STRONG SUN SUPER SURE SWEAT T TIME
    TON TRIBE TROY TRUMP TRUST TURBO UP US USA USD USUAL WAVES WIN WING X ZEN
    """.split()  # noqa: SIM905 -- a list of words is read as one
)
"""They count when written as ``$LINK``, never as ``LINK``; by their names, such assets are found anyway."""

NAMES_THAT_ARE_WORDS: Final = frozenset(
    """
    act audius axiom band beam blur chain circle compound curve dash dent drift edge fetch flow function gala
    gas golem harmony hive hop horizon hot hyper icon immutable io just linear link loop magic maker mantle
    mask movement near neon ocean official one optimism orbit order orchid origin people plasma portal pulse
    render request reserve river safe saga sand serum shadow sky solar sonic space stacks star status step
    storm story sun super time token trust unity usual wave waves wing world zero
    """.split()  # noqa: SIM905 -- a list of words is read as one
)
"""Never taken for the asset, as headlines write every word with a capital; its ticker may be."""

NAMES_IN_CAPITALS: Final = frozenset({"avalanche", "cosmos", "polygon", "ripple", "stellar", "terra"})
"""Words too, but so rare with a capital that they count then: no "avalanche of orders"."""

_CAPITALS_TO_SHOUT = 0.7
_LETTERS_TO_SHOUT = 12
_SHORTEST_NAME = 3


class Mentions:
    """Finds assets by ticker and name. ``names`` are the names of each ticker, such as BTC: Bitcoin.

    Names count as whole words, in any capitals unless they are words of the language; of names that
    begin alike the longest counts, so that "Bitcoin Cash" is no Bitcoin. Tickers count in capitals, and not
    where everything is in capitals; behind a dollar sign they always do.
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
        some = "|".join(re.escape(ticker) for ticker in sorted(tickers, key=lambda one: (-len(one), one)))
        self._cashtags = re.compile(rf"(?<!\w)\$({some})(?!\w)", re.IGNORECASE)
        self._plain_tickers = re.compile(rf"(?<![\w$])({some})(?!\w)")

    def of(self, text: str) -> tuple[str, ...]:
        """The tickers of the assets that ``text`` names, in order of the alphabet."""
        found = {match[1].upper() for match in self._cashtags.finditer(text)} & self._tickers
        shouts = _shouts(text)
        for match in self._names.finditer(text):
            name = _plain(match[0])
            if name not in NAMES_IN_CAPITALS or (match[0][0].isupper() and not shouts):
                found.update(
                    filter(None, [self._by_name.get(name)])
                )  # odd letters match, and are other words
        if not shouts:
            found |= {match[1] for match in self._plain_tickers.finditer(text)} - TICKERS_THAT_ARE_WORDS
        return tuple(sorted(found))


def _plain(name: str) -> str:
    return " ".join(name.split()).lower()


def _shouts(text: str) -> bool:
    """Whether a whole text is in capitals, so that they say nothing of single words."""
    letters = [letter for letter in text if letter.isalpha()]
    capitals = sum(map(str.isupper, letters))
    return len(letters) >= _LETTERS_TO_SHOUT and capitals >= _CAPITALS_TO_SHOUT * len(letters)
