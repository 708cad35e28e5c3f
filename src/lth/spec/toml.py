"""Values and keys of a spec as TOML writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, cast

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_DEEPEST = 4
_LONGEST = 80


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Returns whether `value` is a table, as tomllib reads one."""
    return isinstance(value, dict)


def written(value: object, depth: int = 0) -> str:
    """Returns `value` as TOML writes it on one line; what lies deeper than four levels becomes "..."."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list | tuple):
        items = cast(list[object], value)
        return "[" + _joined((written(item, depth + 1) for item in items), depth, "...") + "]" if items else "[]"
    if isinstance(value, Mapping):
        table = cast(Mapping[str, object], value)
        pairs = (f"{dotted([key])} = {written(item, depth + 1)}" for key, item in table.items())
        return "{ " + _joined(pairs, depth, "...") + " }" if table else "{}"
    return str(value)


def document(content: Mapping[str, object]) -> str:
    """Returns a whole TOML document: the keys of `content`, then a table for each table in it; None is left out."""
    plain = {key: value for key, value in content.items() if value is not None and not is_table(value)}
    lines = [f"{dotted([key])} = {written(value)}" for key, value in plain.items()]
    for name, table in content.items():
        if is_table(table):
            rows = _without_none(table)
            lines += ["", f"[{dotted([name])}]", *(f"{dotted([key])} = {written(rows[key])}" for key in rows)]
    return "\n".join(lines) + "\n"


def _without_none(table: Mapping[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in table.items() if value is not None}
    return {key: _without_none(value) if is_table(value) else value for key, value in kept.items()}


def shown(value: object) -> str:
    """Returns `value` as TOML writes it, shortened to fit a line of a message."""
    text = written(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def dotted(path: Iterable[str | int]) -> str:
    """Returns the dotted key of `path`: bare names where TOML allows them, list positions as "[3]"."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else _text(part))
    return text


def _joined(items: Iterable[str], depth: int, cut: str) -> str:
    return ", ".join(items) if depth < _DEEPEST else cut


def _text(value: str) -> str:
    """A quoted string; what a terminal could act on or not show is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
