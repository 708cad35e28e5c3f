"""The records of a spec: defaults, the usual scopes, strict values, and the round trip through JSON."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from pydantic import ValidationError
from spec.documents import Document, documents, smallest

from lth.spec import Spec, Step
from lth.spec.keys import EXAMPLES, KEYS, Key, example
from lth.spec.schema import SGD, Data, Grid, Model, Prune, Train


@settings(max_examples=80)
@given(documents())
def test_spec_to_json_to_spec_is_the_same(document: Document) -> None:
    spec = Spec.model_validate(document)
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    assert Spec.model_validate(json.loads(json.dumps(spec.model_dump(mode="json")))) == spec
    assert Spec.model_validate_json(json.dumps(document)) == spec


def test_python_users_build_the_same_spec() -> None:
    built = Spec(
        name="small",
        data=Data(source="digits", batch_size=64),
        model=Model(name="lenet_300_100"),
        train=Train(epochs=10, optimizer=SGD(name="sgd", lr=0.1)),
        prune=Prune(scope="layerwise", rates={"output": 0.5}),
        grid=Grid(sparsities=(0.9, 0.8)),
    )
    assert built == Spec.model_validate(smallest())


def test_a_spec_is_frozen() -> None:
    spec = Spec.model_validate(smallest())
    with pytest.raises(ValidationError, match="frozen"):
        spec.train.epochs = 3  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("model", "prune", "scope", "exclude", "rates"),
    [
        ("lenet_300_100", {}, "layerwise", (), {"output": 0.5}),
        ("lenet_300_100", {"exclude": ["output"]}, "layerwise", ("output",), {}),
        ("lenet_300_100", {"exclude": ["out*"]}, "layerwise", ("out*",), {}),
        ("lenet_300_100", {"exclude": ["output.weight"]}, "layerwise", ("output.weight",), {}),
        ("lenet_300_100", {"exclude": ["fc1"]}, "layerwise", ("fc1",), {"output": 0.5}),
        ("lenet_300_100", {"scope": "global"}, "global", (), {"output": 0.5}),
        ("lenet_300_100", {"rates": {}}, "layerwise", (), {}),
        ("conv_2", {}, "layerwise", (), {"output": 0.5}),
        ("conv_4", {"exclude": ["output"]}, "layerwise", ("output",), {}),
        ("conv_6", {}, "layerwise", (), {"output": 0.5}),
        ("vgg_16", {}, "global", (), {}),
        ("resnet_20", {"scope": "erk"}, "erk", (), {}),
        ("vit_small", {"scope": "flops"}, "flops", (), {}),
        ("mobilenet_v2", {}, "global", ("depthwise",), {}),
        ("mobilenet_v2", {"exclude": []}, "global", (), {}),
        ("mine.models:Net", {}, "global", (), {}),
    ],
)
def test_what_is_left_out_of_prune_is_the_usual_of_the_model(
    model: str, prune: Document, scope: str, exclude: tuple[str, ...], rates: dict[str, float]
) -> None:
    spec = Spec.model_validate(smallest(model__name=model, prune=prune))
    assert (spec.prune.scope, spec.prune.exclude, spec.prune.rates) == (scope, exclude, rates)


def test_grid_lists_are_sorted() -> None:
    spec = Spec.model_validate(smallest(grid__sparsities=[0.9, 0.5, 0.7], grid__rewind=["2ep", 0, "500it"]))
    assert spec.grid.sparsities == (0.5, 0.7, 0.9)
    assert spec.grid.rewind == (Step(), Step(0, 500), Step(2))


def test_whole_numbers_do_for_numbers_and_zero_has_no_sign() -> None:
    spec = Spec.model_validate(smallest(train__optimizer__lr=1, grid__sparsities=[-0.0, 0.5]))
    assert isinstance(spec.train.optimizer.lr, float)
    assert str(spec.grid.sparsities[0]) == "0.0"


@pytest.mark.parametrize("value", [True, "3", "0.1", None, [1], float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("key", ["train__epochs", "train__optimizer__lr", "select__tolerance", "data__split_seed"])
def test_nothing_but_a_number_is_a_number(key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        Spec.model_validate(smallest(**{key: value}))


def test_confirmation_seeds_follow_the_largest_seed() -> None:
    spec = Spec.model_validate(smallest(seeds=[7, 2], select__confirm_seeds=3))
    assert spec.confirmation_seeds == (8, 9, 10)
    assert Spec.model_validate(smallest()).confirmation_seeds == ()


def test_a_rule_between_keys_holds_for_python_users_too() -> None:
    with pytest.raises(ValidationError, match=r"grid\.rewind not before the end of training, at train\.epochs = 10"):
        Spec.model_validate(smallest(grid__rewind=["10ep"]))


def test_every_key_has_an_example() -> None:
    assert {".".join(key.path) for key in KEYS.values() if not key.table} == EXAMPLES.keys()


VARIANTS: dict[str, Document] = {
    "sgd": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
    "adam": {"name": "adam", "lr": 0.1},
    "constant": {"name": "constant"},
    "step": {"name": "step", "milestones": ["3ep"]},
    "cosine": {"name": "cosine"},
}


# What some examples need beside them.
TEMPLATE: Document = {"execute__template": {"file": "submit.pbs", "submit": "qsub {script}"}}
COMPANIONS: dict[str, Document] = {
    **{f"execute.template.{name}": TEMPLATE for name in ("file", "submit", "cancel", "wait")},
    "execute.loader": {"data__source": "shards:pictures"},
    "data.image_size": {"data__source": "imagefolder:pictures"},
    "execute.entry_minutes": {"train__entry": "mine.training:train"},
    "train.iterations": {"train__epochs": None},
    "prune.rate": {"prune__method": "iterative", "grid__sparsities": None, "grid__levels": 3},
    "grid.levels": {"prune__method": "iterative", "prune__rate": 0.2, "grid__sparsities": None},
    "grid.min_density": {"prune__method": "iterative", "prune__rate": 0.2, "grid__sparsities": None},
    "grid.min_accuracy": {
        "prune__method": "iterative", "prune__rate": 0.2, "grid__sparsities": None, "grid__levels": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize("key", [key for key in KEYS.values() if not key.table], ids=lambda key: ".".join(key.path))
def test_every_example_is_valid(key: Key) -> None:
    changes: Document = {"train__epochs": 40, "grid__controls": ["reinit"], "train__optimizer__momentum": 0.9}
    if key.variants and key.path[-1] != "name":
        changes = {"__".join(key.path[:-1]): copy.deepcopy(VARIANTS[key.variants[0]]), "train__epochs": 40}
    changes |= COMPANIONS.get(".".join(key.path), {})
    document = smallest(**{**changes, "__".join(key.path): example(key.path)})
    for table in (document["train"], document["grid"]):
        for name in [name for name, value in table.items() if value is None]:
            del table[name]
    Spec.model_validate(document)
