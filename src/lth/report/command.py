"""The command that makes a run again, from the spec as it was written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from lth.errors import SpecError
from lth.spec.load import parse_spec
from lth.spec.schema import Spec
from lth.spec.toml import dotted, written


def command(spec: Spec, text: str, folder: str) -> str | None:
    """Returns the `lth run` that makes the run in `folder` again from `text`, with a --set for all that differs.

    `[execute]` is passed over, for it never changes results. None where `text` is no spec or cannot be brought
    to `spec`, as in a run that was started from Python.
    """
    try:
        before = parse_spec(text, "spec.toml").model_dump(mode="json", exclude={"execute"})
        after = spec.model_dump(mode="json", exclude={"execute"})
        settings = list(_settings(before, after, ()))
        again = parse_spec(text, "spec.toml", settings).model_dump(mode="json", exclude={"execute"})
    except SpecError:
        return None
    if again != after:
        return None
    parts = ["lth", "run", "spec.toml", "--into", folder, *(part for one in settings for part in ("--set", one))]
    return shlex.join(parts)


def _settings(before: dict[str, Any], after: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Yields "a.b=c" for every value of `after` that `before` has otherwise; a table whose keys differ is set whole."""
    for key, value in after.items():
        old, here = before.get(key), (*path, key)
        if old == value:
            continue
        if isinstance(old, dict) and isinstance(value, dict) and _alike(old, value):
            yield from _settings(old, value, here)
        else:
            yield f"{dotted(here)}={written(_given(value))}"


def _alike(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two tables have the same keys given, so that they can be compared key by key."""
    return _given(old).keys() == _given(new).keys() and old.get("name") == new.get("name")


def _given(value: Any) -> Any:
    """The value without keys that are not set, which TOML cannot write."""
    return {key: _given(one) for key, one in value.items() if one is not None} if isinstance(value, dict) else value
