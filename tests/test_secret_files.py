"""Files with secrets enter no commit, image or wheel, and the docs create them for their owner only."""

from __future__ import annotations

import re
import subprocess
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.conftest import PROJECT

SECRET_FILES = (
    ".env",
    ".env.local",
    ".env.production",
    "secrets.toml",
    "app/dashboard/.streamlit/secrets.toml",
    "hook.secret",
)
PUBLIC_FILES = (".env.example", "app/dashboard/.streamlit/config.toml", "warehouse/db/roles.py")


@pytest.mark.parametrize("name", [*SECRET_FILES, *PUBLIC_FILES])
def test_git_ignores_files_with_secrets_and_no_others(name: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / ".gitignore").write_bytes((PROJECT / ".gitignore").read_bytes())
    checked = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=tmp_path, check=False)
    assert checked.returncode == (0 if name in SECRET_FILES else 1)


@pytest.mark.parametrize("name", [*SECRET_FILES, *PUBLIC_FILES])
def test_images_contain_no_files_with_secrets(name: str) -> None:
    ignored = False
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        # Docker's patterns start at the root; **/ stands for any folders, or none.
        in_any_folder = pattern.startswith("**/") and fnmatchcase(Path(name).name, pattern[3:])
        if in_any_folder or (fnmatchcase(name, pattern) and "/" not in name):
            ignored = not line.startswith("!")
    assert ignored is (name in SECRET_FILES)


@pytest.mark.parametrize("name", SECRET_FILES)
def test_wheels_contain_no_files_with_secrets(name: str) -> None:
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]
    patterns = tools["setuptools"]["package-data"]["*"]
    assert not any(fnmatchcase("/".join(Path(name).parts[-2:]), pattern) for pattern in patterns)


def test_commands_in_the_docs_create_env_files_for_their_owner_only() -> None:
    pages = [PROJECT / "README.md", PROJECT / ".env.example", *(PROJECT / "docs").glob("*.md")]
    lines = [line for page in pages for line in page.read_text().splitlines()]
    creating = [line for line in lines if re.search(r"(>|\bcp |\binstall ).*\s\.env([\s)`]|$)", line)]
    assert len(creating) >= 3
    assert [line for line in creating if "umask 077" not in line and "install -m 600" not in line] == []
