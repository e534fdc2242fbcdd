"""The words of the project are those of its field: no private ones in identifiers, texts or documentation."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.language import is_private_identifier, private_in_page, private_in_python, private_in_text

CLEAN: tuple[str, ...] = (
    ".env.example",
    "app/alerts",
    "app/cli",
    "app/dashboard/__init__.py",
    "app/dashboard/alerts/draft.py",
    "app/dashboard/alerts/fields.py",
    "app/dashboard/alerts/form.py",
    "app/dashboard/alerts/history.py",
    "app/dashboard/alerts/html.py",
    "app/dashboard/alerts/lookback.py",
    "app/dashboard/alerts/page.py",
    "app/dashboard/alerts/preview.py",
    "app/dashboard/alerts/rule_list.py",
    "app/dashboard/alerts/sound.py",
    "app/dashboard/alerts/states.py",
    "app/dashboard/alerts/templates",
    "app/dashboard/alerts/toasts.py",
    "app/dashboard/alerts/widgets.py",
    "app/dashboard/averages",
    "app/dashboard/chart",
    "app/dashboard/data",
    "app/dashboard/data_quality",
    "app/dashboard/fundamentals",
    "app/dashboard/main.py",
    "app/dashboard/overview",
    "app/dashboard/preload.py",
    "app/dashboard/sentiment",
    "app/dashboard/server.py",
    "app/dashboard/ui",
    "bench/alerts.py",
    "bench/alerts_engine.py",
    "bench/alerts_parts.py",
    "bench/backtest.py",
    "bench/browser.py",
    "bench/candles.py",
    "bench/dashboard.py",
    "bench/ingest.py",
    "bench/paced.py",
    "bench/plotly_page.py",
    "bench/spool.py",
    "bench/stored.py",
    "bench/viewer.py",
    "bench/walking.py",
    "coinwatch/__init__.py",
    "coinwatch/alerts",
    "coinwatch/assets.py",
    "coinwatch/averaging",
    "coinwatch/candle_builder.py",
    "coinwatch/client",
    "coinwatch/errors.py",
    "coinwatch/formats.py",
    "coinwatch/http_dates.py",
    "coinwatch/indicators.py",
    "coinwatch/intervals.py",
    "coinwatch/liveness.py",
    "coinwatch/logs.py",
    "coinwatch/records.py",
    "coinwatch/sentiment",
    "coinwatch/settings",
    "coinwatch/stream_gaps.py",
    "coinwatch/symbols.py",
    "coinwatch/times.py",
    "coinwatch/tokens.py",
    "coinwatch/windows.py",
    "docker-compose.yml",
    "docs/alert-protocol.md",
    "docs/cli.md",
    "docs/conditions.py",
    "docs/configuration.md",
    "docs/dashboard_screenshots.py",
    "docs/generate.py",
    "ingest_daemon",
    "pipelines",
    "pyproject.toml",
    "simulator",
    "sources",
    "tests/app/alerts",
    "tests/app/cli",
    "tests/app/dashboard/__init__.py",
    "tests/app/dashboard/alerts/test_browser.py",
    "tests/app/dashboard/alerts/test_form.py",
    "tests/app/dashboard/alerts/test_lookback.py",
    "tests/app/dashboard/alerts/test_page.py",
    "tests/app/dashboard/alerts/test_states.py",
    "tests/app/dashboard/averages",
    "tests/app/dashboard/chart",
    "tests/app/dashboard/conftest.py",
    "tests/app/dashboard/dashboard_server.py",
    "tests/app/dashboard/data",
    "tests/app/dashboard/data_quality",
    "tests/app/dashboard/fundamentals",
    "tests/app/dashboard/health_rows.py",
    "tests/app/dashboard/operations_rows.py",
    "tests/app/dashboard/overview",
    "tests/app/dashboard/pages.py",
    "tests/app/dashboard/pipeline_rows.py",
    "tests/app/dashboard/provider.py",
    "tests/app/dashboard/sentiment",
    "tests/app/dashboard/stock.py",
    "tests/app/dashboard/test_bad_input.py",
    "tests/app/dashboard/test_browser.py",
    "tests/app/dashboard/test_login.py",
    "tests/app/dashboard/test_pages.py",
    "tests/app/dashboard/test_preload.py",
    "tests/app/dashboard/ui",
    "tests/app/dashboard/viewer.py",
    "tests/chaos",
    "tests/coinwatch/alerts",
    "tests/coinwatch/averaging",
    "tests/coinwatch/client",
    "tests/coinwatch/sentiment",
    "tests/coinwatch/test_assets.py",
    "tests/coinwatch/test_candle_builder.py",
    "tests/coinwatch/test_formats.py",
    "tests/coinwatch/test_http_dates.py",
    "tests/coinwatch/test_indicators.py",
    "tests/coinwatch/test_liveness.py",
    "tests/coinwatch/test_records.py",
    "tests/coinwatch/test_settings.py",
    "tests/coinwatch/test_symbols.py",
    "tests/coinwatch/test_times.py",
    "tests/coinwatch/test_windows.py",
    "tests/imported.py",
    "tests/ingest_daemon",
    "tests/pipelines",
    "tests/simulator",
    "tests/sources",
    "tests/stored.py",
    "tests/system",
    "tests/test_imports.py",
    "tests/test_package.py",
    "tests/test_private_parts.py",
    "tests/waiting.py",
    "tests/warehouse",
    "tests/wheel.py",
    "warehouse/alerts",
    "warehouse/assets",
    "warehouse/averages",
    "warehouse/candles",
    "warehouse/db",
    "warehouse/embedded",
    "warehouse/markets.py",
    "warehouse/migrations/versions/0012_comments.py",
    "warehouse/ops",
    "warehouse/sentiment",
    "warehouse/tables",
    "warehouse/trades",
    "warehouse/views.py",
)
"""Folders and files that hold no private word."""
ABOUT_WORDS = {
    "coinwatch/alerts/rule_state.py",  # names in stored JSON
    "docs/glossary.md",
    "tests/coinwatch/alerts/test_rule_state.py",
    "tests/language.py",
    "tests/test_language.py",
}
PAGES = {".md", ".css", ".j2", ".html", ".yaml", ".yml", ".toml", ".example", ".txt"}


def tracked(place: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--", place], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [PROJECT / name for name in names if name not in ABOUT_WORDS]


@pytest.mark.parametrize("place", CLEAN)
def test_words_are_those_of_the_field(place: str) -> None:
    private = [
        f"{path.relative_to(PROJECT)}:{word}"
        for path in tracked(place)
        if path.suffix == ".py" or path.suffix in PAGES
        for word in (private_in_python(path) if path.suffix == ".py" else private_in_page(path))
    ]
    assert not private, "docs/glossary.md has the words to use\n" + "\n".join(private)


@pytest.mark.parametrize("name", ["tell_close", "CameTold", "one", "found", "sayings_said", "MoodReads"])
def test_private_identifiers_are_refused(name: str) -> None:
    assert is_private_identifier(name)


@pytest.mark.parametrize("name", ["found_at_us", "one_second", "storytelling", "retell", "close_ts_us"])
def test_other_identifiers_pass(name: str) -> None:
    assert not is_private_identifier(name)


def test_private_texts_are_refused() -> None:
    assert private_in_text("Nobody was told; it looks at prices.") == ["nobody", "told", "looks at"]
    assert private_in_text("The price is stale: essay, foretold, looks attractive") == ["looks at"]
