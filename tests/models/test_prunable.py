from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from lth.errors import ModelError
from lth.models.lenet import LeNet300100
from lth.models.mobilenet_v2 import MobileNetV2
from lth.models.prunable import layers, multiply_adds, prunable, scope_table
from lth.spec.schema import Prune


def pruning(**keys) -> Prune:
    return Prune(scope="global", **keys)


def test_lenet_roles_rates_and_order():
    found = layers(LeNet300100((1, 28, 28), 10), pruning(rates={"output": 0.5}))
    assert [(layer.name, layer.role, layer.rate, layer.excluded) for layer in found] == [
        ("fc1.weight", "linear", 1.0, None), ("fc2.weight", "linear", 1.0, None),
        ("output.weight", "output", 0.5, None),
    ]  # fmt: skip
    assert [layer.shape for layer in found] == [(300, 784), (100, 300), (10, 100)]
    assert sum(layer.size for layer in found) == 266_200


def test_mobilenet_roles_and_shares():
    model = MobileNetV2((3, 224, 224), 1000)
    weights = dict.fromkeys(("stem", "depthwise", "pointwise", "output"), 0)
    for layer in layers(model, pruning()):
        weights[layer.role] += layer.size
    assert weights["stem"] == 864
    assert weights["output"] == 1_280_000
    assert round(weights["pointwise"] / 3_504_872, 3) == 0.606
    assert round(weights["depthwise"] / 3_504_872, 3) == 0.018
    kept = prunable(model, pruning(exclude=["depthwise", "stem"]))
    assert len(kept) == 35
    assert sum(model.get_parameter(name).numel() for name in kept) == weights["pointwise"] + weights["output"]


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ("linear", ["output.weight"]),
        ("output", ["fc1.weight", "fc2.weight"]),
        ("fc*", ["output.weight"]),
        ("fc2.weight", ["fc1.weight", "output.weight"]),
        ("fc2", ["fc1.weight", "output.weight"]),
        ("fc[1]", ["fc2.weight", "output.weight"]),
    ],
)
def test_names_are_roles_or_patterns_of_parameters_and_modules(key, left):
    model = LeNet300100((1, 2, 2), 2)
    assert list(prunable(model, pruning(exclude=[key]))) == left
    rates = prunable(model, pruning(rates={key: 0.25}))
    assert [name for name, rate in rates.items() if rate == 1.0] == left


def test_a_module_name_stands_for_everything_inside():
    names = prunable(MobileNetV2((3, 32, 32), 10), pruning(exclude=["features.2", "classifier"]))
    assert not any(name.startswith(("features.2.", "classifier.")) for name in names)
    assert len(names) == 53 - 3 - 1


def test_an_exclusion_outweighs_a_rate_and_gives_its_reason():
    output = layers(LeNet300100((1, 2, 2), 2), pruning(exclude=["output"], rates={"output": 0.5}))[-1]
    assert output.excluded == "excluded by 'output'"


@pytest.mark.parametrize(
    ("prune", "message"),
    [
        (
            pruning(exclude=["stem"]),
            "prune.exclude: matches no layer of the model (found 'stem'). Roles in this model: linear, output",
        ),
        (pruning(rates={"fc3*": 0.5}), "prune.rates: matches no layer of the model (found 'fc3*')"),
        (pruning(exclude=["*"]), "prune.exclude: every layer is excluded"),
        (pruning(rates={"fc1": 0.5, "linear": 0.2}), "prune.rates: several rates for fc1.weight"),
    ],
)
def test_settings_that_do_not_fit_the_model_are_refused(prune, message):
    with pytest.raises(ModelError, match=re.escape(message)):
        layers(LeNet300100((1, 2, 2), 2), prune)


def test_a_model_without_prunable_layers_is_refused():
    with pytest.raises(ModelError, match="no convolution, linear or attention layer"):
        layers(nn.Sequential(nn.BatchNorm2d(3)), pruning())


class Odd(nn.Module):
    """Calls one layer twice, one never, and has a transposed and a grouped convolution."""

    def __init__(self):
        super().__init__()
        self.up = nn.ConvTranspose2d(1, 4, 2, stride=2)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2, padding=1)
        self.idle = nn.Linear(5, 5)
        self.rows = nn.Linear(6, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.BatchNorm2d(4)
        self.start = nn.Parameter(torch.zeros(1, 1))

    def forward(self, x):
        x = self.norm(self.grouped(self.up(x)))
        return self.attention(*[self.rows(self.rows(x.flatten(2)[..., :6]))] * 3)[0]


def test_multiply_adds_count_positions_calls_and_groups():
    model = Odd().train()
    costs = multiply_adds(model, (1, 4, 4))
    assert costs["up.weight"] == 16 * 16  # 16 input positions, 1 x 4 x 2 x 2 weights
    assert costs["grouped.weight"] == 64 * 4 * 2 * 9
    assert costs["rows.weight"] == 2 * 4 * 36
    assert costs["attention.in_proj_weight"] == 4 * 3 * 36
    assert costs["attention.out_proj.weight"] == 4 * 36
    assert costs["idle.weight"] == 0
    assert model.training
    assert model.norm.num_batches_tracked == 0
    assert not any(module._forward_hooks for module in model.modules())


class Crossed(nn.Module):
    """Queries from 2 tokens of 4 features; keys and values from 6 tokens of 3 and 5, given by keyword."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, kdim=3, vdim=5, batch_first=True)
        self.same = nn.MultiheadAttention(4, 2)

    def forward(self, x):
        query, rest = x.new_ones(1, 2, 4), x.new_ones(1, 6, 5)
        y = self.attention(query, value=rest, key=rest[..., :3])[0][0]
        return self.same(y[:, None], rest[0, :, None, :4], rest[0, :, None, :4])[0]


def test_multiply_adds_of_attention_follow_the_tokens_of_each_projection():
    assert multiply_adds(Crossed(), (1, 1, 1)) == {
        "attention.q_proj_weight": 2 * 16, "attention.k_proj_weight": 6 * 12, "attention.v_proj_weight": 6 * 20,
        "attention.out_proj.weight": 2 * 16, "same.in_proj_weight": (2 + 6 + 6) * 16, "same.out_proj.weight": 2 * 16,
    }  # fmt: skip


def test_multiply_adds_of_torchs_own_encoder_do_not_take_its_fast_path():
    model = nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(4, 2, dim_feedforward=3, batch_first=True))
    assert list(multiply_adds(model, (5, 2, 2)).values()) == [5 * 48, 5 * 16, 5 * 12, 5 * 12]


def test_attention_is_a_role_for_rates_and_exclusions():
    model = Odd()
    names = ["attention.in_proj_weight", "attention.out_proj.weight"]
    assert [layer.name for layer in layers(model, pruning()) if layer.role == "attention"] == names
    assert not set(names) & prunable(model, pruning(exclude=["attention"])).keys()
    rates = prunable(model, pruning(rates={"attention": 0.25, "output": 0.5}))
    assert {name for name, rate in rates.items() if rate == 0.25} == set(names)
    assert {name for name, rate in rates.items() if rate == 0.5} == {"rows.weight"}


def test_multiply_adds_of_one_input_do_not_depend_on_the_spatial_layout():
    assert multiply_adds(nn.Sequential(nn.Conv1d(2, 3, 3)), (2, 7)) == {"0.weight": 5 * 18}
    assert multiply_adds(LeNet300100((1, 8, 8), 10), (1, 8, 8))["fc1.weight"] == 64 * 300


def test_scope_table_adds_up_and_says_why():
    model = Odd()
    rows = scope_table(model, pruning(exclude=["up"], rates={"grouped": 0.5}), (1, 4, 4))
    total = sum(parameter.numel() for parameter in model.parameters())
    assert sum(row["weights"] for row in rows) == total
    assert sum(row["share"] for row in rows) == pytest.approx(1)
    by_name = {row["layer"]: row for row in rows}
    assert by_name["up.weight"] == {
        "layer": "up.weight", "role": "stem", "shape": [1, 4, 2, 2], "weights": 16, "share": 16 / total,
        "multiply_adds": 256, "prunable": "no: excluded by 'up'", "rate": None,
    }  # fmt: skip
    assert (by_name["grouped.weight"]["prunable"], by_name["grouped.weight"]["rate"]) == ("yes", 0.5)
    assert by_name["attention.in_proj_weight"]["prunable"] == "yes"
    assert by_name["start"]["prunable"] == "no: not the weight of a convolution, linear or attention layer"
    assert rows[-1]["layer"] == "biases and norms"
    assert rows[-1]["prunable"] == "no: never pruned"


def test_tables_work_on_a_model_already_moved_to_a_flat_buffer():
    model = LeNet300100((1, 2, 2), 2)
    flat = torch.zeros(sum(parameter.numel() for parameter in model.parameters()))
    start = 0
    for parameter in model.parameters():
        parameter.data = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    assert len(prunable(model, pruning())) == 3
