"""The rules of pruning and of what is trained beside the tickets: each broken by one spec, kept by its neighbour."""

from __future__ import annotations

from typing import Any

import pytest
from spec.documents import Document, smallest

from lth.errors import SpecError
from lth.spec import Spec
from lth.spec.problems import check
from lth.spec.rules import check_moments

ITERATIVE: Document = {"prune__method": "iterative", "prune__rate": 0.2, "grid__levels": 3, "grid__sparsities": None}
ENTRY: Document = {"train__entry": "mine.training:train"}


def document(**changes: Any) -> Document:
    made = smallest(**changes)
    for table in (made["train"], made["grid"], made.get("prune", {})):
        for name in [name for name, value in table.items() if value is None]:
            del table[name]
    return made


def lines(**changes: Any) -> list[str]:
    found = check(document(**changes))
    return found if isinstance(found, list) else []


@pytest.mark.parametrize(
    ("wrong", "right", "line"),
    [
        (
            {"prune__rate": 0.2},
            ITERATIVE,
            'prune.rate: would be ignored: prune.method = "one_shot" prunes once (found 0.2). '
            'Drop it, or set method = "iterative"',
        ),
        (
            {"grid__min_accuracy": 0.5},
            {**ITERATIVE, "grid__min_accuracy": 0.5},
            'grid.min_accuracy: would be ignored: prune.method = "one_shot" prunes once (found 0.5). '
            'Drop it, or set method = "iterative"',
        ),
        (
            {**ITERATIVE, "grid__min_density": 0.1},
            {**ITERATIVE, "grid__levels": None, "grid__min_density": 0.1},
            "grid.levels: given beside grid.min_density (found 3). Keep one of them",
        ),
        (
            {**ITERATIVE, "grid__sparsities": [0.5]},
            {**ITERATIVE, "grid__sparsities": [0.2, 0.36, 0.488]},
            "grid.sparsities: do not follow from prune.rate and grid.levels (found [0.5]). "
            "Leave them out: they are computed",
        ),
        (
            {**ITERATIVE, "prune__scope": "erk"},
            {**ITERATIVE, "prune__scope": "global"},
            'prune.scope: goes with one-shot pruning only (found "erk"). Take scope = "global" or "layerwise"',
        ),
        (
            {**ITERATIVE, "prune__mask_from": "50%"},
            {"prune__mask_from": "50%"},
            'prune.mask_from: would be ignored: each level is ranked at its end (found "50%"). Drop it',
        ),
        (
            {"prune__mask_from": "10ep"},
            {"prune__mask_from": "9ep"},
            'prune.mask_from: not before the end of training, at train.epochs = 10 (found "10ep"). '
            'Use an earlier moment; "100%" is the end',
        ),
        (
            {**ITERATIVE, "grid__thresholds": [0.1]},
            {"grid__thresholds": [0.1]},
            'grid.thresholds: goes with one-shot pruning only (found [0.1]). Drop it, or set prune.method = "one_shot"',
        ),
        (
            {**ITERATIVE, "grid__search": "adaptive"},
            {"grid__search": "adaptive"},
            'grid.search: goes with one-shot pruning only (found "adaptive"). '
            'Drop it, or set prune.method = "one_shot"',
        ),
        (
            {"grid__controls": ["reinit"], "grid__controls_at": [0.9, 0.95]},
            {"grid__controls": ["reinit"], "grid__controls_at": [0.9]},
            "grid.controls_at: not among grid.sparsities (found [0.95]). Take some of 0.8, 0.9",
        ),
        (
            {**ITERATIVE, "grid__controls": ["reinit"], "grid__controls_at": [3, 4]},
            {**ITERATIVE, "grid__controls": ["reinit"], "grid__controls_at": [1, 3]},
            "grid.controls_at: not among the levels of the grid (found [4]). Take some of 1, 2, 3",
        ),
        (
            {"grid__controls": ["other_seed"]},
            {"grid__controls": ["other_seed"], "seeds": [0, 1]},
            'seeds: one seed has no "other_seed" (found 1). Add a seed, or drop that control',
        ),
        (
            {**ENTRY, "grid__methods": ["snip", "gradual"]},
            {**ENTRY, "grid__methods": ["snip"]},
            'grid.methods: cannot be done by train.entry, whose schedule and mask are its own (found ["gradual"]). '
            "Drop it, or train.entry",
        ),
        (
            {**ENTRY, "train__test_every": "1ep"},
            {"train__test_every": "1ep"},
            'train.test_every: would be ignored: train.entry trains (found "1ep"). Drop it, or train.entry',
        ),
        (
            {"train__iterations": 100},
            {"train__epochs": None, "train__iterations": 100},
            "train.iterations: given beside train.epochs (found 100). Keep one of them",
        ),
        (
            {"train__epochs": None, "train__iterations": 100, "grid__rewind": ["100it"]},
            {"train__epochs": None, "train__iterations": 100, "grid__rewind": ["99it"]},
            'grid.rewind: not before the end of training, at train.iterations = 100 (found ["100it"]). '
            "Use moments before 100it, or raise train.iterations",
        ),
    ],
)
def test_a_rule_names_key_value_and_cure(wrong: Document, right: Document, line: str) -> None:
    assert line in lines(**wrong)
    assert lines(**right) == []


def test_iterative_pruning_needs_a_rate_and_a_number_of_levels() -> None:
    found = lines(prune__method="iterative")
    assert [line.partition(". ")[0] for line in found] == ["prune.rate: missing", "grid.levels: missing"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"grid__rewind": ["5ep"]}, "grid.rewind"),
        ({"prune__mask_from": "41it"}, "prune.mask_from"),
        ({"train__schedule": {"name": "cosine", "warmup_epochs": 4}}, "train.schedule.warmup_epochs"),
    ],
)
def test_what_only_the_data_can_tell_is_refused_with_them(changes: Document, key: str) -> None:
    spec = Spec.model_validate(document(train__epochs=None, train__iterations=40, **changes))
    with pytest.raises(SpecError, match=rf"{key}: .*step 40"):
        check_moments(spec, 10)
    if key != "prune.mask_from":
        check_moments(spec, 7)
