"""Words of this project that no reader of the field would use, and where they stand."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

_WORDS = """
    tell tells telling teller told say says saying said mood moods trouble troubles nonsense lacking
    upkeep whoever nobody somebody anybody anew anyhow amiss hereafter therein planter
"""
PRIVATE_WORDS = frozenset(_WORDS.split())
"""Refused in identifiers and in texts. ``docs/glossary.md`` has the word to use instead."""
PRIVATE_NAMES = frozenset({"one", "found"})
"""Refused as whole identifiers: a name says what it holds."""
PUBLIC_NAMES = ("told_at", '"nobody"', "``nobody``")
"""Allowed: a column of ``v_sentiment``, and the name of a system user."""
PRIVATE_PHRASES = ("looks at", "look at", "goes on", "comes to be", "of theirs")

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_TEXT_TOKENS = {
    tokenize.STRING,
    tokenize.COMMENT,
    *([tokenize.FSTRING_MIDDLE] if hasattr(tokenize, "FSTRING_MIDDLE") else []),
}


def private_in_text(text: str) -> list[str]:
    """The private words and phrases of a text, in lower case."""
    lower = text.lower()
    for name in PUBLIC_NAMES:
        lower = lower.replace(name, "")
    words = [word for word in _WORD.findall(lower) if word.removesuffix("'s") in PRIVATE_WORDS]
    return words + [phrase for phrase in PRIVATE_PHRASES if phrase in lower]


def is_private_identifier(name: str) -> bool:
    """Whether an identifier is made of private words."""
    if name in PUBLIC_NAMES:
        return False
    return name in PRIVATE_NAMES or any(part.lower() in PRIVATE_WORDS for part in _PART.findall(name))


def private_in_python(path: Path) -> Iterator[str]:
    """``line: word`` for each private word in the identifiers, strings and comments of a module."""
    source = path.read_text()
    if is_private_identifier(path.stem):
        yield f"the file name {path.name}"
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _TEXT_TOKENS:
            for word in private_in_text(token.string):
                yield f"{token.start[0]}: {word} (text)"
    for line, name in _defined_names(ast.parse(source)):
        if is_private_identifier(name):
            yield f"{line}: {name}"


def private_in_page(path: Path) -> Iterator[str]:
    """``line: word`` for each private word in a page of documentation, a template or a settings file."""
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        for word in private_in_text(line):
            yield f"{number}: {word}"


def _defined_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield node.lineno, name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name
            case ast.arg(arg=name):
                yield node.lineno, name
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.ExceptHandler(name=str(name)):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name
            case _:
                pass
