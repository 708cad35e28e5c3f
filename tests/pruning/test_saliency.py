from __future__ import annotations

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.errors import LthError
from lth.models.lenet import LeNet300100
from lth.models.mobilenet_v2 import MobileNetV2
from lth.models.resnet_cifar import ResNetCifar
from lth.pruning.allocate import budget
from lth.pruning.mask import Mask
from lth.pruning.saliency import snip_scores, synflow_mask, synflow_scores
from lth.pruning.score import magnitude_masks
from lth.pruning.threshold import masks

LENET = ["fc1.weight", "fc2.weight", "output.weight"]
CONV = ["0.weight", "4.weight", "9.weight"]


def lenet() -> nn.Module:
    torch.manual_seed(0)
    return LeNet300100((1, 6, 6), 4)


def conv_net() -> nn.Module:
    """Two convolutions with batch norms that have seen data, max pooling, dropout, and a linear layer."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(12 * 9, 4),
    )  # fmt: skip
    for _ in range(3):
        model(torch.randn(16, 1, 6, 6))
    return model


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 1, 6, 6, generator=generator), torch.arange(32) % 4


NETWORKS = [(lenet, LENET), (conv_net, CONV)]


def everything_of(model: nn.Module) -> dict[str, object]:
    state = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    modes = {name: module.training for name, module in model.named_modules()}
    return {"state": state, "gradients": gradients, "modes": modes, "rng": torch.get_rng_state()}


def assert_untouched(model: nn.Module, before: dict[str, object]) -> None:
    after = everything_of(model)
    assert after["modes"] == before["modes"]
    assert all(after["gradients"][name] is gradient for name, gradient in before["gradients"].items())
    assert torch.equal(after["rng"], before["rng"])
    for name, value in before["state"].items():
        assert torch.equal(after["state"][name], value), name
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("make", "names"), NETWORKS)
def test_snip_equals_gradient_times_weight(make, names):
    model, (x, y) = make(), batch()
    found = snip_scores(model, x, y, names)
    plain = copy.deepcopy(model).train()
    for module in plain.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    cross_entropy(plain(x), y).backward()
    assert list(found) == names
    for name in names:
        parameter = plain.get_parameter(name)
        torch.testing.assert_close(found[name], (parameter.grad * parameter).abs().detach())
        assert found[name].requires_grad is False


def test_snip_is_the_effect_of_taking_a_weight_away_to_first_order():
    """Lee et al. 2019, section 4: the derivative of the loss by a factor on the weight, by finite differences."""
    model, (x, y) = lenet().double(), batch()
    found = snip_scores(model, x.double(), y, ["fc2.weight"])["fc2.weight"]
    for row, column in ((0, 0), (7, 200), (99, 1)):
        losses = []
        for factor in (1 + 1e-5, 1 - 1e-5):
            changed = copy.deepcopy(model)
            changed.fc2.weight.data[row, column] *= factor
            losses.append(float(cross_entropy(changed(x.double()), y).detach()))
        assert float(found[row, column]) == pytest.approx(abs(losses[0] - losses[1]) / 2e-5, abs=1e-9, rel=1e-3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("make", "names"), NETWORKS)
def test_the_network_is_left_exactly_as_it_came(make, names, training):
    model, (x, y) = make().train(training), batch()
    if training:
        next(model.children()).eval()
    cross_entropy(model(x), y).backward()
    before = everything_of(model)
    snip_scores(model, x, y, names)
    assert_untouched(model, before)
    with torch.no_grad():
        synflow_mask(model, (1, 6, 6), dict.fromkeys(names, 1.0), 0.9, "global", iterations=3)
    assert_untouched(model, before)


def test_snip_leaves_the_network_as_it_came_when_it_fails():
    model = conv_net()
    before = everything_of(model)
    with pytest.raises(RuntimeError):
        snip_scores(model, torch.zeros(2, 3, 6, 6), torch.zeros(2, dtype=torch.long), CONV)
    assert_untouched(model, before)


def reference_synflow(
    model: nn.Module, names: list[str], rates: dict[str, float], sparsity: float, scope: str, iterations: int
) -> dict[str, Tensor]:
    """The authors' loop: evaluation mode, absolute values everywhere, apply the mask, score, prune, repeat."""
    plain = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for value in plain.state_dict().values():
            value.abs_()
    kept = {name: torch.ones_like(plain.get_parameter(name)) for name in names}
    shapes = {name: layer.shape for name, layer in kept.items()}
    for done in range(1, iterations + 1):
        for name in names:
            plain.get_parameter(name).data.mul_(kept[name])
        plain.zero_grad()
        plain(torch.ones(1, 1, 6, 6, dtype=torch.float64)).sum().backward()
        level = sparsity if done == iterations else 1 - (1 - sparsity) ** (done / iterations)
        for group, pruned in budget(shapes, level, scope, rates, None):
            scores = [(plain.get_parameter(n).grad * plain.get_parameter(n)).abs().flatten() for n in group]
            there = torch.cat([kept[name].flatten() for name in group])
            ranked = torch.cat(scores).masked_fill(there == 0, -1.0)
            there[ranked.argsort(stable=True)[:pruned]] = 0
            for name, part in zip(group, there.split([kept[n].numel() for n in group]), strict=True):
                kept[name] = part.view(kept[name].shape)
    return {name: layer.bool() for name, layer in kept.items()}


@pytest.mark.parametrize("scope", ["global", "layerwise", "erk"])
@pytest.mark.parametrize(("make", "names"), NETWORKS)
def test_synflow_equals_the_plain_loop(make, names, scope):
    model = make()
    for rates in (dict.fromkeys(names, 1.0), dict.fromkeys(names, 1.0) | {names[-1]: 0.5}):
        found = synflow_mask(model, (1, 6, 6), rates, 0.9, scope, iterations=10)
        assert found == Mask(reference_synflow(model, names, rates, 0.9, scope, 10))
        shapes = {name: layer.shape for name, layer in found.tensors.items()}
        for group, pruned in budget(shapes, 0.9, scope, rates, None):
            assert sum(int((~found.tensors[name]).sum()) for name in group) == pruned


def test_flow_is_conserved_from_layer_to_layer():
    """Tanaka et al. 2020, theorem 2: without biases every layer's scores add up to the flow."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(36, 50, False), nn.ReLU(), nn.Linear(50, 20, False), nn.ReLU(), nn.Linear(20, 4, False)
    )
    weights = [layer.weight.detach().abs().double() for layer in model if isinstance(layer, nn.Linear)]
    flow = float((weights[2] @ weights[1] @ weights[0]).sum())
    scores = synflow_scores(nn.Sequential(nn.Flatten(), model), (1, 6, 6), [f"1.{i}.weight" for i in (0, 2, 4)])
    assert [float(layer.sum()) for layer in scores.values()] == pytest.approx([flow] * 3)
    assert all(layer.dtype == torch.float64 for layer in scores.values())


def deep() -> nn.Module:
    """A pyramid of convolutions: its widest layer has by far the smallest weights, its first by far the fewest."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    widths = [3, 4, 16, 64, 128, 16]
    for inputs, outputs in pairwise(widths):
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10, bias=False))


def test_synflow_does_not_collapse_a_layer_where_others_do():
    """Tanaka et al. 2020, section 6: up to where only a few weights are left for every layer."""
    model = deep()
    names = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    rates = dict.fromkeys(names, 1.0)
    x, y = torch.randn(32, 3, 4, 4), torch.arange(32) % 10
    total = sum(model.get_parameter(name).numel() for name in names)
    for left in (300, 20):
        sparsity = 1 - left / total
        mask = synflow_mask(model, (3, 4, 4), rates, sparsity, "global")
        assert mask.kept == left
        assert mask.collapsed() == ()
        assert sum(float(s.sum()) for s in synflow_scores(model, (3, 4, 4), names, mask).values()) > 0
        assert magnitude_masks(model, [sparsity], names=names)[sparsity].collapsed()
    assert masks(snip_scores(model, x, y, names), [sparsity], scope="global")[sparsity].collapsed()
    assert synflow_mask(model, (3, 4, 4), rates, sparsity, "global", iterations=1).collapsed()  # one shot does


def test_scores_of_a_deep_network_stay_in_range():
    model = nn.Sequential(*[nn.Linear(100, 100, bias=False) for _ in range(60)])
    for layer in model:
        nn.init.constant_(layer.weight, 10.0)  # a factor of 1000 a layer: 1e180, far beyond float32
    scores = synflow_scores(nn.Sequential(nn.Flatten(), model), (1, 10, 10), ["1.0.weight"])["1.0.weight"]
    assert float(scores.sum()) == pytest.approx(1e182, rel=1e-6)
    with pytest.raises(LthError, match=r"1\.0\.weight: a score is not finite"):
        synflow_scores(nn.Sequential(nn.Flatten(), model, model[:50]), (1, 10, 10), ["1.0.weight"])


@pytest.mark.parametrize("make", [
    lambda: MobileNetV2((3, 32, 32), 10, width_multiplier=0.35, stem_stride=1),
    lambda: ResNetCifar(20, (3, 32, 32), 10),
])  # fmt: skip
def test_networks_of_the_registry_keep_their_flow(make):
    """ReLU6 would saturate in a network of absolute values and leave no gradient at all."""
    torch.manual_seed(0)
    model = make()
    names = [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    scores = synflow_scores(model, (3, 32, 32), names)
    assert all(float(layer.max()) > 0 for layer in scores.values())
    mask = synflow_mask(model, (3, 32, 32), dict.fromkeys(names, 1.0), 0.98, "global", iterations=15)
    assert all("downsample" in name for name in mask.collapsed())  # the paths around it are left
    assert all(float(layer.sum()) > 0 or name in mask.collapsed()
               for name, layer in synflow_scores(model, (3, 32, 32), names, mask).items())  # fmt: skip


def test_a_weight_that_is_never_called_scores_nothing():
    model = lenet()
    model.spare = nn.Linear(3, 3)
    x, y = batch()
    for scores in (snip_scores(model, x, y, ["spare.weight"]), synflow_scores(model, (1, 6, 6), ["spare.weight"])):
        assert torch.equal(scores["spare.weight"], torch.zeros_like(scores["spare.weight"]))


def test_bad_arguments_are_refused():
    model, (x, y) = lenet(), batch()
    with pytest.raises(LthError, match=r"names: the network has no such parameters \(found \['fc9'\]\)\. The network"):
        snip_scores(model, x, y, ["fc1.weight", "fc9"])
    with pytest.raises(LthError, match="names: the network has no such parameters"):
        synflow_mask(model, (1, 6, 6), {"fc9": 1.0}, 0.5, "global")
    with pytest.raises(LthError, match="iterations: SynFlow takes at least one"):
        synflow_mask(model, (1, 6, 6), {"fc1.weight": 1.0}, 0.5, "global", iterations=0)
    with pytest.raises(LthError, match=r"a sparsity is outside \[0, 1\)"):
        synflow_mask(model, (1, 6, 6), {"fc1.weight": 1.0}, 1.5, "global", iterations=1)
    x[3, 0, 2, 2] = math.nan
    with pytest.raises(LthError, match=r"fc1\.weight: a score is not finite"):
        snip_scores(model, x, y, LENET)
