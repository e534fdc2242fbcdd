"""Undocumented parts of psycopg that we use. No other module imports them.

pyproject.toml bounds psycopg to the minor version they were written against; a test names each part that
a newer version lacks.
"""

from psycopg.generators import fetch_many, send

__all__ = ["fetch_many", "send"]
