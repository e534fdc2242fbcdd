"""Logins of the services on the server of the tests, made by ``logins.sql``."""

from __future__ import annotations

import subprocess
from importlib.resources import files

from sqlalchemy import URL

from warehouse.db import roles
from warehouse.db.client_programs import environment, place
from warehouse.embedded.programs import program

VARIABLES = {
    roles.INGEST: "INGEST_PASSWORD",
    roles.ENDPOINT: "ALERTS_PASSWORD",
    roles.PIPELINES: "PIPELINES_PASSWORD",
    roles.DASHBOARD: "DASHBOARD_PASSWORD",
}
"""The variable with the password of each role, as ``logins.sql`` reads it."""


def password(role: str) -> str:
    return f"it's {role}"


def make_logins(administrator: URL, without: str | None = None) -> None:
    """Let the services log in, with their ``password``; ``without``: leave this variable out."""
    inherited = {name: value for name, value in environment(administrator).items() if name not in VARIABLES}
    given = {name: password(role) for role, name in VARIABLES.items() if name != without}
    command = (str(program("psql")), "--no-psqlrc", "--quiet", f"--dbname={place(administrator)}")
    subprocess.run(
        [*command, f"--file={files('warehouse.db') / 'logins.sql'}"],
        env={**inherited, **given},
        check=True,
        capture_output=True,
        text=True,
    )


def login(url: URL, role: str) -> URL:
    """``url`` for a service, after ``make_logins``."""
    return url.set(username=role, password=password(role))
