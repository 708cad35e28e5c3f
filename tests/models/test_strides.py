"""Narrow 1x1 convolutions with a stride: the same function, and gradients that are right on every CPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from lth.models.registry import build
from lth.models.strides import without_narrow_strides
from lth.spec.schema import Model

CHILD = """
import torch
from torch import nn
from lth.models.strides import without_narrow_strides

torch.set_num_threads(1)
for channels in (1, 3, 4, 7, 12):
    for repetition in range(40):
        torch.manual_seed(repetition)
        conv = without_narrow_strides(nn.Conv2d(channels, 8, 1, 2, bias=False).to(memory_format=torch.channels_last))
        x = torch.randn(4, channels, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
        conv(x).square().sum().backward()
        exact = nn.Conv2d(channels, 8, 1, 2, bias=False).double()
        exact.load_state_dict(conv.state_dict())
        exact(x.detach().double()).square().sum().backward()
        torch.testing.assert_close(conv.weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=1e-3)
print("right")
"""


@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_gradients_with_channels_last_are_right_with_few_channels(capability: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": capability}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "right\n"), done.stderr[-2000:]


@pytest.mark.parametrize("stride", [2, (3, 2)])
def test_the_function_stays_the_same(stride: int | tuple[int, int]) -> None:
    torch.manual_seed(1)
    plain = nn.Conv2d(5, 8, 1, stride)
    changed = nn.Conv2d(5, 8, 1, stride)
    changed.load_state_dict(plain.state_dict())
    x = torch.randn(2, 5, 9, 12)
    torch.testing.assert_close(without_narrow_strides(changed)(x), plain(x))


def test_wide_padded_and_larger_ones_keep_their_stride() -> None:
    kept = [nn.Conv2d(16, 8, 1, 2), nn.Conv2d(4, 8, 3, 2, 1), nn.Conv2d(4, 8, 1, 2, 1)]
    without_narrow_strides(nn.ModuleList(kept))
    assert all(conv.stride == (2, 2) and not conv._forward_pre_hooks for conv in kept)


def test_networks_are_built_so() -> None:
    narrow = build(Model(name="resnet_20", arguments={"width": 4}), (3, 32, 32), 4, 0)
    usual = build(Model(name="resnet_20"), (3, 32, 32), 4, 0)
    assert [conv.stride for conv in ones(narrow)] == [(1, 1), (1, 1)]
    assert [conv.stride for conv in ones(usual)] == [(2, 2), (2, 2)]
    assert narrow(torch.zeros(2, 3, 32, 32)).shape == (2, 4)


def ones(model: nn.Module) -> list[nn.Conv2d]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1)]
