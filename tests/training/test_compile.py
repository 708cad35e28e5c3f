"""torch.compile: compiled once for all tickets, and lockstep still leaves every ticket's bits alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.training.checkpoint import state_of, weights_hash
from lth.training.trainee import Trainee

RECIPE = {"epochs": 2, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}


def trainee(sparsity: float, **changes: bool) -> Trainee:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 4))
    recipe = Train.model_validate({**RECIPE, **changes})
    return Trainee("a", model, recipe, 4, mask=magnitude_masks(model, [sparsity])[sparsity])


def batch(step: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(step)
    return torch.randn(8, 3, 6, 6, generator=draw), torch.randint(4, (8,), generator=draw)


def run(group: list[Trainee]) -> list[Trainee]:
    for step in range(8):
        for one in group:
            one.advance(*batch(step))
    return group


@pytest.mark.long  # the compiler takes half a minute and more
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when its compiler is imported
def test_compiled_tickets_in_lockstep_have_the_bits_they_have_alone_and_compile_once() -> None:
    torch._dynamo.reset()  # whatever another test compiled
    torch._dynamo.utils.counters.clear()
    alone = [weights_hash(state_of(run([trainee(sparsity, compile=True)])[0])) for sparsity in (0.5, 0.8)]
    compiled = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    together = run([trainee(sparsity, compile=True) for sparsity in (0.8, 0.5)])
    assert [weights_hash(state_of(one)) for one in together] == alone[::-1]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == compiled == 1
    eager = run([trainee(0.5)])[0]
    torch.testing.assert_close(eager.weights, together[1].weights, rtol=1e-3, atol=1e-4)
