"""Each invariant of a level of iterative pruning is broken on purpose, with a real small training."""

from __future__ import annotations

import pytest
from pruning.small_run import NAMES, RATES, Net, dense, sgd, state_of, train
from torch import Tensor

from lth.errors import LthError
from lth.pruning.audit import check_mask
from lth.pruning.controls import shuffled_mask
from lth.pruning.enforce import Enforcer
from lth.pruning.iterative import next_mask
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks

PASSED = dict.fromkeys(
    ("density_exact", "only_prunable_masked", "mask_ranks_final_weights", "nested_in_previous_level"), True
)


def second_level(scope: str = "layerwise", rates: dict[str, float] = RATES) -> tuple[dict[str, Tensor], Mask, Mask]:
    """The weights at the end of the first level, its mask, and the mask of the second made from both."""
    found = dense()
    first = next_mask(None, {name: found.final[name] for name in NAMES}, 0.4, scope, rates)
    model = Net()
    model.load_state_dict(found.checkpoint)
    optimizer = sgd(model)
    Enforcer(model, first, optimizer)
    train(model, optimizer, 30)
    trained = state_of(model)
    return trained, first, next_mask(first, {name: trained[name] for name in NAMES}, 0.4, scope, rates)


def broken(mask: Mask, trained, before: Mask | None, *, rate: float | None = 0.4, scope="layerwise", rates=RATES):
    checks = check_mask(mask, trained, 0.64, scope, rates, set(NAMES), before=before, rate=rate)
    return {name for name, held in checks.items() if not held}


@pytest.mark.parametrize("scope", ["global", "layerwise"])
@pytest.mark.parametrize("rates", [RATES, RATES | {"output.weight": 0.5}])
def test_honest_levels_pass(scope, rates):
    trained, first, second = second_level(scope, rates)
    assert check_mask(second, trained, 0.0, scope, rates, set(NAMES), before=first, rate=0.4) == PASSED
    final = dense().final
    checks = check_mask(first, final, 0.0, scope, rates, set(NAMES), rate=0.4)
    assert checks == {name: True for name in PASSED if name != "nested_in_previous_level"}


@pytest.mark.parametrize("change", [1, -1])
def test_one_weight_too_many(change):
    trained, first, second = second_level()
    at, name = first.tensors["fc1.weight"], "fc1.weight"
    order = trained[name].abs().masked_fill(~at, float("inf")).flatten().argsort(stable=True)
    layer = at.flatten().clone()
    layer[order[: int(at.sum()) - int(second.tensors[name].sum()) + change]] = False
    assert broken(Mask(second.tensors | {name: layer.view(at.shape)}), trained, first) == {"density_exact"}


def test_the_rate_taken_of_everything_and_not_of_what_remains():
    trained, first, _ = second_level()
    weights = {name: trained[name] for name in NAMES}
    for sparsity in (0.4, 0.8):
        mask = magnitude_masks(weights, [sparsity], scope="layerwise")[sparsity]
        assert broken(mask, trained, first) == {"density_exact"}


def test_a_rate_of_a_layer_not_met():
    trained, first, second = second_level()
    assert broken(second, trained, first, rates=RATES | {"output.weight": 0.5}) == {"density_exact"}


def test_a_level_of_the_other_scope():
    trained, first, second = second_level()
    everywhere = next_mask(first, {name: trained[name] for name in NAMES}, 0.4, "global", RATES)
    assert broken(everywhere, trained, first, scope="global") == set()
    assert broken(everywhere, trained, first) >= {"density_exact"}
    assert broken(second, trained, first, scope="global") == {"mask_ranks_final_weights"}


def test_a_pruned_weight_grown_again():
    trained, first, second = second_level()
    name = "fc1.weight"
    layer, gone = second.tensors[name].flatten().clone(), ~first.tensors[name].flatten()
    layer[gone.nonzero()[0]] = True
    assert broken(Mask(second.tensors | {name: layer.view(64, 128)}), trained, first) == {
        "density_exact", "nested_in_previous_level"
    }  # fmt: skip
    smallest = trained[name].abs().flatten().masked_fill(~second.tensors[name].flatten(), float("inf")).argmin()
    layer[smallest] = False  # the count is right again
    assert broken(Mask(second.tensors | {name: layer.view(64, 128)}), trained, first) == {"nested_in_previous_level"}


def test_the_mask_before_left_out_of_the_ranking():
    """Ranking all weights, with the pruned ones where training would have taken them, keeps some of those."""
    _, first, second = second_level()
    final = dense().final
    rest = 1 - second.kept / second.total
    again = magnitude_masks({name: final[name].flip(0) for name in NAMES}, [rest], scope="layerwise")[rest]
    assert "nested_in_previous_level" in broken(again, final, first)


def test_a_level_ranked_by_weights_other_than_its_own():
    trained, first, _ = second_level()
    early = dense().checkpoint
    stale = next_mask(first, {name: early[name] for name in NAMES}, 0.4, "layerwise", RATES)
    assert broken(stale, trained, first) == {"mask_ranks_final_weights"}
    signed = next_mask(first, {name: trained[name].clamp(min=0) for name in NAMES}, 0.4, "layerwise", RATES)
    assert broken(signed, trained, first) == {"mask_ranks_final_weights"}  # the missing abs()


def test_a_mask_before_of_other_layers():
    trained, first, second = second_level()
    fewer = Mask({name: layer for name, layer in first.tensors.items() if name != "output.weight"})
    assert "nested_in_previous_level" in broken(second, trained, fewer)
    odd = Mask(first.tensors | {"output.weight": first.tensors["output.weight"].t()})
    assert "nested_in_previous_level" in broken(second, trained, odd)


def test_controls_of_a_level_keep_the_count_but_need_not_be_nested():
    _, first, second = second_level()
    drawn = shuffled_mask(second, 1)
    checks = check_mask(drawn, None, 0.64, "layerwise", RATES, set(NAMES), before=first, rate=0.4)
    assert checks == {"density_exact": True, "only_prunable_masked": True, "nested_in_previous_level": False}
    assert check_mask(drawn, None, 0.36, "layerwise", RATES, set(NAMES), rate=0.4)["density_exact"] is False


def test_a_nested_mask_of_a_total_sparsity():
    """Gradual pruning: without a rate, `before` narrows the ranking while the sparsity counts everything."""
    trained, first, _ = second_level()
    weights = {name: trained[name].masked_fill(~first.tensors[name], 0.0) for name in NAMES}
    mask = magnitude_masks(weights, [0.64], scope="layerwise")[0.64]
    assert broken(mask, trained, first, rate=None) == set()


@pytest.mark.parametrize("scope", ["erk", "flops"])
def test_a_level_has_no_allocation_over_layers(scope):
    trained, first, second = second_level()
    with pytest.raises(LthError, match="scope: a level of iterative pruning"):
        check_mask(second, trained, 0.64, scope, RATES, set(NAMES), dict.fromkeys(NAMES, 1), before=first, rate=0.4)
