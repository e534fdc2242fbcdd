"""The pages say what the code does: generated ones are current, and what they name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from app.cli.runner.parts import waves
from coinwatch.settings import Settings, load_settings
from docs.generate import PAGES
from tests.conftest import PROJECT

WRITTEN = sorted([PROJECT / "README.md", PROJECT / "CHANGELOG.md", *(PROJECT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_current(page: str) -> None:
    assert (PROJECT / page).read_text() == PAGES[page](), f"{page} is out of date: run make docs"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
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


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_settings_and_jobs_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text()
    settings = {f"COINWATCH_{name.upper()}" for name in Settings.model_fields} | {"COINWATCH_RECORDINGS"}
    assert set(re.findall(r"\bCOINWATCH_[A-Z_]+[A-Z]\b", text)) <= settings
    jobs = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)`", text)) <= jobs


def test_compose_runs_every_part_with_a_health_check() -> None:
    compose = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
    services = compose["services"]
    parts = {part.name for wave in waves(load_settings(), 4000, demo=False) for part in wave}
    assert set(services) == parts | {"postgres", "migrate"}
    assert all("healthcheck" in service for name, service in services.items() if name != "migrate")
    known = {f"COINWATCH_{name.upper()}" for name in Settings.model_fields}
    for service in services.values():
        assert {name for name in service["environment"] if name.startswith("COINWATCH_")} <= known
