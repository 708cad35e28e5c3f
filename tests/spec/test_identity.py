"""What an experiment is: golden digests, what changes them and what never does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec.documents import Document, documents, smallest

from lth.spec import Spec
from lth.spec.identity import LATER, canonical, differing_keys, digest, experiment, unit_key
from lth.spec.keys import EXAMPLES

# A digest that moves closes every run directory there is: a key added later must be left out of
# `experiment` while it has its default.
GOLDEN: list[tuple[Document, str]] = [
    ({}, "bfa646403fe6fb681166c83a0d76f10a90e7521d132b415711ce6c22e11bce5c"),
    (
        {
            "data__source": "mnist:/some/where",
            "data__augment": {"crop": 4, "flip": True},
            "model__name": "mobilenet_v2",
            "model__arguments": {"width": 0.5, "stem_stride": 1},
            "train__optimizer": {"name": "adamw", "lr": 1e-3, "eps": 1e-7},
            "train__schedule": {"name": "step", "milestones": ["3ep", "6ep12it"], "gamma": 0.2},
            "prune__rates": {"output": 0.5},
        },
        "ae704abd51294e5c2fe41e5e7b508611bd7261af0873ea319dbc257bed2c8c3c",
    ),
]


def spec_of(**changes: Any) -> Spec:
    return Spec.model_validate(smallest(**changes))


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3)
)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(below) for below in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("changes", "sha256"), GOLDEN)
def test_golden_digests(changes: Document, sha256: str) -> None:
    assert digest(experiment(spec_of(**changes))) == sha256


def test_golden_experiment_and_key() -> None:
    text = (
        '{"data":{"augment":{"crop":0,"flip":false},"batch_size":64,"source":"digits","split_seed":0,'
        '"validation":{"fraction":0.1}},"grid":{"order":"fresh"},'
        '"model":{"arguments":{},"initialization":"default","name":"lenet_300_100"},'
        '"prune":{"exclude":[],"method":"one_shot","rates":{"output":0.5},"scope":"layerwise","score":"magnitude"},'
        '"train":{"epochs":10,"evaluate_every":"1ep","guard_epochs":5,"optimizer":{"lr":0.1,"momentum":0,"name":"sgd",'
        '"nesterov":false,"weight_decay":0},"precision":"fp32","schedule":{"name":"constant","warmup_epochs":0}}}'
    )
    assert canonical(experiment(spec_of())) == text
    where = {"kind": "cell", "sparsity": "0.9", "rewind": "2ep", "seed": 0, "control": None}
    assert unit_key(spec_of(), "f" * 64, where) == "8e2c40e78a5f460db9bc3a1244e20cf1dc0cf767798d5df01f8e62dc9715264c"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e-8, "1e-08"),
        (1e300, "1e+300"),
        (2**70, str(2**70)),
        (True, "true"),
        (None, "null"),
        ((1, "é"), '[1,"\\u00e9"]'),
        ({"b": 1, "a": {"d": [], "c": {}}}, '{"a":{"c":{},"d":[]},"b":1}'),
    ],
)
def test_canonical_json(value: Any, text: str) -> None:
    assert canonical(value) == text


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_canonical_refuses_what_is_no_number(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical(value)


@pytest.mark.parametrize("value", [{1: 2}, {"a": {None: 1}}, {1, 2}, b"x", object()])
def test_canonical_refuses_what_json_has_no_word_for(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical(value)


@given(values)
def test_canonical_is_json_whatever_the_order_of_keys(value: Any) -> None:
    assert canonical(value) == canonical(reversed_keys(value)) == canonical(json.loads(canonical(value)))
    assert json.loads(canonical(value)) == value


@settings(max_examples=40)
@given(documents())
def test_neither_key_order_nor_a_trip_through_json_is_part_of_an_experiment(document: Document) -> None:
    first = experiment(Spec.model_validate(document))
    assert digest(experiment(Spec.model_validate(reversed_keys(document)))) == digest(first)
    assert digest(json.loads(json.dumps(first))) == digest(first)
    assert differing_keys(json.loads(json.dumps(first)), first) == []


@pytest.mark.parametrize("key", ["train__optimizer__lr", "train__optimizer__weight_decay", "prune__rates__output"])
def test_one_is_one_point_nought(key: str) -> None:
    assert digest(experiment(spec_of(**{key: 1}))) == digest(experiment(spec_of(**{key: 1.0})))


@settings(max_examples=40)
@given(documents(), documents())
def test_what_is_explored_selected_and_executed_never_changes_a_key(document: Document, other: Document) -> None:
    epochs = document["train"]["epochs"]
    other["grid"]["rewind"] = ["0", *(f"{epoch}ep" for epoch in range(1, min(epochs, 3)))]
    other["grid"]["order"] = document["grid"].get("order", "fresh")
    changed = {
        **document,
        "name": "other",
        **{key: other[key] for key in ("seeds", "grid", "select", "execute") if key in other},
    }
    for bound in ("device", "data_parallel", "cuda_graphs", "entry_minutes") if "execute" in other else ():
        changed["execute"].pop(bound, None)
    before, after = Spec.model_validate(document), Spec.model_validate(changed)
    assert experiment(before) == experiment(after)
    where = {"kind": "dense", "seed": 0}
    assert unit_key(before, "d", where) == unit_key(after, "d", where)


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("digits", "digits"),
        ("mnist:data/mnist", "mnist"),
        ("mnist:/somewhere/else:x", "mnist"),
        ("cifar10:data/cifar10", "cifar10"),
        ("imagefolder:pictures.tar", "imagefolder"),
        ("synthetic", "synthetic"),
        ("synthetic:examples=20,seed=3", "synthetic:examples=20,seed=3"),
    ],
)
def test_paths_are_no_part_of_an_experiment(source: str, kept: str) -> None:
    assert experiment(spec_of(data__source=source))["data"]["source"] == kept


CHANGES: list[tuple[str, Any]] = [
    ("data__batch_size", 32),
    ("data__split_seed", 1),
    ("data__validation", {"folds": 5}),
    ("data__augment", {"flip": True}),
    ("data__source", "mnist:x"),
    ("model__name", "mine.models:Net"),
    ("model__arguments", {"width": 2}),
    ("model__initialization", "kaiming_normal"),
    ("train__epochs", 11),
    ("train__optimizer__lr", 0.2),
    ("train__optimizer__momentum", 0.9),
    ("train__schedule", {"name": "cosine"}),
    ("train__evaluate_every", "2ep"),
    ("train__guard_epochs", 4),
    ("train__optimizer__decay_norm_and_bias", False),
    ("train__label_smoothing", 0.1),
    ("train__clip_norm", 1.0),
    ("train__ema", 0.99),
    ("train__micro_batch", 32),
    ("train__precision", "bf16"),
    ("train__precision", "tf32"),
    ("train__layout", "channels_last"),
    ("train__layout", "contiguous"),
    ("train__compile", True),
    ("train__deterministic", False),
    ("train__entry", "mine.training:train"),
    ("prune__scope", "global"),
    ("prune__scope", "erk"),
    ("prune__scope", "flops"),
    ("prune__exclude", ["fc1"]),
    ("prune__rates", {"fc1": 0.5}),
    ("grid__order", "replay"),
    ("data__crop_size", 24),
    ("data__augment", {"resized": {}}),
    ("data__augment", {"resized": {"scale": [0.25, 1.0]}}),
    ("data__augment", {"resized": {"ratio": [0.5, 2.0]}}),
    ("data__augment", {"custom": "mine.images:augment"}),
]


def test_each_key_that_changes_results_changes_the_experiment() -> None:
    digests = [digest(experiment(spec_of(**{key: value}))) for key, value in CHANGES]
    assert len({digest(experiment(spec_of())), *digests}) == len(CHANGES) + 1


def test_a_later_key_at_its_default_leaves_the_experiment_as_it_was() -> None:
    for (*tables, key), default in LATER.items():
        written = spec_of(**{"__".join([*tables, key]): default})
        assert experiment(written) == experiment(spec_of())
        assert f'"{key}"' not in canonical(experiment(written))


def test_the_size_of_images_is_part_of_the_experiment() -> None:
    """The data's own hash would tell too, but only where the data are read: a complete run reads none."""
    sizes = [{}, {"data__image_size": 96}, {"data__image_size": 64}]
    assert len({digest(experiment(spec_of(data__source="imagefolder:pictures", **one))) for one in sizes}) == 3


EXECUTED: list[tuple[str, Any]] = [
    ("launcher", "processes"),
    ("workers", 2),
    ("tickets_per_worker", 3),
    ("device", "cuda"),
    ("data_parallel", 2),
    ("cuda_graphs", True),
    ("checkpoint_seconds", 1.0),
    ("checkpoint_epochs", 1),
    ("attempts", 1),
    ("loader", "pread"),
    ("resume_other_numerics", True),
    ("slurm", {"partition": "gpu", "time": "1:00"}),
    ("spark", {"master": "local[2]"}),
    ("mpi", {"command": "mpirun -n {workers}"}),
    ("template", {"file": "job.sh", "submit": "qsub {script}"}),
]


@pytest.mark.parametrize(("key", "value"), EXECUTED)
def test_how_the_work_is_done_never_changes_the_experiment(key: str, value: Any) -> None:
    split: dict[str, Any] = {"train__micro_batch": 32} if key == "data_parallel" else {}
    split |= {"data__source": "shards:pictures"} if key == "loader" else {}
    assert experiment(spec_of(**split, **{f"execute__{key}": value})) == experiment(spec_of(**split))


def test_the_limit_of_another_training_never_changes_the_experiment() -> None:
    entry = {"train__entry": "mine.training:train"}
    assert experiment(spec_of(**entry, execute__entry_minutes=60)) == experiment(spec_of(**entry))
    assert {*dict(EXECUTED), "entry_minutes"} == {key.split(".")[1] for key in EXAMPLES if key.startswith("execute.")}


def test_unit_keys_differ_by_data_and_coordinates() -> None:
    places = [{"kind": "dense", "seed": 0}, {"kind": "dense", "seed": 1}, {"kind": "cell", "seed": 0}]
    keys = {unit_key(spec_of(), data, where) for where in places for data in ("a", "b")}
    assert len(keys) == 6


def test_the_order_of_excluded_layers_does_not_matter() -> None:
    one, two = spec_of(prune__exclude=["fc1", "output"]), spec_of(prune__exclude=["output", "fc1"])
    assert experiment(one) == experiment(two)


def test_differing_keys() -> None:
    run = experiment(spec_of(data__validation={"folds": 5}, model__arguments={"width": 2}))
    spec = experiment(spec_of(train__epochs=4, prune__exclude=["fc1"], train__optimizer={"name": "adam", "lr": 0.1}))
    assert differing_keys(run, spec) == [
        "data.validation.folds: 5 in the run, absent in the spec",
        "data.validation.fraction: absent in the run, 0.1 in the spec",
        "model.arguments.width: 2 in the run, absent in the spec",
        'prune.exclude: [] in the run, ["fc1"] in the spec',
        "train.epochs: 10 in the run, 4 in the spec",
        "train.optimizer.betas: absent in the run, [0.9, 0.999] in the spec",
        "train.optimizer.eps: absent in the run, 1e-08 in the spec",
        "train.optimizer.momentum: 0.0 in the run, absent in the spec",
        'train.optimizer.name: "sgd" in the run, "adam" in the spec',
        "train.optimizer.nesterov: false in the run, absent in the spec",
    ]
    assert differing_keys(spec, spec) == []
    assert differing_keys({"a": 1}, {"a": 1.0}) == []
    assert differing_keys({"a": 1}, {"a": True}) == ["a: 1 in the run, true in the spec"]
