"""Tokens of the alert endpoint: secrets of a subscriber, of which the endpoint knows the hashes alone."""

from __future__ import annotations

import hashlib
import re
import secrets

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""What an owner of tokens, or a client, may be called."""
HASH = re.compile(r"[0-9a-f]{64}")
LONGEST_TOKEN = 200

_BYTES = 32


def new_token() -> str:
    """A secret that cannot be guessed, to be recognised as ours by scanners for secrets."""
    return f"coinwatch_{secrets.token_urlsafe(_BYTES)}"


def token_hash(token: str) -> str:
    """What is stored of a token. Not salted or slow: tokens are random, not words people choose."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
