"""Accuracy and loss of a network on a fixed set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.data.loader import Part, Resident

BATCH = 1024


@dataclass(frozen=True)
class Scores:
    """Mean cross-entropy in nats, top-1 accuracy in [0, 1], and each example's predicted class and confidence."""

    loss: float
    top1: float
    predicted: Tensor
    confidence: Tensor


@torch.no_grad()
def evaluate(model: nn.Module, resident: Resident, part: Part) -> Scores:
    """Returns the scores of `model` on a part of the data, in batches of one fixed size.

    The model is left in the mode it came in. A network that overflows has loss `inf` or `nan`, not an error.
    """
    training = model.training
    model.eval()
    pairs = [(model(images), labels) for images, labels in resident.batches(part, BATCH)]
    model.train(training)
    logits, y = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
    loss = cross_entropy(logits.double(), y).item()
    confidence, predicted = logits.softmax(1).max(1)
    return Scores(loss, (predicted == y).double().mean().item(), predicted.cpu(), confidence.cpu())
