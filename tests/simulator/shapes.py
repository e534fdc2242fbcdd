"""The shape of JSON: what must be equal between a recording and the simulator."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_DECIMAL = re.compile(r"-?\d+\.(\d+)")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d+)Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def shape(value: Any) -> Any:
    """``value`` with contents replaced by their kind; key order and array lengths (of rows) are kept."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, str):
        return _text(value)
    return type(value).__name__


def _text(text: str) -> str:
    if _ISO.fullmatch(text):
        return f"time with {len(text.partition('.')[2]) - 1} digits"
    if _UUID.fullmatch(text):
        return "uuid"
    if _DECIMAL.fullmatch(text):
        return "decimal"
    return "whole" if text.isdigit() else "text"


def digits(text: str) -> int:
    """Digits after the point."""
    return len(text.partition(".")[2])


def body(folder: Path, name: str) -> Any:
    """The body of a recorded REST answer."""
    return json.loads((folder / name).read_text())["body"]


def frames(folder: Path, name: str, text: str) -> list[Any]:
    """The recorded incoming frames that contain ``text``."""
    lines = map(json.loads, (folder / name).read_text().splitlines())
    return [json.loads(line["raw"]) for line in lines if line["dir"] == "in" and text in line["raw"]]
