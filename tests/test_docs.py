"""Documentation matches the code: generated pages are current, and what a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from app.cli.runner.parts import waves
from coinwatch.settings import Settings, load_settings
from docs.generate import PAGES
from tests.conftest import PROJECT
from warehouse.db import roles

WRITTEN = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(page: str) -> None:
    assert (PROJECT / page).read_text() == PAGES[page](), f"{page} is out of date: run make docs"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(PROJECT)))
def test_files_and_links_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text()
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing = [link for link in linked if not (page.parent / link).exists()]
    named = re.findall(
        r"`((?:coinwatch|sources|warehouse|ingest_daemon|pipelines|app|simulator|tests|bench|docs)/[\w./]*)`",
        text,
    )
    missing += [path for path in named if not (PROJECT / path).exists()]
    assert not missing


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(PROJECT)))
def test_settings_and_jobs_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text()
    settings = {f"COINWATCH_{name.upper()}" for name in Settings.model_fields} | {"COINWATCH_RECORDINGS"}
    assert set(re.findall(r"\bCOINWATCH_[A-Z_]+[A-Z]\b", text)) <= settings
    jobs = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", text)) <= jobs


def test_log_lines_quoted_for_operators_are_logged() -> None:
    quoted = re.findall(r"`([a-z][a-z0-9 %,:]+)`", (PROJECT / "docs" / "operations.md").read_text(), re.I)
    lines = {
        text for text in quoted if text.count(" ") >= 2 and not text.startswith(("coinwatch ", "select "))
    }
    packages = ("app", "coinwatch", "ingest_daemon", "pipelines", "sources", "warehouse")
    code = "".join(path.read_text() for name in packages for path in (PROJECT / name).rglob("*.py"))
    assert lines
    assert [line for line in sorted(lines) if line not in code] == []


def test_compose_runs_every_part_with_a_health_check() -> None:
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    services = compose["services"]
    parts = {part.name for wave in waves(load_settings(), Path("code.sock"), demo=False) for part in wave}
    assert set(services) == parts | {"postgres", "migrate"}
    assert all("healthcheck" in service for name, service in services.items() if name != "migrate")
    known = {f"COINWATCH_{name.upper()}" for name in Settings.model_fields}
    for service in services.values():
        assert {name for name in service["environment"] if name.startswith("COINWATCH_")} <= known


def test_compose_gives_each_service_a_database_role_of_its_own() -> None:
    services = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]
    expected = {
        "migrate": ("coinwatch", "POSTGRES_PASSWORD"),
        "ingest": (roles.INGEST, "INGEST_PASSWORD"),
        "alerts": (roles.ENDPOINT, "ALERTS_PASSWORD"),
        **dict.fromkeys(("pipelines", "dagster", "scheduler"), (roles.PIPELINES, "PIPELINES_PASSWORD")),
        "dashboard": (roles.DASHBOARD, "DASHBOARD_PASSWORD"),
    }
    for name in services.keys() - {"postgres"}:
        url = services[name]["environment"]["COINWATCH_DATABASE_URL"]
        user, _, password = url.removeprefix("postgresql://").partition("@")[0].partition(":${")
        assert (user, password.partition(":")[0]) == expected[name]
        others = {variable for _, variable in expected.values()} - {expected[name][1]}
        assert name == "migrate" or not others & services[name]["environment"].keys()
