from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from lth.errors import ModelError
from lth.models.weights import roles, weighted_layers


def test_weights_by_parameter_name_in_module_order():
    model = nn.Sequential(
        nn.Linear(2, 2), nn.Embedding(3, 2), nn.Sequential(nn.ConvTranspose1d(2, 2, 1), nn.BatchNorm1d(2))
    )
    assert list(weighted_layers(model)) == ["0.weight", "2.0.weight"]
    assert list(weighted_layers(nn.Linear(1, 1))) == ["weight"]


def test_roles():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(8, 8, 3, groups=4),
        nn.Conv2d(8, 4, 1), nn.Conv1d(4, 4, 1), nn.Linear(4, 3), nn.Linear(3, 2),
    )  # fmt: skip
    assert list(roles(weighted_layers(model)).values()) == [
        "stem", "depthwise", "depthwise", "conv", "pointwise", "pointwise", "linear", "output",
    ]  # fmt: skip


def test_a_first_convolution_that_is_depthwise_is_no_stem():
    model = nn.Sequential(nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 4, 3))
    assert list(roles(weighted_layers(model)).values()) == ["depthwise", "conv"]


@pytest.mark.parametrize(
    ("keys", "inputs"),
    [({}, ["in_proj_weight"]), ({"kdim": 3}, ["q_proj_weight", "k_proj_weight", "v_proj_weight"])],
)
def test_attention_projections_are_weights_and_none_of_them_is_the_output(keys, inputs):
    attention = nn.MultiheadAttention(4, 2, bias=False, add_bias_kv=True, **keys)
    assert list(weighted_layers(attention)) == [*inputs, "out_proj.weight"]
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), attention)
    names = [*inputs, "out_proj.weight"]
    assert roles(weighted_layers(model)) == {
        "0.weight": "linear", "1.weight": "output", **{f"2.{name}": "attention" for name in names}
    }  # fmt: skip
    assert set(roles(weighted_layers(nn.Sequential(attention))).values()) == {"attention"}


def tied_parameter() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    return model


def tied_module() -> nn.Module:
    layer = nn.Linear(3, 3)
    return nn.Sequential(layer, nn.ReLU(), layer)


def tied_to_embedding() -> nn.Module:
    model = nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 5))
    model[1].weight = model[0].weight
    return model


def tied_view() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3))
    model[1].weight = nn.Parameter(model[0].weight.detach().t())
    return model


def tied_inside() -> nn.Module:
    """A small weight in the middle of a large one, with an unrelated one between them in memory order."""
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(2, 2))
    model[1].weight = nn.Parameter(model[0].weight.detach().view(-1)[10:14].view(2, 2))
    return model


def tied_attention() -> nn.Module:
    model = nn.ModuleList([nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 2)])
    model[1].in_proj_weight = model[0].in_proj_weight
    return model


def tied_projections() -> nn.Module:
    attention = nn.MultiheadAttention(4, 2)
    attention.out_proj.weight = nn.Parameter(attention.in_proj_weight.detach()[:4])
    return attention


@pytest.mark.parametrize(
    "make",
    [
        tied_parameter, tied_module, tied_to_embedding, tied_view, tied_inside, tied_attention, tied_projections
    ],
)  # fmt: skip
def test_tied_weights_are_refused(make):
    with pytest.raises(ModelError, match=r"shares its memory with .* \(tied weights\)"):
        weighted_layers(make())


def test_views_of_one_flat_buffer_are_not_tied():
    model, flat = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), torch.zeros(24)
    model[0].weight.data, model[1].weight.data = flat[:9].view(3, 3), flat[9:18].view(3, 3)
    assert len(weighted_layers(model)) == 2


def parametrized() -> nn.Module:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 3)))


def pruned_by_hook() -> nn.Module:
    return nn.Sequential(prune.l1_unstructured(nn.Linear(3, 3), "weight", 0.5))


def computed() -> nn.Module:
    layer = nn.Linear(3, 3)
    weight = layer.weight.detach()
    del layer.weight
    layer.weight = weight
    return nn.Sequential(layer)


def attention_parametrized(holder: str, weight: str) -> nn.Module:
    model = nn.Sequential(nn.MultiheadAttention(4, 2))
    parametrize.register_parametrization(model.get_submodule(holder), weight, nn.Identity())
    return model


def attention_pruned_by_hook(holder: str, weight: str) -> nn.Module:
    model = nn.Sequential(nn.MultiheadAttention(4, 2))
    prune.l1_unstructured(model.get_submodule(holder), weight, 0.5)
    return model


@pytest.mark.parametrize(
    ("make", "message"), [(attention_parametrized, "is parametrized"), (attention_pruned_by_hook, "is already pruned")]
)
@pytest.mark.parametrize(("holder", "weight"), [("0", "in_proj_weight"), ("0.out_proj", "weight")])
def test_attention_weights_that_cannot_be_masked_by_name_are_refused(make, message, holder, weight):
    with pytest.raises(ModelError, match=rf"{holder}\.{weight}: the weight {message}"):
        weighted_layers(make(holder, weight))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (parametrized, r"0\.weight: the weight is parametrized.*remove_parametrizations"),
        (pruned_by_hook, r"0\.weight: the weight is already pruned by a torch\.nn\.utils\.prune hook.*prune\.remove"),
        (computed, r"0\.weight: the weight is computed from other parameters"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), r"0\.weight: the weight has no shape yet"),
    ],
)
def test_weights_that_cannot_be_masked_by_name_are_refused(make, message):
    with pytest.raises(ModelError, match=message):
        weighted_layers(make())


def test_what_the_messages_advise_helps():
    hooked, model = pruned_by_hook(), parametrized()
    prune.remove(hooked[0], "weight")
    parametrize.remove_parametrizations(model[0], "weight")
    assert list(weighted_layers(hooked)) == list(weighted_layers(model)) == ["0.weight"]
