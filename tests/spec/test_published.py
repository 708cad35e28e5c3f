"""The specs of published experiments: complete, as the papers say, and reading data from where they are told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lth.errors import LthError
from lth.spec import Step, published
from lth.spec.published import PUBLISHED, published_spec, published_text, scale_named
from lth.spec.recipe import Adam

EVERY = [(name, scale) for name, one in PUBLISHED.items() for scale in one.scales]
ASSIGNMENT = re.compile(r"\w+ = |\]")


def test_the_experiments_there_are() -> None:
    wanted = ["lenet-fc-2019", "lenet-open_lth", "resnet20-renda-2020", "resnet50-stabilizing-2019", "mobilenetv2-2021"]
    assert list(PUBLISHED) == wanted
    stems = {size.spec for one in PUBLISHED.values() for size in one.scales.values()}
    assert {path.stem for path in (Path(published.__file__).parent / "published").iterdir()} == stems


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_a_spec_is_valid_bears_its_name_and_is_commented(name: str, scale: str) -> None:
    text, spec = published_text(name, scale), published_spec(name, scale)
    several = len(PUBLISHED[name].scales) > 1
    assert spec.name == (f"{name}-{scale}" if several else name)
    lines = text.splitlines()
    assert [one for one in lines if ASSIGNMENT.match(one) and not one.endswith("[") and " # " not in one] == []
    assert max(map(len, lines)) <= 120
    assert f"lth repro {name}" in text


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_data_are_read_from_where_they_are_told(name: str, scale: str) -> None:
    usual, moved = published_spec(name, scale), published_spec(name, scale, 'over "there"/x')
    kind = usual.data.source.partition(":")[0]
    assert re.fullmatch(rf"{kind}:data/({kind}|imagenet\d+)", usual.data.source)
    assert kind in ("mnist", "cifar10", "shards")
    assert moved.data.source == f'{kind}:over "there"/x'
    assert moved.model_copy(update={"data": usual.data}) == usual


def test_lenet_follows_the_paper() -> None:
    for scale, seeds, iterations, levels in (("small", 3, 20_000, 15), ("paper", 5, 50_000, 20)):
        spec = published_spec("lenet-fc-2019", scale)
        assert (len(spec.seeds), spec.train.iterations, spec.grid.levels) == (seeds, iterations, levels)
        assert (spec.data.batch_size, spec.data.validation.count) == (60, 5000)
        assert spec.train.optimizer == Adam(name="adam", lr=1.2e-3)
        assert (spec.model.initialization, spec.train.evaluate_every) == ("glorot_normal", Step(0, 100))
        assert (spec.prune.method, spec.prune.rate, spec.prune.scope) == ("iterative", 0.2, "layerwise")
        assert (spec.prune.rates, spec.grid.rewind) == ({"output": 0.5}, (Step(),))
    assert published_spec("lenet-fc-2019").grid.controls_at == (3, 7, 11, 15)
    assert published_spec("lenet-fc-2019", "paper").train.test_every == Step(0, 100)


def test_the_grids_of_2021() -> None:
    small, paper = (published_spec("mobilenetv2-2021", scale) for scale in ("small", "paper"))
    assert small.grid.sparsities == (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.99)
    assert len(paper.grid.sparsities) == 20
    assert set(small.grid.sparsities) < set(paper.grid.sparsities)
    assert [str(step) for step in paper.grid.rewind] == ["5ep", "10ep", "15ep", "20ep", "25ep"]


def test_unknown_names_and_scales_are_told_with_what_there_is() -> None:
    with pytest.raises(LthError, match=r"no such experiment \(found 'lenet-2019'\)\. Did you mean lenet-fc-2019\?"):
        published_text("lenet-2019")
    with pytest.raises(LthError, match=r"Choose one of lenet-fc-2019"):
        published_text("../secret")
    with pytest.raises(LthError, match=r"--scale: no such scale .*\(found 'small'\)\. lenet-open_lth has: paper"):
        scale_named("lenet-open_lth", "small")
    assert scale_named("lenet-fc-2019", None) == "small"
