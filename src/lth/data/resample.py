"""Random resized crops on the device: a box of each image, resized to what the network sees."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from lth.data.augment import Moves


def resample(x: Tensor, moves: Moves, seen: tuple[int, int]) -> Tensor:
    """Returns the boxes of x (B,C,H,W) resized to `seen` (height, width), and flipped: float32, in grey levels.

    Bilinear, without antialiasing: store images little larger than what is seen of them. Pixels outside a box have
    no part in it. An image has the same bits in whatever batch.
    """
    assert moves.boxes is not None
    top, left, high, wide = moves.boxes.to(torch.float32).unbind(1)
    down = _centres(top, high, seen[0], x.shape[2], None)
    across = _centres(left, wide, seen[1], x.shape[3], moves.flips)
    grid = torch.stack(
        [across[:, None, :].expand(-1, seen[0], -1), down[:, :, None].expand(-1, -1, seen[1])], dim=-1
    )  # fmt: skip
    images = x.to(torch.float32).contiguous()
    return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _centres(first: Tensor, length: Tensor, count: int, side: int, turned: Tensor | None) -> Tensor:
    """Where the centres of `count` pixels lie in a box, (B,count), as grid_sample counts: -1 to 1 over `side`."""
    steps = torch.arange(count, device=first.device, dtype=torch.float32) + 0.5
    if turned is not None:
        steps = torch.where(turned[:, None], count - steps, steps)
    inside = (steps * (length / count)[:, None]).maximum(steps.new_tensor(0.5))
    inside = inside.minimum((length - 0.5)[:, None])
    return (first[:, None] + inside) * (2.0 / side) - 1.0
