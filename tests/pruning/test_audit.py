"""Each invariant is broken on purpose, with a real small training, and the audit must name it."""

from __future__ import annotations

import pytest
import torch
from pruning.small_run import NAMES, RATES, Net, adam, data, dense, retrain, sgd, state_by_name, state_of, train
from torch import Tensor, nn

from lth.pruning.audit import check_mask, check_resumed, check_rewound, check_trained, verdict
from lth.pruning.controls import random_mask, shuffled_mask
from lth.pruning.enforce import Enforcer
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks


@pytest.mark.parametrize("make", [sgd, adam])
def test_an_honest_run_passes_every_check(make):
    found = retrain(dense(), make=make)
    assert found.broken == set()
    assert set(verdict(*found.checks).checks) == {
        "density_exact", "only_prunable_masked", "mask_ranks_final_weights", "architecture_unchanged",
        "kept_equal_checkpoint", "unmasked_equal_checkpoint", "pruned_weights_zero", "pruned_gradients_zero",
        "pruned_optimizer_state_zero", "both_signs_trained",
    }  # fmt: skip


def test_weights_not_reset():
    found = dense()
    assert retrain(found, start=found.final).broken == {"kept_equal_checkpoint", "unmasked_equal_checkpoint"}


def test_only_batch_norm_not_reset():
    found = dense()
    start = found.checkpoint | {name: value for name, value in found.final.items() if name.startswith("norm.")}
    assert retrain(found, start=start).broken == {"unmasked_equal_checkpoint"}


def test_negative_weights_frozen_by_a_missing_abs():
    """The copied mistake: weights below a small epsilon, hence every negative one, lose their gradient."""

    def freeze(model: Net) -> None:
        for name in NAMES:
            weight = model.get_parameter(name)
            weight.grad.mul_(weight > 1e-6)

    assert retrain(dense(), each=freeze).broken == {"both_signs_trained"}
    assert retrain(dense(), each=freeze, make=sgd).broken == {"both_signs_trained"}


def test_negative_weights_pruned_by_a_missing_abs():
    found = dense()
    mask = Mask({name: found.final[name] > found.final[name].quantile(0.8) for name in NAMES})
    assert retrain(found, mask=mask).broken >= {"mask_ranks_final_weights"}


def test_batch_norm_masked():
    found = dense()
    mask = magnitude_masks(found.final, [0.8], scope="layerwise", names=[*NAMES, "norm.weight"])[0.8]
    assert retrain(found, mask=mask).broken == {"only_prunable_masked"}
    model = Net()
    model.load_state_dict(found.checkpoint)
    Enforcer(model, mask, sgd(model))
    checks = check_rewound(state_of(model), found.checkpoint, found.mask)  # masked behind the mask's back
    assert [name for name, held in checks.items() if not held] == ["unmasked_equal_checkpoint"]


def test_mask_not_applied_again_after_adam():
    found = retrain(dense(), enforced=False)
    assert found.broken == {"pruned_weights_zero", "pruned_gradients_zero", "pruned_optimizer_state_zero"}


def test_weights_masked_but_momentum_not():
    """Masking the weights alone, as many do, leaves gradients and momentum of pruned weights behind."""
    found = dense()

    def mask_weights(model: Net) -> None:
        for name in NAMES:
            model.get_parameter(name).data.mul_(found.mask.tensors[name])

    broken = retrain(found, enforced=False, each=mask_weights, make=sgd).broken
    assert {"pruned_gradients_zero", "pruned_optimizer_state_zero"} <= broken


@pytest.mark.parametrize("change", [1, -1])
def test_one_weight_too_many(change):
    found = dense()
    order = found.final["fc1.weight"].abs().flatten().argsort(stable=True)
    layer = torch.ones(64 * 128, dtype=torch.bool)
    layer[order[: round(0.8 * 64 * 128) + change]] = False
    mask = Mask(found.mask.tensors | {"fc1.weight": layer.view(64, 128)})
    assert retrain(found, mask=mask).broken == {"density_exact"}


def test_groups_dropped():
    found = dense()
    wide = Net(groups=1)
    state = found.checkpoint | {"conv.weight": wide.conv.weight.detach()}
    assert {name for name, held in check_rewound(state, found.checkpoint, found.mask).items() if not held} == {
        "architecture_unchanged", "kept_equal_checkpoint", "pruned_weights_zero"
    }  # fmt: skip
    assert not check_trained(state, found.checkpoint, found.mask, None, None)["architecture_unchanged"]


def test_mask_taken_from_the_rewind_point():
    found = dense()
    mask = magnitude_masks(found.checkpoint, [0.8], scope="layerwise", names=NAMES)[0.8]
    assert retrain(found, mask=mask).broken == {"mask_ranks_final_weights"}


def test_a_layer_left_out_or_of_another_shape():
    found = dense()
    small = Mask({name: tensor for name, tensor in found.mask.tensors.items() if name != "output.weight"})
    assert check_mask(small, found.final, 0.8, "layerwise", RATES, set(NAMES)) == {
        "density_exact": True, "only_prunable_masked": False, "mask_ranks_final_weights": True
    }  # fmt: skip
    odd = Mask(found.mask.tensors | {"output.weight": found.mask.tensors["output.weight"].t()})
    assert not check_mask(odd, found.final, 0.8, "layerwise", RATES, set(NAMES))["mask_ranks_final_weights"]
    assert not check_rewound(found.checkpoint, found.checkpoint, odd)["pruned_weights_zero"]
    assert not check_trained(found.final, found.checkpoint, odd, None, None)["pruned_weights_zero"]


def test_masks_of_the_other_scope_and_of_unmet_rates():
    found = dense()
    everywhere = magnitude_masks(found.final, [0.8], names=NAMES)[0.8]
    assert all(check_mask(everywhere, found.final, 0.8, "global", RATES, set(NAMES)).values())
    assert not check_mask(everywhere, found.final, 0.8, "layerwise", RATES, set(NAMES))["density_exact"]
    assert not check_mask(found.mask, found.final, 0.8, "global", RATES, set(NAMES))["mask_ranks_final_weights"]
    half = RATES | {"output.weight": 0.5}
    assert not check_mask(found.mask, found.final, 0.8, "layerwise", half, set(NAMES))["density_exact"]


def test_controls_keep_the_count_but_not_the_ranking():
    found = dense()
    for mask in (shuffled_mask(found.mask, 1), random_mask(found.mask, 1)):
        assert check_mask(mask, None, 0.8, "layerwise", RATES, set(NAMES)) == {
            "density_exact": True,
            "only_prunable_masked": True,
        }
        assert not check_mask(mask, found.final, 0.8, "layerwise", RATES, set(NAMES))["mask_ranks_final_weights"]
    more = Mask(found.mask.tensors | {"conv.weight": torch.ones_like(found.mask.tensors["conv.weight"])})
    assert not check_mask(more, None, 0.8, "layerwise", RATES, set(NAMES))["density_exact"]


def resumable(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = {
        f"{key}.{name}": value.clone()
        for key, layer in state_by_name(model, optimizer).items()
        for name, value in layer.items()
    }
    return state_of(model) | state


def test_a_resumed_run_that_lost_momentum():
    torch.manual_seed(0)
    model = Net()
    optimizer = sgd(model)
    train(model, optimizer, 3)
    saved = resumable(model, optimizer)
    assert check_resumed(saved, resumable(model, optimizer)) == {"resumed_state_equal": True}
    fresh = Net()
    fresh.load_state_dict(model.state_dict())
    assert check_resumed(saved, resumable(fresh, sgd(fresh))) == {"resumed_state_equal": False}  # momentum missing
    zeroed = {name: torch.zeros_like(value) if name.startswith("momentum") else value for name, value in saved.items()}
    assert check_resumed(saved, zeroed) == {"resumed_state_equal": False}
    for name in saved:  # any single value that differs in one bit
        other = saved | {name: saved[name].clone()}
        flat = other[name].view(-1)
        flat[-1] = torch.nextafter(flat[-1], torch.tensor(9.0)) if flat.is_floating_point() else flat[-1] + 1
        assert check_resumed(saved, other) == {"resumed_state_equal": False}, name
    assert not check_resumed(saved, saved | {"conv.bias": saved["conv.bias"].double()})["resumed_state_equal"]


def test_bits_count_but_the_sign_of_zero_does_not():
    checkpoint = {"a": torch.tensor([-0.0, float("nan"), 1.0]), "n": torch.tensor(3)}
    mask = Mask({"a": torch.tensor([True, True, True])})
    state = {"a": torch.tensor([0.0, float("nan"), 1.0]), "n": torch.tensor(3)}
    assert all(check_rewound(state, checkpoint, mask).values())
    state["a"][2] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    assert not check_rewound(state, checkpoint, mask)["kept_equal_checkpoint"]
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        halves = {"a": checkpoint["a"].to(dtype), "n": torch.tensor(3)}
        assert all(check_rewound(halves, halves, mask).values())
        assert not check_rewound(halves, checkpoint, mask)["architecture_unchanged"]


def test_gradients_and_state_that_are_missing_do_not_pass():
    found = dense()
    zeros = {name: torch.zeros_like(value) for name, value in found.final.items()}
    masked = found.final | {name: found.final[name] * kept for name, kept in found.mask.tensors.items()}
    checks = check_trained(
        masked, found.checkpoint, found.mask, zeros | {"fc1.weight": torch.zeros(1)}, {"exp_avg": {}}
    )
    assert not checks["pruned_gradients_zero"]
    assert not checks["pruned_optimizer_state_zero"]
    assert all(check_trained(masked, found.checkpoint, found.mask, zeros, {"exp_avg": zeros}).values())


def test_the_dense_network_is_checked_without_a_mask():
    found = dense()
    assert check_trained(found.final, found.checkpoint, None, None, None) == {
        "architecture_unchanged": True, "both_signs_trained": True
    }  # fmt: skip


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(64, 300), nn.Linear(300, 100)
        self.output = nn.Linear(100, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


@pytest.mark.parametrize("make", [sgd, adam])
def test_both_signs_does_not_fire_on_dead_inputs_and_dead_units(make, monkeypatch):
    """Inputs at zero for ever, ReLU units without a positive input, sparsities up to 99.9 %, one step or many."""
    x, y = data()
    x = x.abs() * (torch.arange(64).view(4, 4, 4) % 3 > 0)  # a third of the inputs is always dark, none negative
    monkeypatch.setattr(f"{__name__}.data", lambda: (x, y))
    for seed in range(3):
        torch.manual_seed(seed)
        model = Digits()
        start = state_of(model)
        train(model, make(model), 30)
        names = ["fc1.weight", "fc2.weight", "output.weight"]
        for sparsity, mask in magnitude_masks(
            model, [0.5, 0.9, 0.95, 0.98, 0.99, 0.999], scope="layerwise", names=names
        ).items():
            for steps in (0, 1, 20):
                ticket = Digits()
                ticket.load_state_dict(start)
                optimizer = make(ticket)
                Enforcer(ticket, mask, optimizer)
                train(ticket, optimizer, steps)
                assert check_trained(state_of(ticket), start, mask, None, None)["both_signs_trained"], (
                    seed,
                    sparsity,
                    steps,
                )


@pytest.mark.parametrize("frozen", [-1, 1])
def test_both_signs_fires_on_either_frozen_sign_up_to_high_sparsity(frozen):
    torch.manual_seed(0)
    model = Digits()
    start = state_of(model)
    train(model, sgd(model), 30)
    for mask in magnitude_masks(model, [0.0, 0.8, 0.95], scope="layerwise").values():
        ticket = Digits()
        ticket.load_state_dict(start)
        optimizer = sgd(ticket)
        Enforcer(ticket, mask, optimizer)

        def freeze(model: nn.Module) -> None:
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.grad.mul_(parameter.sign() != frozen)

        train(ticket, optimizer, 20, freeze)
        assert not check_trained(state_of(ticket), start, mask, None, None)["both_signs_trained"]


def test_tiny_layers_and_empty_masks_pass():
    for tensors in ({}, {"a": torch.zeros(0, 3, dtype=torch.bool)}, {"a": torch.ones(1, 1, dtype=torch.bool)}):
        mask = Mask(tensors)
        state = {name: torch.ones(tensor.shape) for name, tensor in tensors.items()}
        rates = dict.fromkeys(tensors, 1.0)
        checks = [check_mask(mask, state, 0.0, scope, rates, set(tensors)) for scope in ("global", "layerwise")]
        checks += [check_rewound(state, state, mask), check_trained(state, state, mask, state, {"m": state})]
        assert verdict(*checks).passed


def test_a_verdict_joins_checks_of_the_same_name():
    audit = verdict({"pruned_weights_zero": False, "density_exact": True}, {"pruned_weights_zero": True})
    assert audit.checks == {"pruned_weights_zero": False, "density_exact": True}
    assert not audit.passed
    assert verdict({"density_exact": True}).passed
