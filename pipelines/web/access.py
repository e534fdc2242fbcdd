"""The login of Dagster's web server: a token, sent as a password, as a Bearer token or in a cookie."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from hmac import compare_digest

from itsdangerous import BadSignature, TimestampSigner
from starlette.requests import HTTPConnection

COOKIE = "coinwatch_dagster"
COOKIE_KEPT_S = 30 * 86_400
CHALLENGE = 'Basic realm="Dagster: any user name, COINWATCH_DAGSTER_TOKEN as the password"'


class Login:
    """Checks the token of a request. A browser sends it once, as a password, and then a signed cookie.

    Args:
        token: The token.
        secure: Whether the cookie is for HTTPS only.
    """

    def __init__(self, token: str, *, secure: bool) -> None:
        self._token = token.encode()
        self._signer = TimestampSigner(token, salt=COOKIE, digest_method=hashlib.sha256)
        self._secure = secure

    def has_cookie(self, request: HTTPConnection) -> bool:
        """Whether the request has a cookie of ``new_cookie`` that is not too old."""
        try:
            self._signer.unsign(request.cookies.get(COOKIE, ""), max_age=COOKIE_KEPT_S)
        except BadSignature:
            return False
        return True

    def has_bearer(self, request: HTTPConnection) -> bool:
        """Whether the request has the token as ``Authorization: Bearer``."""
        scheme, _, credentials = _authorization(request)
        return scheme == "bearer" and self._is_token(credentials.encode())

    def has_password(self, request: HTTPConnection) -> bool:
        """Whether the request has the token as the password of ``Authorization: Basic``."""
        scheme, _, credentials = _authorization(request)
        if scheme != "basic":
            return False
        try:
            _, _, password = b64decode(credentials, validate=True).partition(b":")
        except ValueError:
            return False
        return self._is_token(password)

    def new_cookie(self) -> str:
        """The value of ``Set-Cookie`` for a browser that has sent the token."""
        value = self._signer.sign("signed-in").decode()
        secure = "; Secure" if self._secure else ""
        return f"{COOKIE}={value}; Max-Age={COOKIE_KEPT_S}; Path=/; HttpOnly; SameSite=Lax{secure}"

    def _is_token(self, candidate: bytes) -> bool:
        return compare_digest(candidate, self._token)


def _authorization(request: HTTPConnection) -> tuple[str, str, str]:
    scheme, space, credentials = request.headers.get("authorization", "").partition(" ")
    return scheme.lower(), space, credentials.strip()
