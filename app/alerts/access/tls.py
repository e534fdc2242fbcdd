"""The certificate of the endpoint."""

from __future__ import annotations

import ssl
from pathlib import Path

from coinwatch.errors import SettingsError

_CERT, _KEY = "COINWATCH_ALERTS_TLS_CERT", "COINWATCH_ALERTS_TLS_KEY"


def server_context(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """TLS with this certificate and key; None without a certificate. Raises SettingsError naming the file."""
    if cert is None:
        if key is not None:
            raise SettingsError(f"{_KEY} is set without {_CERT}: set both, or neither")
        return None
    _readable(_CERT, cert, "CERTIFICATE-----")
    if key is not None:
        _readable(_KEY, key, "PRIVATE KEY-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"{_KEY}: {key or cert} is not the key of {_CERT} {cert}") from None
        raise SettingsError(
            f"{_CERT}, {_KEY}: {cert} and {key or cert} cannot be used: {error.reason}"
        ) from None
    return context


def _readable(variable: str, path: Path, has: str) -> None:
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise SettingsError(f"{variable}: cannot read {path}: {error.strerror}") from None
    if has not in text:
        raise SettingsError(f"{variable}: there is no {has.rstrip('-').lower()} in PEM in {path}")


def _no_password() -> str:
    raise SettingsError(f"{_KEY}: the key has a password; store it without one")
