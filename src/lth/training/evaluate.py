"""Accuracy and loss of a network on a fixed set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.data.loader import Images, Part
from lth.training.distributed import ALONE, Group
from lth.training.precision import autocast

BATCH = 1024


@dataclass(frozen=True)
class Scores:
    """Mean cross-entropy in nats, top-1 accuracy in [0, 1], and each example's predicted class and confidence."""

    loss: float
    top1: float
    predicted: Tensor
    confidence: Tensor


@torch.no_grad()
def evaluate(model: nn.Module, resident: Images, part: Part, precision: str = "fp32", group: Group = ALONE) -> Scores:
    """Returns the scores of `model` on a part of the data, in batches of one fixed size.

    The processes of a group take some of the batches each, and all return the scores of the whole, bit for
    bit those of one process. The model is left in the mode it came in. A network that overflows has loss
    `inf` or `nan`, not an error.
    """
    training = model.training
    model.eval()
    rows = [torch.empty(0, 4, dtype=torch.float64, device=resident.device)]  # loss, right or not, class, confidence
    for images, labels in resident.batches(part, BATCH, group.rank, group.world):
        with autocast(images.device, precision):
            logits = model(images).double()
        confidence, predicted = logits.softmax(1).max(1)
        loss = cross_entropy(logits, labels, reduction="none")
        rows.append(torch.stack([loss, (predicted == labels).double(), predicted.double(), confidence], 1))
    model.train(training)
    loss, right, predicted, confidence = torch.cat(group.gather(torch.cat(rows))).cpu().unbind(1)
    return Scores(loss.mean().item(), right.mean().item(), predicted.long(), confidence.float())
