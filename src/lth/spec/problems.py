"""Whether a document is a spec, and every problem it has if not."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from lth.spec.keys import CHOSEN, FREE, KEYS, example
from lth.spec.rules import broken
from lth.spec.schema import STRUCTURE_ONLY, Spec
from lth.spec.wording import Path, Problem, refusal, worded

MOST = 100


def check(document: dict[str, Any], overridden: Collection[Path] = ()) -> Spec | list[str]:
    """Returns the spec that `document` writes, or a line for each of its problems; `overridden` keys are marked.

    The rules that bind several keys can only be tried on a whole spec: examples stand in for faulty values, and
    a rule is passed over where it reads one of those.
    """
    try:
        spec, found, mended = _structure(document), list[Problem](), list[Path]()
    except ValidationError as error:
        groups = _groups(error)
        found = [worded(*group, document) for group in groups[:MOST]]
        if len(groups) > MOST:
            return [*_lines(found, overridden), f"and {len(groups) - MOST} more problems. Begin with those above"]
        document = copy.deepcopy(document)
        mended = [_mend(document, problem) for problem in found]
        spec = _structure(document)
    rules = [refusal(error.context or {}) for error in broken(spec)]
    found += [problem for problem in rules if not _touches(problem, mended)]
    return _lines(found, overridden) or spec


def _structure(document: dict[str, Any]) -> Spec:
    return Spec.model_validate(document, context=STRUCTURE_ONLY)


def _lines(found: Sequence[Problem], overridden: Collection[Path]) -> list[str]:
    marked = [any(problem.path[: len(path)] == path for path in overridden) for problem in found]
    return [problem.line(" (from --set)" if mark else "") for problem, mark in zip(found, marked, strict=True)]


def _touches(problem: Problem, mended: Sequence[Path]) -> bool:
    involved: list[Path] = [problem.path, *(tuple(key.split(".")) for key in problem.needs)]
    return any(one[: len(two)] == two[: len(one)] for one in involved for two in mended)


def _mend(document: dict[str, Any], problem: Problem) -> Path:
    """The key whose value was taken out of play: an unknown key goes, another gets its example."""
    path = cast(tuple[str, ...], problem.path)
    if not problem.unknown:
        while path not in KEYS:
            path = path[:-1]
        path = path[:-1] if path[:-1] in CHOSEN and path[-1] == "name" else path
    table = document
    for name in path[:-1]:
        table = table.setdefault(name, {})
    table.pop(path[-1], None)
    if not problem.unknown:
        table[path[-1]] = example(path)
    return path


def _groups(error: ValidationError) -> list[tuple[Path, list[ErrorDetails]]]:
    """The errors of one validation by the key at fault; the branches of a union may all speak of one value."""
    groups: dict[Path, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        if details["type"] == "too_short" and len(details["input"]) >= details.get("ctx", {}).get("min_length", 0):
            continue  # pydantic does not count values that are faulty themselves
        path = _path(details)
        if details["type"] in ("union_tag_invalid", "union_tag_not_found"):
            path = (*path, "name")
        groups.setdefault(path, []).append(details)
    return list(groups.items())


def _path(details: ErrorDetails) -> Path:
    """Where the user finds the value: pydantic's location without the names of union branches."""
    path: Path = ()
    rest = details["loc"]
    while rest:
        known = KEYS.get(cast(tuple[str, ...], path))
        if path in CHOSEN:
            rest = rest[1:]
        elif path in FREE or (known is not None and not known.table):
            path = (*path, *(part for part in rest[:1] if path in FREE or isinstance(part, int)))
            break
        path, rest = (*path, *rest[:1]), rest[1:]
    return path
