from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec.documents import smallest

from lth.spec import Spec, Step
from lth.spec.levels import level_sparsities
from lth.spec.step import MaskFrom
from lth.spec.variants import STANDARD, VARIANTS, Arm, Control, Method, partner, place, span


def spec_of(iterative: bool = False) -> Spec:
    document = smallest(grid__sparsities=[0.5, 0.8], grid__rewind=["0", "2ep"], seeds=[0, 3, 5])
    if iterative:
        document["prune"] = {"method": "iterative", "rate": 0.5}
        document["grid"] = {"levels": 2, "rewind": ["0", "2ep"]}
    return Spec.model_validate({**document, "select": {"confirm_seeds": 2}})


def test_the_table_holds_exactly_what_a_spec_may_name() -> None:
    assert list(VARIANTS) == [*get_args(Control), *get_args(Arm), *get_args(Method)]
    for kind, names in (("control", get_args(Control)), ("arm", get_args(Arm)), ("method", get_args(Method))):
        assert {VARIANTS[name].kind for name in names} == {kind}
    assert set(STANDARD) <= set(get_args(Control))


@pytest.mark.parametrize(
    ("control", "one_shot", "iterative"),
    [
        (None, (None, 0.8, "2ep"), (None, 0.75, "2ep")),
        ("reinit", ("reinit", 0.8, "0"), ("reinit", 0.75, "2ep")),
        ("reinit_k", ("reinit_k", 0.8, "2ep"), ("reinit_k", 0.75, "2ep")),
        ("shuffled_mask", ("shuffled_mask", 0.8, "2ep"), ("shuffled_mask", 0.75, "2ep")),
        ("small_dense", ("small_dense", 0.8, "0"), ("small_dense", 0.75, "2ep")),
        ("small_dense_flops", ("small_dense_flops", 0.8, "0"), ("small_dense_flops", 0.75, "2ep")),
        ("dense_long", ("dense_long", 0.5, "0"), ("dense_long", 0.75, "0")),
        ("snip", ("snip", 0.8, "0"), ("snip", 0.75, "0")),
        ("lrr", ("lrr", 0.8, "2ep"), ("lrr", 0.75, "2ep")),
    ],
)
def test_a_network_that_serves_several_tickets_has_one_place(
    control: str | None, one_shot: tuple[object, ...], iterative: tuple[object, ...]
) -> None:
    for spec, sparsity, wanted in ((spec_of(), 0.8, one_shot), (spec_of(True), 0.75, iterative)):
        kind, level, step = place(spec, control, sparsity, Step(2))
        assert (kind, level, str(step)) == wanted


def test_trained_to_step_0_a_reinitialisation_is_just_that() -> None:
    assert place(spec_of(), "reinit_k", 0.8, Step()) == ("reinit", 0.8, Step())


def test_spans_in_steps() -> None:
    """10 epochs of 7 steps; a search by one-shot pruning is two trainings, by iterative pruning one more a level."""
    for control, wanted in ((None, (14, 70)), ("lrr", (14, 70)), ("reinit", (0, 70)), ("dense_long", (0, 140))):
        assert span(spec_of(), control, 0.8, Step(2), 7) == wanted
    assert span(spec_of(True), "gradual", 0.75, Step(), 7) == (0, 70 * 3)


def test_the_partner_is_the_next_seed_of_the_same_stage() -> None:
    assert [partner(spec_of(), seed) for seed in (0, 3, 5, 6, 7)] == [3, 5, 0, 7, 6]


@given(st.integers(1, 99), st.integers(1, 99))
def test_levels_stand_at_exact_sparsities_that_rise(percent: int, levels: int) -> None:
    found = level_sparsities({"method": "iterative", "rate": percent / 100}, {"levels": levels})
    assert len(found) == levels
    assert all(abs(1 - sparsity - (1 - percent / 100) ** (n + 1)) < 1e-12 for n, sparsity in enumerate(found))
    assert all(one < two or two > 1 - 1e-15 for one, two in pairwise(found))


def test_levels_down_to_a_density() -> None:
    assert level_sparsities({"method": "iterative", "rate": 0.5}, {"min_density": 0.125}) == (0.5, 0.75, 0.875)
    for prune, grid in (
        ({"method": "one_shot", "rate": 0.5}, {"levels": 3}),
        ({"method": "iterative"}, {"levels": 3}),
        ({"method": "iterative", "rate": 0.5}, {"levels": True}),
        ({"method": "iterative", "rate": 0.5}, {}),
    ):
        assert level_sparsities(prune, grid) == ()


@pytest.mark.parametrize(("text", "index"), [("100%", 70), ("50%", 35), ("1%", 1), ("2ep", 14), ("3it", 3), ("0", 0)])
def test_the_moment_of_the_mask(text: str, index: int) -> None:
    moment = MaskFrom.parse(text)
    assert moment.index(70, 7) == index
    assert MaskFrom.parse(str(moment)) == moment


@pytest.mark.parametrize("text", ["0%", "101%", "half", "50", "-1%", 0.5])
def test_no_moment_of_the_mask(text: str) -> None:
    with pytest.raises(ValueError, match="write a moment"):
        MaskFrom.parse(text)
