"""The presets: complete, commented, and the same as the examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lth.errors import LthError
from lth.spec import Spec, Step
from lth.spec.keys import KEYS
from lth.spec.load import load_spec, parse_spec
from lth.spec.presets import PRESETS, preset_text

EXAMPLES = Path(__file__).parents[2] / "examples"


def preset(name: str) -> Spec:
    return parse_spec(preset_text(name), name)


def test_the_presets_there_are() -> None:
    assert list(PRESETS) == ["digits_lenet", "mnist_lenet"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_bears_its_name(name: str) -> None:
    assert preset(name).name == name


@pytest.mark.parametrize("name", PRESETS)
def test_every_key_stands_in_a_preset_with_a_comment(name: str) -> None:
    text = preset_text(name)
    for key in KEYS.values():
        assert re.search(rf"\b{key.path[-1]}\b", text), key.path
    assignments = [line for line in text.splitlines() if re.match(r"\w+ = |\]", line) and not line.endswith("[")]
    assert len(assignments) > 30
    assert [line for line in assignments if " # " not in line] == []
    assert max(map(len, text.splitlines())) <= 120


def test_digits_is_a_grid_of_five_hundred_tickets() -> None:
    spec = preset("digits_lenet")
    assert len(spec.grid.sparsities) * len(spec.grid.rewind) * len(spec.seeds) == 500
    assert (spec.grid.sparsities[0], spec.grid.sparsities[-1]) == (0.65, 0.99)
    assert spec.grid.rewind[0] == Step()
    assert spec.data.validation.folds == len(spec.seeds) == spec.select.confirm_seeds == 5
    assert (spec.prune.scope, spec.prune.exclude, spec.prune.rates) == ("layerwise", ("output",), {})


def test_mnist_follows_the_reference_recipe() -> None:
    spec = preset("mnist_lenet")
    assert spec.data.source == "mnist:data/mnist"
    assert (spec.data.batch_size, spec.train.epochs, spec.train.optimizer.lr) == (128, 40, 0.1)
    assert spec.model.initialization == "kaiming_normal"
    assert spec.data.validation.count == 5000


def test_the_example_is_the_preset() -> None:
    path = EXAMPLES / "digits_lenet.toml"
    assert path.read_text(encoding="utf-8") == preset_text("digits_lenet")
    assert load_spec(path) == preset("digits_lenet")


def test_an_unknown_preset_is_told_with_the_nearest() -> None:
    with pytest.raises(
        LthError, match=r"lth init: no such preset \(found 'digit_lenet'\)\. Did you mean digits_lenet\?"
    ):
        preset_text("digit_lenet")
    with pytest.raises(LthError, match=r"Choose one of digits_lenet, mnist_lenet"):
        preset_text("../secret")
