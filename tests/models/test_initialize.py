from __future__ import annotations

import torch
from torch import nn

from lth.models.initialize import initialize


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 64, 3, groups=64),
        nn.Flatten(), nn.Linear(400, 300), nn.LayerNorm(300)
    )  # fmt: skip


def made(name: str, seed: int = 0) -> nn.Sequential:
    model = network()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 3.0)
    model[1].running_mean.fill_(5)
    return initialize(model, name, torch.Generator().manual_seed(seed))


def test_kaiming_normal_has_variance_2_over_fan_in():
    model = made("kaiming_normal")
    assert abs(model[0].weight.std().item() / (2 / (16 * 9)) ** 0.5 - 1) < 0.05
    assert abs(model[2].weight.std().item() / (2 / 9) ** 0.5 - 1) < 0.1  # depthwise: fan-in is the kernel
    assert abs(model[4].weight.std().item() / (2 / 400) ** 0.5 - 1) < 0.02


def test_glorot_normal_has_variance_2_over_fan_in_plus_fan_out():
    weight = made("glorot_normal")[4].weight
    assert abs(weight.std().item() / (2 / 700) ** 0.5 - 1) < 0.02
    assert abs(weight.mean().item()) < 1e-3


def test_biases_norms_and_statistics_are_reset():
    model = made("kaiming_normal")
    assert not model[0].bias.any()
    assert not model[4].bias.any()
    for norm in (model[1], model[5]):
        assert (norm.weight == 1).all()
        assert not norm.bias.any()
    assert not model[1].running_mean.any()


def test_default_leaves_the_class_its_own_values():
    assert all((parameter == 3).all() for parameter in made("default").parameters())


def test_every_draw_comes_from_the_generator():
    state = torch.get_rng_state()
    for name in ("kaiming_normal", "glorot_normal"):
        first, again, other = made(name, 1), made(name, 1), made(name, 2)
        for index in (0, 2, 4):
            assert torch.equal(first[index].weight, again[index].weight)
            assert not torch.equal(first[index].weight, other[index].weight)
    network()
    torch.set_rng_state(state)
    initialize(network(), "kaiming_normal", torch.Generator().manual_seed(0))
    after = torch.get_rng_state()
    torch.set_rng_state(state)
    network()
    assert torch.equal(after, torch.get_rng_state())


def attention(name: str, **keys) -> nn.MultiheadAttention:
    model = nn.MultiheadAttention(64, 2, **keys)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 3.0)
    initialize(model, name, torch.Generator().manual_seed(0))
    return model


def test_each_projection_of_attention_is_drawn_by_itself():
    for name, variance in (("kaiming_normal", 2 / 64), ("glorot_normal", 2 / 128)):
        model = attention(name)
        for part in (*model.in_proj_weight.detach().chunk(3), model.out_proj.weight):
            assert abs(part.std().item() / variance**0.5 - 1) < 0.05
        assert not model.in_proj_bias.any()
        assert not model.out_proj.bias.any()
        packed = torch.cat([model.in_proj_weight, model.out_proj.weight])
        apart = attention(name, kdim=64, vdim=65, add_bias_kv=True)
        assert torch.equal(torch.cat([apart.q_proj_weight, apart.k_proj_weight]), packed[:128])
        assert apart.v_proj_weight.std() < 1
        assert (apart.bias_k == 3).all()
    assert attention("kaiming_normal", bias=False).in_proj_bias is None
