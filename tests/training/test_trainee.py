"""The parts of a step: each option of the recipe against its plain PyTorch form, and pruned weights at 0 under all."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.errors import LthError
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.training.checkpoint import state_of, weights_hash
from lth.training.trainee import Trainee

STEPS = 6  # steps an epoch
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-2}
ADAMW = {"name": "adamw", "lr": 1e-2, "weight_decay": 1e-1}
OPTIONS: dict[str, dict[str, Any]] = {
    "label smoothing": {"label_smoothing": 0.1},
    "clipping": {"clip_norm": 0.5},
    "average": {"ema": 0.9},
    "micro-batches": {"micro_batch": 4},
    "bf16": {"precision": "bf16"},
    "no decay of norms and biases": {"optimizer": {**SGD, "decay_norm_and_bias": False}},
    "adamw without it": {"optimizer": {**ADAMW, "decay_norm_and_bias": False}},
    "all": {"optimizer": ADAMW, "label_smoothing": 0.1, "clip_norm": 0.5, "ema": 0.9, "micro_batch": 4},
}


def recipe(**changes: Any) -> Train:
    return Train.model_validate({"epochs": 2, "optimizer": SGD, **changes})


def network(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(),
        nn.Flatten(), nn.Dropout(dropout), nn.Linear(32, 4),
    )  # fmt: skip


def batch(step: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(step)
    return torch.randn(16, 3, 6, 6, generator=draw).to(dtype), torch.randint(4, (16,), generator=draw)


def made(changes: dict[str, Any], sparsity: float | None = 0.7, **arguments: Any) -> Trainee:
    model = network(arguments.pop("dropout", 0.0)).to(arguments.pop("dtype", torch.float32))
    mask = None if sparsity is None else magnitude_masks(model, [sparsity])[sparsity]
    return Trainee("a", model, recipe(**changes), STEPS, mask=mask, **arguments)


def trained(one: Trainee, steps: int = 2 * STEPS) -> Trainee:
    for step in range(one.step, steps):
        one.advance(*batch(step, one.weights.dtype))
    return one


def plain(changes: dict[str, Any], steps: int, mask: Mask | None) -> nn.Module:
    """The same training in float64, written the plain way: parameter groups, clip_grad_norm_, a copy as the average."""
    model, wanted = network().double(), recipe(**changes)
    kept = {} if mask is None else mask.tensors
    flat = [parameter for parameter in model.parameters() if parameter.dim() < 2]
    deep = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    decay, spec = wanted.optimizer.weight_decay, wanted.optimizer
    groups = [
        {"params": deep, "weight_decay": decay},
        {"params": flat, "weight_decay": decay if spec.decay_norm_and_bias else 0},
    ]
    kind = torch.optim.SGD if spec.name == "sgd" else torch.optim.AdamW
    optimizer = kind(groups, lr=spec.lr, **({"momentum": spec.momentum} if spec.name == "sgd" else {}))
    names = dict(model.named_parameters())
    with torch.no_grad():
        for name in kept:
            names[name].mul_(kept[name])
    average = copy.deepcopy(model)
    for step in range(steps):
        x, y = batch(step, torch.float64)
        optimizer.zero_grad()
        cross_entropy(model(x), y, label_smoothing=wanted.label_smoothing).backward()
        for name in kept:
            gradient = names[name].grad
            assert gradient is not None
            gradient.mul_(kept[name])
        if wanted.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), wanted.clip_norm)
        optimizer.step()
        with torch.no_grad():
            for name in kept:
                names[name].mul_(kept[name])
            for kept_value, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                if value.is_floating_point() and wanted.ema:
                    kept_value.lerp_(value, 1 - wanted.ema)
    return average if wanted.ema else model


@pytest.mark.parametrize("option", [name for name in OPTIONS if name not in ("bf16", "micro-batches", "all")])
@pytest.mark.parametrize("sparsity", [None, 0.7])
def test_an_option_does_what_plain_pytorch_does(option: str, sparsity: float | None) -> None:
    changes, mask = OPTIONS[option], None
    if sparsity is not None:
        mask = magnitude_masks(network(), [sparsity])[sparsity]
    ours = trained(made(changes, sparsity, dtype=torch.float64)).model.state_dict()
    theirs = plain(changes, 2 * STEPS, mask).state_dict()
    for name, value in theirs.items():
        if value.is_floating_point():
            torch.testing.assert_close(ours[name], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("option", OPTIONS)
def test_pruned_weights_are_exactly_zero_after_every_step_under_every_option(option: str) -> None:
    one = made(OPTIONS[option])
    assert one.mask is not None
    pruned = one.mask == 0
    for step in range(2 * STEPS):
        one.advance(*batch(step))
        for values in (one.weights, one.gradient, *one.state.values()):
            if values.shape == pruned.shape:
                assert torch.count_nonzero(values[pruned]) == 0
    assert torch.count_nonzero(one.weights[~pruned]) > 0


def test_momentum_from_before_pruning_cannot_move_a_pruned_weight() -> None:
    """A trainee that trained densely and then boards as a ticket starts with fresh state."""
    one = trained(made({}, None))
    start = {name: value.clone() for name, value in one.model.state_dict().items()}
    mask = magnitude_masks(one.model, [0.8])[0.8]
    assert torch.count_nonzero(one.state["momentum_buffer"]) > 0
    one.board("ticket", start, timing=None, mask=mask, dropout_seed=0)
    assert torch.count_nonzero(one.state["momentum_buffer"]) == 0
    trained(one)
    for name, kept in mask.tensors.items():
        assert torch.count_nonzero(one.named(one.weights)[name][~kept]) == 0


@pytest.mark.parametrize("option", OPTIONS)
def test_a_trainee_used_again_has_the_bits_of_a_new_one(option: str) -> None:
    fresh = made(OPTIONS[option], dropout=0.3)
    used = trained(made(OPTIONS[option], 0.2, dropout=0.3))
    state, mask = network().state_dict(), magnitude_masks(network(), [0.7])[0.7]
    used.board("a", state, timing=None, mask=mask, dropout_seed=0)
    assert weights_hash(state_of(trained(used))) == weights_hash(state_of(trained(fresh)))


@pytest.mark.parametrize("channels_last", [False, True])
def test_networks_that_share_their_gradient_memory_do_not_touch_each_other(channels_last: bool) -> None:
    alone = [trained(made({}, sparsity, channels_last=channels_last)) for sparsity in (0.3, 0.7)]
    first = made({}, 0.3, channels_last=channels_last)
    second = made({}, 0.7, channels_last=channels_last, gradient=first.gradient)
    assert first.gradient.data_ptr() == second.gradient.data_ptr()
    for step in range(2 * STEPS):
        first.advance(*batch(step))
        second.advance(*batch(step))
    together = [weights_hash(state_of(one)) for one in (first, second)]
    assert together == [weights_hash(state_of(one)) for one in alone]
    assert first.last_gradient is not None
    assert second.last_gradient is not None
    assert not torch.equal(first.last_gradient, second.last_gradient)


def test_channels_last_is_another_order_in_memory_and_the_same_network() -> None:
    one, other = made({}, channels_last=True), made({})
    convolution = one.model[0].weight  # pyright: ignore[reportIndexIssue]
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    assert not convolution.is_contiguous()
    x, y = batch(0)
    one.advance(x.contiguous(memory_format=torch.channels_last), y)
    other.advance(x, y)
    for name, value in other.model.state_dict().items():
        torch.testing.assert_close(one.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_micro_batches_give_the_gradient_of_the_batch_and_the_mean_of_their_statistics() -> None:
    one = made({"micro_batch": 4}, None, dtype=torch.float64)
    x, y = batch(0, torch.float64)
    models = [network().double() for _ in range(4)]
    losses = [cross_entropy(model(x[4 * i : 4 * i + 4]), y[4 * i : 4 * i + 4]) / 4 for i, model in enumerate(models)]
    for loss in losses:
        loss.backward()
    one.advance(x, y)
    for name, value in one.named(one.gradient).items():
        parts = [dict(model.named_parameters())[name].grad for model in models]
        torch.testing.assert_close(value, sum(parts), rtol=1e-10, atol=1e-14)  # pyright: ignore[reportArgumentType]
    for key in ("1.running_mean", "1.running_var"):
        parts = torch.stack([model.state_dict()[key] for model in models])
        torch.testing.assert_close(one.model.state_dict()[key], parts.mean(0))
    assert int(one.model.state_dict()["1.num_batches_tracked"]) == 1
    torch.testing.assert_close(one.take_losses()[0], sum(losses).detach())  # pyright: ignore[reportAttributeAccessIssue]


def test_the_average_is_lent_for_evaluation_and_is_the_network_in_the_end() -> None:
    one = trained(made({"ema": 0.9}), STEPS)
    raw, average = one.weights.clone(), one.state["average"].clone()
    assert not torch.equal(raw, average)
    with one.averaged():
        assert torch.equal(one.weights, average)
    assert torch.equal(one.weights, raw)
    trained(one)
    assert torch.equal(one.weights, one.state["average"])
    with one.averaged():
        assert torch.equal(one.weights, one.state["average"])


def test_a_parameter_that_is_not_trained_is_refused() -> None:
    model = network()
    model[7].bias.requires_grad_(False)  # pyright: ignore[reportIndexIssue]
    with pytest.raises(LthError, match=r"not trained \(found \['7.bias'\]\)"):
        Trainee("a", model, recipe(), STEPS)


def test_a_parameter_that_is_not_used_has_gradient_0() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(108, 4), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x.flatten(1))

    optimizer = {"name": "sgd", "lr": 0.1}
    one = Trainee("a", Idle(), recipe(optimizer=optimizer), STEPS, gradient=torch.ones(448))
    before = one.model.idle.weight.clone()
    trained(one)
    assert torch.equal(one.model.idle.weight, before)


def test_a_network_of_mixed_kinds_is_refused() -> None:
    model = network()
    model[7].double()  # pyright: ignore[reportIndexIssue]
    with pytest.raises(Exception, match="not float32"):
        Trainee("a", model, recipe(), STEPS)
