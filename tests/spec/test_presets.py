"""The presets: complete, commented, and the same as the examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lth.errors import LthError
from lth.spec import Spec, Step, presets
from lth.spec.keys import KEYS
from lth.spec.load import load_spec, parse_spec
from lth.spec.presets import PRESETS, preset_text
from lth.spec.recipe import SGD, StepSchedule

EXAMPLES = Path(__file__).parents[2] / "examples"
COMPLETE = ("digits_lenet", "mnist_lenet")
ASSIGNMENT = re.compile(r"(# )?\w+ = |\]")


def preset(name: str) -> Spec:
    return parse_spec(preset_text(name), name)


def test_the_presets_there_are() -> None:
    assert list(PRESETS) == ["digits_lenet", "mnist_lenet", "cifar10_resnet20", "cifar10_vgg16"]
    found = {path.stem for path in (Path(presets.__file__).parent / "presets").iterdir()}
    assert found == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_bears_its_name(name: str) -> None:
    assert preset(name).name == name


@pytest.mark.parametrize("name", PRESETS)
def test_every_line_of_a_preset_has_a_comment(name: str) -> None:
    lines = preset_text(name).splitlines()
    assignments = [line for line in lines if ASSIGNMENT.match(line) and not line.endswith("[")]
    assert len(assignments) > 20
    assert [line for line in assignments if " # " not in line] == []
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize("name", COMPLETE)
def test_every_key_stands_in_a_complete_preset(name: str) -> None:
    text = preset_text(name)
    assert [key.path for key in KEYS.values() if not re.search(rf"\b{key.path[-1]}( = |\])", text)] == []


@pytest.mark.parametrize("name", COMPLETE)
def test_a_complete_preset_shows_the_defaults_of_what_is_seldom_changed(name: str) -> None:
    seldom = re.findall(r"# Seldom changed:\n(.*?)(?:\n\n|\Z)", preset_text(name), re.S)
    without = re.sub(r"(?<=# Seldom changed:\n).*?(?=\n\n|\Z)", "", preset_text(name), flags=re.S)
    assert len("\n".join(seldom).splitlines()) == 15
    assert parse_spec(without, name) == preset(name)


@pytest.mark.parametrize("name", COMPLETE)
def test_what_is_switched_off_can_be_switched_on(name: str) -> None:
    text, count = re.subn(r"^# (?=\w+ = )", "", preset_text(name), flags=re.M)
    on = parse_spec(text, name).train
    assert count == 4
    assert None not in (on.clip_norm, on.ema, on.micro_batch, on.entry)
    off = {"clip_norm": None, "ema": None, "micro_batch": None, "entry": None}
    assert on.model_copy(update=off) == preset(name).train


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


@pytest.mark.parametrize(
    ("name", "model", "epochs", "milestones", "weight_decay", "exclude"),
    [
        ("cifar10_resnet20", "resnet_20", 182, (Step(91), Step(136)), 2e-4, ()),
        ("cifar10_vgg16", "vgg_16", 160, (Step(80), Step(120)), 1e-4, ("output",)),
    ],
)
def test_cifar10_follows_the_papers(
    name: str, model: str, epochs: int, milestones: tuple[Step, ...], weight_decay: float, exclude: tuple[str, ...]
) -> None:
    """Renda et al. 2020 with their published code; Frankle et al. 2020 with the reference implementation."""
    spec = preset(name)
    assert (spec.data.source, spec.data.batch_size, spec.model.name) == ("cifar10:data/cifar10", 128, model)
    assert (spec.data.augment.crop, spec.data.augment.flip, spec.data.validation.count) == (4, True, 5000)
    sgd = SGD(name="sgd", lr=0.1, momentum=0.9, weight_decay=weight_decay)
    assert (spec.train.epochs, spec.train.optimizer) == (epochs, sgd)
    assert spec.train.schedule == StepSchedule(name="step", milestones=milestones)
    assert (spec.prune.scope, spec.prune.exclude, spec.prune.rates) == ("global", exclude, {})
    assert {Step(), Step(0, 500), Step(0, 2000)} <= set(spec.grid.rewind)
    assert len(spec.seeds) == spec.select.confirm_seeds == 3


def test_the_sparsities_of_cifar10_are_those_of_pruning_a_fifth_again_and_again() -> None:
    levels = {round(1 - 0.8**level, 3) for level in range(1, 25)}
    assert {*preset("cifar10_resnet20").grid.sparsities, *preset("cifar10_vgg16").grid.sparsities} <= levels


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
