"""Access tokens of the alert endpoint. The endpoint stores only their hashes."""

from __future__ import annotations

import hashlib
import re
import secrets

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""The form of the name of a token's owner or of a client."""
HASH = re.compile(r"[0-9a-f]{64}")
LONGEST_TOKEN = 200

_BYTES = 32


def new_token() -> str:
    """Make a random token, with a prefix by which secret scanners recognise it."""
    return f"coinwatch_{secrets.token_urlsafe(_BYTES)}"


def token_hash(token: str) -> str:
    """The stored form of a token: unsalted SHA-256, which suffices because tokens are random."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
