"""The line between two networks against a plain loop; planted barriers are found, equal ends have none."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.analysis.connectivity import PARTS, WAYS, Line, barrier, between, re_estimate
from lth.data.loader import Resident
from lth.data.order import permutation, stream_seed
from lth.data.sources import open_source
from lth.errors import LthError
from lth.spec.schema import Data

SOURCE = "synthetic:examples=300,test_examples=120,size=4,noise=0.3"
DATA = Data.model_validate({"source": SOURCE, "batch_size": 32, "validation": {"fraction": 0.2}})
POINTS = 7


@pytest.fixture(scope="module")
def resident() -> Resident:
    return Resident(open_source(DATA.source), DATA, 0, torch.device("cpu"))


def plain_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))


def norm_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6, momentum=0.3), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.5), nn.Linear(96, 4),
    )  # fmt: skip


def trained(make: Any, resident: Resident, seed: int, steps: int = 60) -> dict[str, Tensor]:
    """The state of a network that has seen the training images in an order of its own."""
    torch.manual_seed(0)
    model, draw = make(), np.random.default_rng(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images, labels = resident.train
    for _ in range(steps):
        chosen = torch.from_numpy(draw.integers(0, len(images), 32))
        optimizer.zero_grad()
        cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    return copy.deepcopy(model.state_dict())


def plain_line(
    model: nn.Module, a: dict[str, Tensor], b: dict[str, Tensor], x: Tensor, y: Tensor, batches: list[Tensor] | None
) -> Line:
    """Error and loss, written the plain way; with `batches` of images the statistics are averaged over them."""
    errors, losses = [], []
    for t in np.linspace(0, 1, POINTS):
        mixed = {key: (1 - t) * a[key] + t * b[key] if a[key].is_floating_point() else a[key] for key in a}
        model.load_state_dict(mixed)
        model.eval()
        norm = model[1]
        if batches is not None and isinstance(norm, nn.BatchNorm2d):
            maps = [model[0](images) for images in batches]
            norm.running_mean = torch.stack([one.mean((0, 2, 3)) for one in maps]).mean(0).detach()
            norm.running_var = torch.stack([one.var((0, 2, 3)) for one in maps]).mean(0).detach()
        logits = model(x).double()
        errors.append((logits.argmax(1) != y).double().mean().item())
        losses.append(cross_entropy(logits, y).item())
    return Line(tuple(errors), tuple(losses))


def fixed_batches(resident: Resident, most: int) -> list[Tensor]:
    order = torch.from_numpy(permutation(stream_seed(0, "statistics"), 0, resident.train_examples))
    return [resident.train[0][order[32 * i : 32 * (i + 1)]] for i in range(min(most, resident.steps_per_epoch))]


@pytest.mark.parametrize("make", [plain_net, norm_net])
@pytest.mark.parametrize("most", [3, 50])
def test_the_line_is_that_of_a_plain_loop(make: Any, most: int, resident: Resident) -> None:
    a, b = trained(make, resident, 1), trained(make, resident, 2)
    found = barrier(make(), a, b, resident, points=POINTS, batches=most)
    assert found.batch_norm == (make is norm_net)
    for way in WAYS:
        batches = fixed_batches(resident, most) if way == "re-estimated" else None
        for part in PARTS:
            with torch.no_grad():
                wanted = plain_line(make(), a, b, *getattr(resident, part), batches)
            line = found.lines[way][part]
            assert line.error == pytest.approx(wanted.error, abs=1e-12)
            assert line.loss == pytest.approx(wanted.loss, rel=1e-4, abs=1e-6)
            ends = (wanted.error[0] + wanted.error[-1]) / 2
            assert found.instability(way, part) == pytest.approx(max(wanted.error) - ends)


def test_a_network_without_batch_norm_is_evaluated_once(resident: Resident) -> None:
    calls = []
    model = plain_net()
    model.register_forward_hook(lambda *_: calls.append(1))
    a, b = trained(plain_net, resident, 1), trained(plain_net, resident, 2)
    found = barrier(model, a, b, resident, points=3, parts=["test"])
    assert found.lines["re-estimated"] == found.lines["interpolated"]
    assert len(calls) == 3


def test_equal_ends_have_no_barrier_at_all(resident: Resident) -> None:
    for make in (plain_net, norm_net):
        state = trained(make, resident, 1)
        found = barrier(make(), state, copy.deepcopy(state), resident, points=11)
        for way in WAYS:
            for part in PARTS:
                assert found.instability(way, part) == 0.0
                assert len(set(found.lines[way][part].loss)) == 1


def test_permuted_hidden_units_are_the_same_function_behind_a_barrier(resident: Resident) -> None:
    linear = trained(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 4)), resident, 1)
    eye, there, back = torch.eye(4), linear["1.weight"], linear["1.bias"]
    state = {  # relu(z) - relu(-z) = z
        "1.weight": torch.cat([there, -there]),
        "1.bias": torch.cat([back, -back]),
        "3.weight": torch.cat([eye, -eye], 1),
        "3.bias": torch.zeros(4),
    }
    order = torch.arange(8).roll(4)  # on half the way to it the hidden units cancel
    moved = {
        "1.weight": state["1.weight"][order],
        "1.bias": state["1.bias"][order],
        "3.weight": state["3.weight"][:, order],
        "3.bias": state["3.bias"],
    }
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 4))
    for part in PARTS:
        line = barrier(model, state, moved, resident, points=31).lines["interpolated"][part]
        assert len(line.error) == 31
        assert line.error[0] == line.error[-1] < 0.1
        assert line.error[15] == max(line.error) > 0.6  # one class for all images
        assert line.instability == line.error[15] - line.error[0]
        assert line.loss[15] == pytest.approx(np.log(4))


def test_the_model_keeps_its_state_and_modes(resident: Resident) -> None:
    a, b = trained(norm_net, resident, 1), trained(norm_net, resident, 2)
    model = norm_net()
    model.train()
    model[4].eval()
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    barrier(model, a, b, resident, points=2, parts=["test"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert model[1].momentum == 0.3
    with pytest.raises(LthError, match="points"):
        barrier(model, a, b, resident, points=1)
    with pytest.raises(LthError, match=r"3\.weight"):
        barrier(plain_net(), trained(plain_net, resident, 1), {"3.bias": torch.zeros(4)}, resident)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_ends_are_exact_and_integers_those_of_the_first() -> None:
    draw = torch.Generator().manual_seed(3)
    a = {"w": torch.randn(100, generator=draw), "n": torch.tensor(3)}
    b = {"w": torch.randn(100, generator=draw) * 1e3, "n": torch.tensor(8)}
    assert torch.equal(between(a, b, 0.0)["w"], a["w"])
    assert torch.equal(between(a, b, 1.0)["w"], b["w"])
    assert [int(between(a, b, at)["n"]) for at in (0.0, 0.5, 1.0)] == [3, 3, 3]


def test_re_estimation_forgets_what_was_there(resident: Resident) -> None:
    model = norm_net()
    model.load_state_dict(trained(norm_net, resident, 1))
    re_estimate(model, resident, 4)
    first = copy.deepcopy(model.state_dict())
    model[1].running_mean.fill_(7.0)
    re_estimate(model, resident, 4)
    assert all(torch.equal(value, first[name]) for name, value in model.state_dict().items())
    assert not model.training


def test_a_line_survives_json_even_where_the_loss_overflowed() -> None:
    line = Line((0.1, 0.5, 0.2), (1.0, float("inf"), 2.0))
    assert Line.of_json(line.as_json()) == line
    assert line.as_json()["loss"] == [1.0, None, 2.0]
