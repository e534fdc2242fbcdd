"""Who may see the dashboard: everyone who reaches it, or only viewers who have signed in.

It is decided once, when the process starts. Whatever is unclear about the sign-in stops the dashboard; no
mistake opens it, and no change of a file does so later.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit

import streamlit as st

from app.dashboard.streamlit_private import is_manually_set
from coinwatch.errors import SettingsError
from coinwatch.settings import process_settings
from coinwatch.settings.addresses import is_loopback

SETTING = "COINWATCH_DASHBOARD_LOGIN"
KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
"""What an ``[auth]`` section must have."""
SHORTEST_COOKIE_SECRET = 16
CALLBACK = "/oauth2callback"

_OF_SIGN_IN_ONLY = {"cookie_secret", "server_metadata_url"}
"""Other programs have no such keys in Streamlit's secrets."""
_GUIDE = "see docs/operations.md, Access to the dashboard"


@dataclass(frozen=True)
class Access:
    """Who may see the dashboard."""

    sign_in: bool
    """A viewer sees nothing before signing in."""
    local_only: bool
    """Only requests that name this machine are answered, because no setting states that a sign-in is not
    needed."""

    def answers_to(self, host: str) -> bool:
        """Whether a request with this ``Host`` header is answered.

        A page of another site can make its own name resolve to this machine, and its visitor's browser then
        sends requests here under that name. A reverse proxy sends the public name.
        """
        if not self.local_only:
            return True
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return is_loopback(name)


@cache
def process_access() -> Access:
    """Who may see the dashboard that this process serves.

    Raises:
        SettingsError: The sign-in is not clear, or every machine could open the dashboard by accident.
    """
    login = process_settings().dashboard_login
    # Streamlit listens on all addresses when none is set.
    address = st.get_option("server.address") or "0.0.0.0"  # noqa: S104
    paths = st.get_option("secrets.files")
    return decide(login, address, _secrets(paths), paths)


def decide(
    login: Literal["required", "off"] | None,
    address: str,
    secrets: Mapping[str, Any],
    paths: Sequence[str],
) -> Access:
    """Who may see a dashboard. Pure: no I/O.

    Args:
        login: the setting; None when it is unset.
        address: what the dashboard listens on.
        secrets: the content of Streamlit's secrets.
        paths: where that content may be, for messages.

    Raises:
        SettingsError: The sign-in is incomplete or misspelt, contradicts the setting, or is missing where
            other machines reach the dashboard.
    """
    problem = _problem_of(secrets)
    where = " or ".join(paths)
    if login == "off":
        if problem is not None or "auth" in secrets:
            raise SettingsError(
                f"{SETTING} is off, but a sign-in is set up in {where}: set it to required, or remove the "
                "section [auth]"
            )
        return Access(sign_in=False, local_only=False)
    if problem is not None:
        raise SettingsError(f"{problem} (in {where}); {_GUIDE}")
    if "auth" in secrets:
        return Access(sign_in=True, local_only=False)
    if login == "required":
        raise SettingsError(f"{SETTING} is required, but there is no section [auth] in {where}; {_GUIDE}")
    if not is_loopback(address):
        raise SettingsError(
            f"it would listen on {address} without a sign-in: set one up ({_GUIDE}), listen on 127.0.0.1, or "
            f"set {SETTING}=off if something else decides who may see it"
        )
    return Access(sign_in=False, local_only=True)


def _problem_of(secrets: Mapping[str, Any]) -> str | None:
    """What is wrong with the section ``[auth]``, or what was probably meant to be that section."""
    auth = secrets.get("auth")
    if auth is None:
        return _misspelt_section(secrets)
    if not isinstance(auth, Mapping):
        return "auth is a value, but has to be a section, [auth]"
    missing = [key for key in KEYS if not (isinstance(auth.get(key), str) and auth[key].strip())]
    if missing:
        others = [key for key in auth if key not in KEYS]
        return "; ".join(f"[auth] has no {key}{_instead(key, others)}" for key in missing)
    if len(auth["cookie_secret"]) < SHORTEST_COOKIE_SECRET:
        return f"cookie_secret in [auth] has to be random, of {SHORTEST_COOKIE_SECRET} characters or more"
    for key in ("redirect_uri", "server_metadata_url"):
        if not _is_web_address(auth[key]):
            return f"{key} in [auth] has to start with https:// and name a host"
    if not auth["redirect_uri"].endswith(CALLBACK):
        return f"redirect_uri in [auth] has to end with {CALLBACK}"
    return None


def _misspelt_section(secrets: Mapping[str, Any]) -> str | None:
    for name, value in secrets.items():
        keys = set(value) if isinstance(value, Mapping) else {name}
        if name.strip().casefold() == "auth" or keys & _OF_SIGN_IN_ONLY:
            shown = f"the section [{name}]" if isinstance(value, Mapping) else f"{name}, outside a section,"
            return f"{shown} is not read: the section of the sign-in is spelt [auth]"
    return None


def _instead(key: str, others: Sequence[str]) -> str:
    similar = get_close_matches(key, others, n=1)
    return f" (but {similar[0]})" if similar else ""


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _secrets(paths: Sequence[str]) -> Mapping[str, Any]:
    """The content of Streamlit's secrets in ``paths``, read by Streamlit; empty when there are none.

    Raises:
        SettingsError: A file cannot be read, or is named explicitly and missing.
    """
    present = [path for path in paths if _is_present(path)]
    absent = [path for path in paths if path not in present]
    if absent and is_manually_set("secrets.files"):
        raise SettingsError(f"STREAMLIT_SECRETS_FILES: there is no {absent[0]}")
    try:
        return st.secrets.to_dict()
    except (OSError, UnicodeDecodeError) as error:
        if not present:
            return {}
        raise SettingsError(f"the sign-in cannot be read from {' or '.join(present)}: {error}") from None


def _is_present(path: str) -> bool:
    """Whether there is something at ``path``, even if it is a link to nothing or cannot be read."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise SettingsError(f"the sign-in cannot be read from {path}: {error.strerror}") from None
    return True
