"""Candles of all intervals, and what is wanted

Revision: 0004, after 0003
"""

from __future__ import annotations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass
