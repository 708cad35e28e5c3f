"""The usual way to train a masked network, as pruning code in the field does it: what lth is compared with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


class Plain:
    """Contiguous tensors, torch.optim.SGD as it comes, every layer multiplied by its mask before each forward."""

    def __init__(
        self, model: nn.Module, mask: Mapping[str, Tensor], lr: float, momentum: float, precision: str = "fp32"
    ):
        self.model, self.precision = model.train(), precision
        parameters = dict(model.named_parameters())
        device = next(model.parameters()).device
        self.masked = [(parameters[name], kept.to(device, torch.float32)) for name, kept in mask.items()]
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum, weight_decay=1e-4)

    def apply_mask(self) -> None:
        """Returns nothing; sets the pruned weights to zero, layer by layer."""
        for parameter, kept in self.masked:
            parameter.data *= kept

    def advance(self, x: Tensor, y: Tensor) -> None:
        """Returns nothing; takes one step."""
        self.apply_mask()
        self.optimizer.zero_grad()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            loss = cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
