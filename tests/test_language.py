"""The words of the project are those of its field: no private ones in identifiers, texts or documentation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.language import is_private_identifier, private_in_page, private_in_python, private_in_text

PLACES = (
    *("app", "coinwatch", "ingest_daemon", "pipelines", "simulator", "sources", "warehouse"),
    *("bench", "docs", "tests/app", "tests"),
    *(".env.example", ".github", "*.md", "*.toml", "*.txt", "*.yaml", "*.yml", "Dockerfile", "Makefile"),
)
EXEMPT = {
    "coinwatch/alerts/rule_state.py",  # names in stored JSON
    "docs/glossary.md",  # the words and their replacements
    "tests/coinwatch/alerts/test_rule_state.py",
    "tests/language.py",
    "tests/test_language.py",
}
HISTORY = re.compile(r"warehouse/migrations/versions/00(0\d|11)_")
"""Migrations that databases have run: they are not edited."""
MAX_TEST_NAME = 69
PAGES = {".md", ".css", ".j2", ".html", ".yaml", ".yml", ".toml", ".example", ".txt", ""}


def tracked(place: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--", place], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [PROJECT / name for name in names if name not in EXEMPT and not HISTORY.match(name)]


@pytest.mark.parametrize("place", PLACES)
def test_words_are_those_of_the_field(place: str) -> None:
    private = [
        f"{path.relative_to(PROJECT)}:{word}"
        for path in tracked(place)
        if path.suffix == ".py" or path.suffix in PAGES
        for word in (private_in_python(path) if path.suffix == ".py" else private_in_page(path))
    ]
    assert not private, "docs/glossary.md has the words to use\n" + "\n".join(private)


def test_names_of_tests_are_short() -> None:
    for path in tracked("tests"):
        if path.suffix == ".py":
            names = re.findall(r"def (test_\w+)", path.read_text())
            assert [name for name in names if len(name) > MAX_TEST_NAME] == [], path


@pytest.mark.parametrize("name", ["tell_close", "CameTold", "one", "found", "sayings_said", "MoodReads"])
def test_private_identifiers_are_refused(name: str) -> None:
    assert is_private_identifier(name)


@pytest.mark.parametrize("name", ["found_at_us", "one_second", "storytelling", "retell", "close_ts_us"])
def test_other_identifiers_pass(name: str) -> None:
    assert not is_private_identifier(name)


def test_private_texts_are_refused() -> None:
    assert private_in_text("Nobody was told; it looks at prices.") == ["nobody", "told", "looks at"]
    assert private_in_text("The price is stale: essay, foretold, looks attractive") == ["looks at"]
