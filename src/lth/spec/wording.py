"""One problem of a spec, worded for the person who wrote it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast

from pydantic_core import ErrorDetails

from lth.spec.keys import FREE, KEYS, example, nearest
from lth.spec.toml import dotted, is_table, shown, written
from lth.spec.values import FUNCTION, NAME

Path = tuple[str | int, ...]

SHARES = {"sparsities", "tolerance", "fraction", "confidence", "label_smoothing"}
EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a text in quotes",
    "string_unicode": "a text of valid characters",
    "string_too_short": "a text that is not empty",
    NAME: 'letters, digits, ".", "_" and "-", first a letter or digit, at most 100 of them',
    FUNCTION: 'a function as "package.module:function"',
    "tuple_type": "a list",
    "too_short": "at least one value",
    "too_long": "no more than two values",
    "missing": "two values",
    "greater_than": "more than {gt:.10g}",
    "greater_than_equal": "at least {ge:.10g}",
    "less_than": "less than {lt:.10g}",
    "less_than_equal": "at most {le:.10g}",
}


@dataclass(frozen=True)
class Problem:
    """A problem: key, what is wrong, value found as TOML ("" for none), cure, other keys it depends on."""

    path: Path
    what: str
    found: str
    cure: str
    needs: tuple[str, ...] = ()
    unknown: bool = False

    def line(self, note: str = "") -> str:
        """Returns the problem as one line; `note` says where the key comes from."""
        found = f" (found {self.found})" if self.found else ""
        return f"{dotted(self.path)}{note}: {self.what}{found}. {self.cure}"


def worded(path: Path, group: Sequence[ErrorDetails], document: Mapping[str, Any]) -> Problem:
    """Returns the problem of key `path` in `document`, of which pydantic says all in `group`."""
    first = group[0]
    kind, context, value = first["type"], first.get("ctx", {}), first["input"]
    names = cast(tuple[str, ...], path)
    if kind == "refused":
        value = value if context["value"] is None else context["value"]
        return Problem(path, context["what"], shown(value), context["cure"])
    if kind == "extra_forbidden":
        cure = nearest(names, _table(document, names[:-1]).get("name"))
        return Problem(path, "unknown key", shown(value), cure, unknown=True)
    if kind == "union_tag_not_found" or (kind == "missing" and isinstance(path[-1], str)):
        return Problem(path, "missing", "", _add(names))
    if kind == "union_tag_invalid":
        value = _table(document, names[:-1]).get("name")
    expected = list(dict.fromkeys(_expected(details) for details in group))
    if "a number" in expected and "a whole number" in expected:
        expected.remove("a whole number")
    return Problem(path, f"expected {' or '.join(expected)}", shown(value), _cure(path, group, value))


def refusal(context: Mapping[str, Any]) -> Problem:
    """Returns the problem of a broken rule that binds several keys; `context` as `refused` makes it."""
    path = tuple(context["key"].split("."))
    found = "" if context["value"] is None else shown(context["value"])
    return Problem(path, context["what"], found, context["cure"], context["needs"])


def _table(document: Mapping[str, Any], path: Sequence[str]) -> Mapping[str, Any]:
    table: Any = document
    for name in path:
        table = table.get(name) if is_table(table) else None
    return table if is_table(table) else {}


def _choices(details: ErrorDetails) -> list[str]:
    context = details.get("ctx", {})
    return re.findall(r"'([^']*)'", str(context.get("expected_tags") or context.get("expected") or ""))


def _expected(details: ErrorDetails) -> str:
    if choices := _choices(details):
        quoted = [f'"{choice}"' for choice in choices]
        return quoted[0] if len(quoted) == 1 else f"one of {', '.join(quoted)}"
    context = details.get("ctx", {})
    return EXPECTED.get(context.get("pattern", details["type"]), "a table").format(**context)


def _add(path: tuple[str, ...]) -> str:
    """The cure for a missing key or table."""
    value = example(path)
    if KEYS[path].table and len(path) == 1:
        return f"Add a table [{path[0]}], for example with {_lines(value)}"
    where = f"to [{dotted(path[:-1])}]" if path[:-1] else "at the top"
    return f"Add it {where}, for example {path[-1]} = {written(value)}"


def _lines(table: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {written(value)}" for name, value in table.items())


def _cure(path: Path, group: Sequence[ErrorDetails], value: object) -> str:
    """What to write instead: the value itself in its right form where that can be told, else an example."""
    names = tuple(part for part in path if isinstance(part, str))
    names = names[:2] if names[:2] in FREE else names
    choices = [choice for details in group for choice in _choices(details)]
    if isinstance(value, str) and (close := get_close_matches(value.lower(), choices, 1)):
        return f'Did you mean "{close[0]}"?'
    if put := _put(names[-1], {details["type"] for details in group}, value):
        return put
    if len(names) == 1 and KEYS[names].table:
        return f"Write a table [{names[0]}], for example with {_lines(example(names))}"
    return f"For example: {names[-1]} = {written(example(names))}"


def _put(name: str, kinds: set[str], value: object) -> str:
    match value:
        case str() | int() | float() if "tuple_type" in kinds:
            return f"Put it in brackets: {name} = {written([value])}"
        case str() if kinds & {"int_type", "float_type"} and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
            return f"Write it without quotes: {value}"
        case float() if kinds == {"int_type"} and value.is_integer():
            return f"Write it without a point: {int(value)}"
        case int() | float() if name in SHARES and 1 < value <= 100:
            return f"Write {value:g} % as {value / 100:g}"
        case _:
            return ""
