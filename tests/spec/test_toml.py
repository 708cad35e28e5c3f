"""Values and keys written as TOML: tomllib reads them back."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lth.spec.toml import dotted, shown, written

scalars = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(st.text(), scalars, max_size=3)


@given(st.text(), values)
def test_what_is_written_is_read_back(key: str, value: Any) -> None:
    assert tomllib.loads(f"{dotted([key])} = {written(value)}") == {key: value}


@given(st.recursive(values, lambda below: st.lists(below, max_size=2), max_leaves=6))
def test_what_is_shown_is_short_and_printable(value: Any) -> None:
    assert len(shown(value)) <= 80
    assert shown(value).isprintable()


def test_list_positions_and_depth() -> None:
    assert dotted(["grid", "rewind", 3]) == "grid.rewind[3]"
    assert dotted([]) == ""
    assert written([[[[[1]]]]]) == "[[[[[...]]]]]"
