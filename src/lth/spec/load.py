"""Reading a spec: TOML, the settings of the command line, and every problem reported at once."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any, cast

from lth.errors import SpecError
from lth.spec import overrides as settings
from lth.spec.problems import check
from lth.spec.schema import Spec
from lth.spec.toml import is_table

LARGEST = 1 << 20
DEEPEST = 32
TOO_DEEP = f"tables or lists nested deeper than {DEEPEST}. No key of a spec needs that; flatten them"


def load_spec(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Spec:
    """Returns the spec in the TOML file at `path` with the `overrides` ("a.b=c") applied.

    Raises SpecError with every problem of file and overrides: key, value found, what is wrong, cure.
    """
    return parse_spec(spec_text(path), path, overrides)


def spec_text(path: str | os.PathLike[str]) -> str:
    """Returns the text of the spec file at `path`. Raises SpecError where there is no UTF-8 text of at most 1 MiB."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except IsADirectoryError:
        raise SpecError(["a folder, not a file. Name the spec file inside it"], at=path) from None
    except FileNotFoundError:
        line = "no such file. Check the path, or make one: lth init digits_lenet > digits_lenet.toml"
        raise SpecError([line], at=path) from None
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise SpecError([f"cannot be read: {reason}. Check the path and its permissions"], at=path) from None
    if len(content) > LARGEST:
        raise SpecError(["larger than 1 MiB, so hardly a spec. Check the path"], at=path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = f"not UTF-8 text: byte {problem.start} is 0x{content[problem.start]:02x}. Save the file as UTF-8"
        raise SpecError([line], at=path) from None


def parse_spec(text: str, at: object, overrides: Sequence[str] = ()) -> Spec:
    """Returns the spec in the TOML `text`, which came from `at`, with the `overrides` applied; raises as load_spec."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise SpecError([_toml_problem(str(problem), text)], at=at) from None
    except RecursionError:
        raise SpecError([TOO_DEEP], at=at) from None
    except ValueError as problem:
        raise SpecError([f"not readable as TOML: {problem}. Check its numbers and dates"], at=at) from None
    return build_spec(document, at, overrides)


def build_spec(document: dict[str, Any], at: object, overrides: Sequence[str] = ()) -> Spec:
    """Returns the spec in `document` (tables as dicts), which is left as it was; raises as load_spec."""
    if _too_deep(document):
        raise SpecError([TOO_DEEP], at=at)
    document, lines, overridden = _copied(document), list[str](), set[tuple[str, ...]]()
    for setting in overrides:
        try:
            overridden.add(settings.apply(document, setting))
        except ValueError as problem:
            lines.append(str(problem))
    if _too_deep(document):
        raise SpecError([*lines, TOO_DEEP], at=at)
    result = check(document, overridden)
    if isinstance(result, Spec) and not lines:
        return result
    raise SpecError([*lines, *(() if isinstance(result, Spec) else result)], at=at)


def _toml_problem(message: str, text: str) -> str:
    """The line for invalid TOML, with its place and the text that stands there."""
    lines = text.splitlines() or [""]
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    line, column = (int(place[1]), int(place[2])) if place else (len(lines), len(lines[-1]) + 1)
    there = lines[min(line, len(lines)) - 1].strip()[:80]
    what = re.sub(r" \(at [^()]*\)$", "", message)
    cure = 'Texts stand in quotes, lists in brackets, each key once: name = "demo", seeds = [0, 1]'
    return f"line {line}, column {column}: not TOML: {what} (found {there!r}). {cure}"


def _copied(table: dict[str, Any]) -> dict[str, Any]:
    """A copy whose tables may be changed; lists are shared, and nobody changes them."""
    return {key: _copied(value) if is_table(value) else value for key, value in table.items()}


def _too_deep(document: dict[str, Any]) -> bool:
    layer: list[object] = [document]
    for _ in range(DEEPEST):
        layer = [below for value in layer for below in _inside(value)]
    return bool(layer)


def _inside(value: object) -> Iterable[object]:
    if is_table(value):
        return value.values()
    return cast(list[object], value) if isinstance(value, list) else ()
