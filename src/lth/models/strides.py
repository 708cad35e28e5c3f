"""A way around a defect of oneDNN in the backward pass of narrow 1x1 convolutions with a stride.

With channels last, and fewer input channels than a vector register holds numbers (8 with AVX2, 16 with AVX-512), it
writes behind the end of its workspace: wrong gradients, a crash or a hang (oneDNN issue 6035, open in November 2026).
"""

from __future__ import annotations

from torch import Tensor, nn

WIDE_ENOUGH = 16  # input channels


def without_narrow_strides(model: nn.Module) -> nn.Module:
    """Returns `model`, whose narrow 1x1 convolutions with a stride now take every second (third, ...) pixel first.

    That is the same function with the same weights under the same names, without the stride in the convolution.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and _narrow_and_strided(module):
            module.register_forward_pre_hook(_Every(*module.stride))
            module.stride = (1, 1)
    return model


class _Every:
    """Takes every `down`-th row and `across`-th column of the images that a convolution is given."""

    def __init__(self, down: int, across: int):
        self.down, self.across = down, across

    def __call__(self, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        images, *rest = given
        return (images[..., :: self.down, :: self.across], *rest)


def _narrow_and_strided(module: nn.Conv2d) -> bool:
    inside = module.kernel_size == (1, 1) and module.padding in ((0, 0), 0, "valid")
    return inside and module.stride != (1, 1) and module.in_channels // module.groups < WIDE_ENOUGH
