"""Serves the dashboard: ``streamlit run app/dashboard/server.py``.

The pages are those of ``main.py``. Started by this file, they are imported before the first viewer connects,
and requests are checked. A wrong setting, or a sign-in that is not set up correctly, ends the process.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import streamlit as st
import structlog
from starlette.middleware import Middleware

from app.dashboard.serving import log
from app.dashboard.serving.access import process_access
from app.dashboard.serving.guard import Guard
from app.dashboard.serving.preload import Assets
from app.dashboard.serving.uvicorn_private import limit_heads
from coinwatch.errors import SettingsError
from coinwatch.settings import process_settings

HERE = Path(__file__).parent
LARGEST_HEAD = 64 * 1024
"""Bytes of the line and the headers of a request; the cookies of a sign-in take up to 16 kB."""


@asynccontextmanager
async def ready(_app: st.App) -> AsyncIterator[None]:
    """Import all pages before the first viewer connects."""
    for package in iter_modules([str(HERE)]):
        if (HERE / package.name / "page.py").exists():
            import_module(f"app.dashboard.{package.name}.page")
    import_module("streamlit_echarts")  # can be imported only where Streamlit runs
    log.configure(settings)
    structlog.get_logger().info(
        "the dashboard is ready",
        address=f"{st.get_option('server.address')}:{st.get_option('server.port')}",
        sign_in=access.sign_in,
    )
    yield


try:
    settings = process_settings()
    access = process_access()
except SettingsError as error:
    sys.exit(f"coinwatch: the dashboard did not start: {error}")
limit_heads(LARGEST_HEAD)
app = st.App(
    HERE / "main.py",
    lifespan=ready,
    middleware=[
        Middleware(Guard, access=access, pictures=settings.dashboard_coin_pictures),
        Middleware(Assets),
    ],
)
