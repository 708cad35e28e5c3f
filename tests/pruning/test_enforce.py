from __future__ import annotations

import gc
import re

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy

from lth.errors import LthError
from lth.pruning.enforce import Enforcer
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks

X = torch.randn(32, 6, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (32,), generator=torch.Generator().manual_seed(1))

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
}


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 3))


def layerwise(model: nn.Module, sparsity: float) -> Mask:
    return magnitude_masks(model, [sparsity], scope="layerwise")[sparsity]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 5) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(X), Y).backward()
        optimizer.step()


def assert_held(model: nn.Module, mask: Mask, optimizer: torch.optim.Optimizer) -> None:
    for name, kept in mask.tensors.items():
        weight = model.get_parameter(name)
        assert not weight[~kept].any()
        assert weight.grad is not None
        assert not weight.grad[~kept].any()
        for value in optimizer.state[weight].values():
            if value.shape == weight.shape:
                assert not value[~kept].any()


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_pruned_weights_gradients_and_state_stay_zero(name):
    model = network()
    mask, before = layerwise(model, 0.7), {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = OPTIMIZERS[name](model.parameters())
    Enforcer(model, mask, optimizer)
    for weight_name, kept in mask.tensors.items():
        assert torch.equal(model.get_parameter(weight_name), before[weight_name] * kept)
    train(model, optimizer)
    assert_held(model, mask, optimizer)
    for weight_name, kept in mask.tensors.items():
        moved = model.get_parameter(weight_name) != before[weight_name]
        assert moved[kept].float().mean() > 0.5  # units whose way out is pruned stand still


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_old_optimizer_state_does_not_move_pruned_weights(name):
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    train(model, optimizer)
    old = optimizer.state_dict()
    mask = layerwise(model, 0.7)
    Enforcer(model, mask, optimizer)
    assert_held(model, mask, optimizer)
    train(model, optimizer, 1)
    assert_held(model, mask, optimizer)
    optimizer.load_state_dict(old)
    train(model, optimizer, 1)
    assert_held(model, mask, optimizer)


def test_training_under_the_enforcer_is_training_of_the_masked_network():
    """The same numbers as masking the weights in every forward and training the product."""
    model, other = network(), network()
    mask = layerwise(model, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    Enforcer(model, mask, optimizer)
    train(model, optimizer, 3)
    plain = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        plain.zero_grad()
        masked = {name: p * mask.tensors.get(name, 1) for name, p in other.named_parameters()}
        cross_entropy(torch.func.functional_call(other, masked, (X,)), Y).backward()
        plain.step()
    for name, parameter in other.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), parameter * mask.tensors.get(name, 1))


def test_infinities_and_negative_zeros_are_cleared_at_once():
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[float("inf"), -1.0, float("nan")]]))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Enforcer(model, Mask({"weight": torch.zeros(1, 3, dtype=torch.bool)}), optimizer)
    assert model.weight.view(torch.int32).tolist() == [[0, 0, 0]]


def test_remove_lets_go():
    model = network()
    mask = layerwise(model, 0.7)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    enforcer = Enforcer(model, mask, optimizer)
    enforcer.remove()
    train(model, optimizer, 1)
    assert model[0].weight[~mask.tensors["0.weight"]].any()


def test_frozen_layers_need_no_optimizer():
    model = network()
    model[0].weight.requires_grad_(False)
    mask = layerwise(model, 0.5)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    Enforcer(model, mask, optimizer)
    train(model, optimizer, 2)
    assert not model[0].weight[~mask.tensors["0.weight"]].any()
    assert not model[3].weight[~mask.tensors["3.weight"]].any()


def test_follows_a_network_that_changes_precision():
    model = network()
    mask = layerwise(model, 0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Enforcer(model, mask, optimizer)
    model.double()
    optimizer.zero_grad()
    model(X.double()).sum().backward()
    optimizer.step()
    assert model[0].weight.dtype == torch.float64
    assert_held(model, mask, optimizer)


def test_channels_last_weights():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 3)).to(memory_format=torch.channels_last)
    mask = layerwise(model, 0.6)
    optimizer = OPTIMIZERS["adam"](model.parameters())
    Enforcer(model, mask, optimizer)
    cross_entropy(model(torch.randn(4, 3, 3, 3)), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    assert_held(model, mask, optimizer)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # torch's own, while it compiles
def test_compiled_networks_whole_and_in_parts():
    for wrap in (
        lambda m: torch.compile(m, backend="eager"),
        lambda m: nn.Sequential(*m[:3], torch.compile(m[3], backend="eager")),
    ):
        bare = network()
        mask = layerwise(bare, 0.7)
        model = wrap(bare)
        assert any("_orig_mod." in name for name, _ in model.named_parameters())
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        Enforcer(model, mask, optimizer)
        train(model, optimizer, 2)
        assert_held(bare, mask, optimizer)
        assert layerwise(model, 0.7) == mask


def test_distributed_data_parallel():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped_training()
        gc.collect()  # a wrapped network that outlives the group may wait for ever for the group's threads
    finally:
        dist.destroy_process_group()


def wrapped_training() -> None:
    bare = network()
    mask = layerwise(bare, 0.7)
    model = nn.parallel.DistributedDataParallel(bare)
    assert layerwise(model, 0.7) == mask
    optimizer = OPTIMIZERS["adamw"](model.parameters())
    Enforcer(model, mask, optimizer)
    train(model, optimizer, 3)
    assert_held(bare, mask, optimizer)


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("tensors", "make", "message"),
    [
        ({"5.weight": (20, 6)}, sgd, "5.weight: the network has no such parameter. The network has: 0.weight, 0.bias"),
        (
            {"0.weight": (6, 20)},
            sgd,
            "0.weight: the mask has another shape than the weight (found '(6, 20), the weight (20, 6)')",
        ),
        ({"0.weight": (20, 6)}, lambda model: sgd(network()), "0.weight: the optimizer does not train this weight"),
        (
            {"0.weight": (20, 6)},
            lambda model: torch.optim.LBFGS(model.parameters()),
            "optimizer: LBFGS cannot be enforced",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(tensors, make, message):
    model = network()
    before = model[0].weight.detach().clone()
    with pytest.raises(LthError, match=re.escape(message)):
        Enforcer(
            model, Mask({name: torch.zeros(shape, dtype=torch.bool) for name, shape in tensors.items()}), make(model)
        )
    assert torch.equal(model[0].weight, before)
