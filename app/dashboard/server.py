"""Serves the dashboard: ``streamlit run app/dashboard/server.py``.

The pages are those of ``main.py``. Started by this file, they are imported before the first viewer connects.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import streamlit as st
from starlette.middleware import Middleware

from app.dashboard.preload import Assets

HERE = Path(__file__).parent


@asynccontextmanager
async def ready(_app: st.App) -> AsyncIterator[None]:
    """Import all pages before the first viewer connects."""
    for package in iter_modules([str(HERE)]):
        if (HERE / package.name / "page.py").exists():
            import_module(f"app.dashboard.{package.name}.page")
    import_module("streamlit_echarts")  # can be imported only where Streamlit runs
    yield


app = st.App(HERE / "main.py", lifespan=ready, middleware=[Middleware(Assets)])
