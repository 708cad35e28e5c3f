from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from lth.models.lenet import LeNet300100
from lth.models.mobilenet_v2 import MobileNetV2
from lth.models.resnet_cifar import ResNetCifar
from lth.models.vgg import VGG
from lth.pruning.effective import effective_density
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks


def drawn(model: nn.Module, density: float, seed: int = 0) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    weights = {name: value for name, value in model.named_parameters() if value.ndim > 1}
    return Mask({name: torch.rand(value.shape, generator=generator) < density for name, value in weights.items()})


def brute_force(masks: list[torch.Tensor]) -> int:
    """Weights on a path, by walking every path of units from input to output."""
    widths = [masks[0].shape[1]] + [len(mask) for mask in masks]
    live = set()
    for path in itertools.product(*map(range, widths)):
        steps = [(layer, after, before) for layer, (before, after) in enumerate(itertools.pairwise(path))]
        if all(masks[layer][after, before] for layer, after, before in steps):
            live.update(steps)
    return len(live)


widths = st.lists(st.integers(1, 4), min_size=2, max_size=5)


@given(
    widths,
    st.sampled_from([0.15, 0.3, 0.5, 0.8]),
    st.integers(0, 1000),
    st.sampled_from([nn.ReLU, nn.Sigmoid, nn.ReLU6]),
)
def test_small_networks_against_every_path(widths, density, seed, activation):
    layers = [nn.Linear(*pair) for pair in itertools.pairwise(widths)]
    model = nn.Sequential(nn.Flatten(), *[part for layer in layers for part in (layer, activation())])
    mask = drawn(model, density, seed)
    expected = brute_force(list(mask.tensors.values())) / mask.total
    assert effective_density(model, mask, (widths[0], 1, 1)) == pytest.approx(expected)


def test_lenet_and_its_dead_units():
    model = LeNet300100((1, 2, 2), 3)
    kept = {
        name: torch.zeros(value.shape, dtype=torch.bool) for name, value in model.named_parameters() if value.ndim > 1
    }
    kept["fc1.weight"][0, 0] = kept["fc2.weight"][0, 0] = kept["output.weight"][0, 0] = True
    kept["fc1.weight"][1, 1] = True  # leads nowhere
    kept["output.weight"][2, 5] = True  # comes from nowhere
    assert effective_density(model, Mask(kept), (1, 2, 2)) == 3 / Mask(kept).total


def test_a_full_mask_is_fully_effective_and_an_empty_one_not_at_all():
    model = LeNet300100((1, 3, 3), 4)
    full = drawn(model, 2.0)
    assert effective_density(model, full, (1, 3, 3)) == 1.0
    assert effective_density(model, Mask({name: ~tensor for name, tensor in full.tensors.items()}), (1, 3, 3)) == 0.0
    assert effective_density(model, Mask({}), (1, 3, 3)) == 1.0


def test_layers_outside_the_mask_count_as_connections():
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.Linear(2, 2))
    nn.init.constant_(model[2].weight, 0)
    mask = Mask({"1.weight": torch.tensor([[True, False], [True, True]])})
    assert effective_density(model, mask, (2, 1, 1)) == 0.75


def test_mobilenet_with_residuals():
    model = MobileNetV2((3, 32, 32), 10, stem_stride=1)
    full = drawn(model, 2.0)
    assert effective_density(model, full, (3, 32, 32)) == 1.0
    sparse = dict(full.tensors)
    sparse["features.3.conv.2.weight"] = torch.zeros_like(sparse["features.3.conv.2.weight"])
    branch = sum(sparse[f"features.3.conv.{part}.weight"].numel() for part in ("0.0", "1.0", "2"))
    assert effective_density(model, Mask(sparse), (3, 32, 32)) == pytest.approx(
        1 - branch / full.total
    )  # past the branch
    sparse["features.2.conv.2.weight"] = torch.zeros_like(sparse["features.2.conv.2.weight"])
    assert effective_density(model, Mask(sparse), (3, 32, 32)) == 0.0  # no way round a block without a residual


def test_deep_and_very_sparse_networks_stay_in_range():
    model = nn.Sequential(nn.Flatten(), *[nn.Linear(100, 100, bias=False) for _ in range(170)])
    mask = Mask({name: torch.eye(100, dtype=torch.bool) for name, _ in model.named_parameters()})
    assert effective_density(model, mask, (100, 1, 1)) == mask.density


class Functional(nn.Module):
    """Activations, dropout, norms and pooling called as functions, the way users write them."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(2, return_indices=False)
        self.up = nn.ConvTranspose2d(2, 2, 2, stride=2)
        self.last = nn.Linear(2, 2)

    def forward(self, x):
        x = functional.max_pool2d(functional.gelu(self.norm(self.first(x))), 3, stride=1, padding=1)
        x = functional.dropout(self.pool(torch.relu_(self.second(x))).tanh(), 0.5, training=True)
        x = functional.adaptive_max_pool2d(self.up(x), 1).flatten(1).clamp(-1, 1)
        return functional.log_softmax(self.last(x), dim=1)


def test_activations_and_pools_called_as_functions_do_not_hide_weights():
    model = Functional()
    with torch.no_grad():
        model.norm.weight.zero_()
    full = drawn(model, 2.0)
    assert effective_density(model, full, (1, 8, 8)) == 1.0
    cut = dict(full.tensors)
    cut["second.weight"] = cut["second.weight"].clone()
    cut["second.weight"][:, 1] = False  # unit 1 of the first layer leads nowhere
    dead = 9 + 2 * 9
    assert effective_density(model, Mask(cut), (1, 8, 8)) == pytest.approx(1 - dead / full.total)


def test_transposed_and_grouped_convolutions():
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Conv2d(6, 2, 1)
    )
    full = drawn(model, 2.0)
    cut = dict(full.tensors)
    cut["2.weight"] = cut["2.weight"].clone()
    cut["2.weight"][:, 3:] = False  # the second group of both layers before leads nowhere
    dead = (full.tensors["0.weight"].numel() + full.tensors["1.weight"].numel()) // 2 + 2 * 3
    assert effective_density(model, Mask(cut), (4, 5, 5)) == pytest.approx(1 - dead / full.total)


def test_dilated_max_pooling_still_runs():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(2, dilation=2))
    assert effective_density(model, drawn(model, 2.0), (1, 6, 6)) == 1.0


def test_attention_of_ones_own_making():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x):
            x = x.flatten(2)
            return functional.scaled_dot_product_attention(self.query(x), value=self.value(x), key=self.key(x))

    model = Attention()
    assert effective_density(model, drawn(model, 2.0), (3, 2, 2)) == 1.0


def test_residual_networks_lose_a_branch_and_vgg_everything_behind_it():
    shape = (3, 32, 32)
    resnet = ResNetCifar(20, shape, 10, width=4)
    full = drawn(resnet, 2.0)
    branch = {f"layer2.1.conv{index}.weight": full.tensors[f"layer2.1.conv{index}.weight"] for index in (1, 2)}
    cut = Mask({**full.tensors, "layer2.1.conv1.weight": ~branch["layer2.1.conv1.weight"]})
    dead = sum(tensor.numel() for tensor in branch.values())
    assert effective_density(resnet, cut, shape) == pytest.approx(1 - dead / full.total)
    vgg = VGG(16, shape, 10, width=2)
    full = drawn(vgg, 2.0)
    kept = full.tensors["features.7.weight"].clone()
    kept[1] = False
    dead = 2 * 9 + 4 * 9  # the unit's own weights, and those of the next layer that read it
    cut = Mask({**full.tensors, "features.7.weight": kept})
    assert effective_density(vgg, cut, shape) == pytest.approx(1 - dead / full.total)


def test_the_network_is_left_as_it_was():
    model = Functional().train()
    model.pool.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    effective_density(model, drawn(model, 0.5), (1, 8, 8))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(generator, torch.get_rng_state())
    assert model.training
    assert not model.pool.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_never_more_than_the_density():
    model = LeNet300100((1, 8, 8), 10)
    for mask in magnitude_masks(model, [0.5, 0.9, 0.99], scope="layerwise").values():
        assert 0 < effective_density(model, mask, (1, 8, 8)) <= mask.density
