from __future__ import annotations

import pytest
import torch
from torch import nn

from lth.models.prunable import multiply_adds
from lth.models.vit import VisionTransformer


def tiny(**arguments) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer((3, 8, 8), 5, **{"patch": 4, "dim": 8, "depth": 1, "heads": 2, **arguments})


def test_names_and_shapes():
    shapes = {name: tuple(value.shape) for name, value in tiny(mlp=6).named_parameters()}
    block = "encoder.layers.encoder_layer_0"
    assert shapes == {
        "class_token": (1, 1, 8), "conv_proj.weight": (8, 3, 4, 4), "conv_proj.bias": (8,),
        "encoder.pos_embedding": (1, 5, 8),
        f"{block}.ln_1.weight": (8,), f"{block}.ln_1.bias": (8,),
        f"{block}.self_attention.in_proj_weight": (24, 8), f"{block}.self_attention.in_proj_bias": (24,),
        f"{block}.self_attention.out_proj.weight": (8, 8), f"{block}.self_attention.out_proj.bias": (8,),
        f"{block}.ln_2.weight": (8,), f"{block}.ln_2.bias": (8,),
        f"{block}.mlp.0.weight": (6, 8), f"{block}.mlp.0.bias": (6,),
        f"{block}.mlp.3.weight": (8, 6), f"{block}.mlp.3.bias": (8,),
        "encoder.ln.weight": (8,), "encoder.ln.bias": (8,), "heads.head.weight": (5, 8), "heads.head.bias": (5,),
    }  # fmt: skip


def test_pre_norm_by_hand():
    model = tiny(heads=1).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    block = model.encoder.layers[0]
    patches = images.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(2, 4, 48)
    tokens = patches @ model.conv_proj.weight.reshape(8, 48).T
    x = torch.cat([model.class_token.expand(2, 1, 8), tokens], 1) + model.encoder.pos_embedding
    query, key, value = (block.ln_1(x) @ block.self_attention.in_proj_weight.T).chunk(3, -1)
    x = x + (query @ key.mT / 8**0.5).softmax(-1) @ value @ block.self_attention.out_proj.weight.T
    x = x + block.mlp(block.ln_2(x))
    expected = model.heads.head(model.encoder.ln(x)[:, 0])
    torch.testing.assert_close(model(images), expected)


@pytest.mark.parametrize("heads", [1, 2])  # an even number has torch's fast path in evaluation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_evaluation_agrees_with_training(heads, dtype):
    model, images = tiny(heads=heads).to(dtype), torch.randn(3, 3, 8, 8, dtype=dtype)
    trained = model(images).detach()
    with torch.no_grad():
        torch.testing.assert_close(model.eval()(images), trained)


def test_dropout_works_in_training_only():
    model, images = tiny(dropout=0.5), torch.randn(3, 3, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


@pytest.mark.parametrize("heads", [1, 2])
def test_multiply_adds_of_attention_are_tokens_times_weights(heads):
    costs = multiply_adds(tiny(heads=heads).train(), (3, 8, 8))
    block, tokens = "encoder.layers.encoder_layer_0", 5
    assert costs == {
        "conv_proj.weight": 4 * 8 * 48, f"{block}.self_attention.in_proj_weight": tokens * 3 * 64,
        f"{block}.self_attention.out_proj.weight": tokens * 64, f"{block}.mlp.0.weight": tokens * 8 * 32,
        f"{block}.mlp.3.weight": tokens * 8 * 32, "heads.head.weight": 8 * 5,
    }  # fmt: skip


def test_nothing_is_left_undrawn():
    model = tiny(dim=64)
    for name, value in model.named_parameters():
        if value.ndim > 1:
            assert 0.01 < value.std() < 0.3, name
        elif "ln" not in name:
            assert not value.any(), name
    assert isinstance(model.encoder.layers[0].self_attention, nn.MultiheadAttention)
