"""The `--set` settings: what they may write and where."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec.documents import smallest

from lth.errors import SpecError
from lth.spec import Spec, Step
from lth.spec.load import build_spec
from lth.spec.overrides import apply


def build(*overrides: str) -> Spec:
    return build_spec(smallest(), "spec.toml", overrides)


def refused(*overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        build(*overrides)
    return caught.value.problems


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("train.epochs=3", ("train", "epochs"), 3),
        (" train . epochs = 3 ", ("train", "epochs"), 3),
        ("lr=1e-3", ("lr",), 0.001),
        ("flip=true", ("flip",), True),
        ("launcher=local", ("launcher",), "local"),
        ('launcher="local"', ("launcher",), "local"),
        ("source=mnist:data/mnist", ("source",), "mnist:data/mnist"),
        ("source=synthetic:examples=20,size=4", ("source",), "synthetic:examples=20,size=4"),
        ("source=mnist:x#1", ("source",), "mnist:x#1"),
        ("source=3#x", ("source",), "3#x"),
        ("evaluate_every=500it", ("evaluate_every",), "500it"),
        ("name=2024-01-02", ("name",), "2024-01-02"),
        ('name=""', ("name",), ""),
        ('rewind=["0","2ep"]', ("rewind",), ["0", "2ep"]),
        ("rewind=[\n0,\n'2ep'\n]", ("rewind",), [0, "2ep"]),
        ("optimizer={name='adam', lr=1e-3}", ("optimizer",), {"name": "adam", "lr": 0.001}),
        ('prune.rates."fc1.weight"=0.5', ("prune", "rates", "fc1.weight"), 0.5),
    ],
)
def test_a_setting_is_a_dotted_key_and_a_toml_value_or_a_bare_word(
    setting: str, path: tuple[str, ...], value: Any
) -> None:
    document: dict[str, Any] = {}
    assert apply(document, setting) == path
    for name in path:
        document = document[name]
    assert document == value
    assert type(document) is type(value)


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "=",
        "=3",
        "train.epochs",
        "train.epochs=",
        "train.epochs= ",
        "a..b=3",
        ".a=3",
        "a.=3",
        "a b=3",
        "[a]=3",
        "a]\n[b=3",
    ],
)
def test_a_setting_of_another_form_is_refused_with_the_form(setting: str) -> None:
    (line,) = refused(setting)
    assert line.startswith("--set ")
    assert "Write it as --set train.epochs=3" in line


@pytest.mark.parametrize(
    "setting", ["seeds=[0, 1", 'name="x', "data={a", "seeds=[0]\n[x]", "x=1\ny=2", "x=[" + "[" * 5000]
)
def test_a_value_of_another_form_is_refused(setting: str) -> None:
    (line,) = refused(setting)
    assert line.startswith("--set ")
    assert len(line) < 400


def test_settings_change_the_spec() -> None:
    spec = build("train.epochs=30", 'grid.rewind=["0","20ep"]', "prune.scope=global", "select.confirm_seeds=2")
    assert spec.train.epochs == 30
    assert spec.grid.rewind == (Step(), Step(20))
    assert spec.prune.scope == "global"
    assert spec.select.confirm_seeds == 2


def test_a_later_setting_wins() -> None:
    assert build("train.epochs=3", "train.epochs=4").train.epochs == 4


def test_an_unknown_key_is_the_same_error_as_in_a_file() -> None:
    assert refused("train.epocs=3") == ["train.epocs (from --set): unknown key (found 3). Did you mean train.epochs?"]


def test_a_key_below_a_value_is_refused() -> None:
    line = '--set "train.epochs.x=3": train.epochs is not a table (found 10). Set train.epochs itself'
    assert refused("train.epochs.x=3") == [line]


def test_problems_of_settings_and_of_the_spec_come_together() -> None:
    first, second, third = refused("=3", "train.epochs=soon", "data.source=")
    assert first.startswith('--set "=3"')
    assert second.startswith('--set "data.source="')
    assert third == 'train.epochs (from --set): expected a whole number (found "soon"). For example: epochs = 40'


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_setting_gives_a_traceback(key: str, value: str) -> None:
    with suppress(SpecError):
        build(f"{key}={value}")
