"""The `--set a.b=c` settings of a command line."""

from __future__ import annotations

import tomllib
from datetime import date, time
from typing import Any

from lth.spec.toml import dotted, is_table, shown

FORM = 'Write it as --set train.epochs=3 or --set grid.rewind=\'["0", "2ep"]\''


def apply(document: dict[str, Any], setting: str) -> tuple[str, ...]:
    """Returns the path of the key that `setting` ("a.b=c") has put into `document`.

    The value is read as TOML; a bare word that is none is a string. Raises ValueError with a line for the user.
    """
    key, equals, text = (part.strip() for part in setting.partition("="))
    if not equals or not key:
        raise ValueError(f"--set {shown(setting)}: expected a key, an equals sign and a value. {FORM}")
    if not text:
        raise ValueError(f'--set {shown(setting)}: the value is missing. {FORM}; an empty text is ""')
    path, value = _path(key, setting), _value(text, setting)
    table = document
    for depth, name in enumerate(path[:-1], 1):
        below = table.setdefault(name, {})
        if not is_table(below):
            above = dotted(path[:depth])
            what = f"{above} is not a table (found {shown(below)})"
            raise ValueError(f"--set {shown(setting)}: {what}. Set {above} itself")
        table = below
    table[path[-1]] = value
    return path


def _path(key: str, setting: str) -> tuple[str, ...]:
    path: tuple[str, ...] = ()
    try:
        below: Any = None if "\n" in key else tomllib.loads(f"{key} = 0")
        while is_table(below) and len(below) == 1:
            ((name, below),) = below.items()
            path = (*path, name)
    except (ValueError, RecursionError):
        path, below = (), None
    if below != 0 or not path:
        raise ValueError(f"--set {shown(setting)}: {shown(key)} is not a dotted key. {FORM}")
    return path


def _value(text: str, setting: str) -> Any:
    quoted = text[0] in "\"'[{"
    try:
        read = tomllib.loads(f"value = {text}") if quoted or "#" not in text else {}
    except (ValueError, RecursionError) as problem:
        if quoted:
            raise ValueError(f"--set {shown(setting)}: the value is not TOML: {problem}. {FORM}") from None
        read = {}
    if read.keys() - {"value"} or ("\n" in text and not quoted):
        raise ValueError(f"--set {shown(setting)}: one setting holds one value. {FORM}")
    value = read.get("value", text)
    return text if isinstance(value, date | time) else value
