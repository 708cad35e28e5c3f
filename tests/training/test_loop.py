"""The loop: lockstep leaves every ticket's bits alone, pruned weights stay exactly 0, resuming is exact."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lth.errors import AuditError, LthError
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.training.checkpoint import load_resume, resume, save_resume, state_of, weights_hash
from lth.training.loop import train
from lth.training.trainee import Timing, Trainee

STEPS = 6  # steps an epoch
OPTIMIZERS = {
    "sgd": {"name": "sgd", "lr": 0.1},
    "momentum": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3},
    "nesterov": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
    "adam": {"name": "adam", "lr": 1e-2, "weight_decay": 1e-3},
    "adamw": {"name": "adamw", "lr": 1e-2, "weight_decay": 1e-2},
}


class Noise:
    """Batches of labelled noise, each a pure function of its step."""

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(step)
        return torch.randn(16, 1, 6, 6, generator=draw), torch.randint(4, (16,), generator=draw)


def recipe(optimizer: str = "momentum", epochs: int = 3) -> Train:
    return Train.model_validate({"epochs": epochs, "optimizer": OPTIMIZERS[optimizer]})


def network(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout),
        nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 4),
    )  # fmt: skip


def trainee(name: str, step: int = 0, sparsity: float | None = None, optimizer: str = "momentum") -> Trainee:
    model = network()
    mask = None if sparsity is None else magnitude_masks(model, [sparsity])[sparsity]
    return Trainee(name, model, recipe(optimizer), STEPS, timing=Timing(step), mask=mask)


def never() -> bool:
    return False


def run(trainees: list[Trainee]) -> list[str]:
    list(train(trainees, Noise(), (), never))
    return [weights_hash(state_of(one)) for one in trainees]


def test_every_ticket_in_lockstep_has_the_bits_it_has_alone() -> None:
    makers: list[Callable[[], Trainee]] = [
        lambda: trainee("a", 0, 0.5), lambda: trainee("b", 5, 0.9), lambda: trainee("c", 12, 0.1),
        lambda: trainee("d", 0), lambda: trainee("e", 5, 0.9, "adam"),
    ]  # fmt: skip
    alone = [run([maker()])[0] for maker in makers]
    assert run([maker() for maker in makers]) == alone
    assert run([maker() for maker in reversed(makers)]) == alone[::-1]
    assert len(set(alone)) == len(alone)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_gradients_and_optimizer_state_are_exactly_zero_after_every_step(optimizer: str) -> None:
    one = trainee("a", sparsity=0.8, optimizer=optimizer)
    assert one.mask is not None
    pruned = one.mask == 0
    assert 0 < int(pruned.sum()) < len(pruned)
    for _ in train([one], Noise(), range(20), never):
        state = [one.weights, one.gradient, *one.state.values()]
        for values in state:
            if isinstance(values, Tensor) and values.shape == pruned.shape:
                assert torch.count_nonzero(values[pruned]) == 0
                assert torch.count_nonzero(values[~pruned]) > 0


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_masking_the_gradient_gives_the_bits_of_masking_the_weights_after_the_step(optimizer: str) -> None:
    masked, after = trainee("a", sparsity=0.7, optimizer=optimizer), trainee("b", optimizer=optimizer)
    assert masked.mask is not None
    after.weights.mul_(masked.mask)
    for step in range(20):
        masked.advance(*Noise().batch_at(step))
        after.advance(*Noise().batch_at(step))
        after.weights.mul_(masked.mask)
    assert weights_hash(state_of(masked)) == weights_hash(state_of(after))


def test_the_flat_buffers_train_as_plain_pytorch_does() -> None:
    """Against a loop written the plain way: per-tensor parameters, mask after every step, float64-close."""
    one = trainee("a", sparsity=0.5, optimizer="adamw")
    model = copy.deepcopy(network())
    masks = magnitude_masks(model, [0.5])[0.5].tensors
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(masks.get(name, torch.ones_like(parameter)))
    plain = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=1e-2)
    for step in range(3):
        torch.manual_seed(step)  # the dropout stream of seed 0
        x, y = Noise().batch_at(step)
        plain.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        plain.step()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.mul_(masks.get(name, torch.ones_like(parameter)))
    stop_after(one, 3)
    for name, value in model.state_dict().items():
        assert torch.allclose(value, one.model.state_dict()[name], atol=1e-5), name


def stop_after(one: Trainee, steps: int) -> None:
    """Trains until the trainee has taken `steps` steps, and no further."""
    next(train([one], Noise(), (), lambda: one.step >= steps))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stop_at", [1, 7, 17])
def test_a_resumed_training_has_the_bits_of_an_undisturbed_one(tmp_path: Path, optimizer: str, stop_at: int) -> None:
    whole = run([trainee("a", 0, 0.7, optimizer)])
    first = trainee("a", 0, 0.7, optimizer)
    stop_after(first, stop_at)
    save_resume(tmp_path / "resume", first, "key", {}, [], {})
    second = trainee("a", 0, 0.7, optimizer)
    content, _ = load_resume(tmp_path / "resume", "key", {})
    assert content is not None
    resume(second, content)
    assert second.step == stop_at
    assert run([second]) == whole


def test_a_resume_that_loses_momentum_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trainee("a", 0, 0.7)
    stop_after(first, 4)
    save_resume(tmp_path / "resume", first, "key", {}, [], {})
    content, _ = load_resume(tmp_path / "resume", "key", {})
    assert content is not None

    second = trainee("a", 0, 0.7)
    monkeypatch.setattr("lth.training.checkpoint.restore_optimizer", lambda trainee, state: None)
    with pytest.raises(AuditError, match="resumed_state_equal"):
        resume(second, content)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "pickle"])
def test_a_damaged_resume_state_is_not_used(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "resume"
    save_resume(path, trainee("a"), "key", {}, [], {})
    data = bytearray(path.read_bytes())
    weight = trainee("a").weights[5].numpy().tobytes()
    if damage == "flipped":
        data[data.find(weight) + 1] ^= 0x40
    content = {
        "truncated": bytes(data[:-100]),
        "flipped": bytes(data),
        "empty": b"",
        "pickle": b"cos\nsystem\n(S'true'\ntR.",
    }
    path.write_bytes(content[damage])
    found, why = load_resume(path, "key", {})
    assert found is None
    assert why.startswith("damaged: ")
    path.unlink()
    assert load_resume(path, "key", {}) == (None, "absent")


def test_a_resume_state_of_another_unit_or_numerics_class_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resume"
    save_resume(path, trainee("a"), "key", {"threads": 1}, [], {})
    assert load_resume(path, "other", {"threads": 1}) == (None, "another unit")
    assert load_resume(path, "key", {"threads": 2}) == (None, "other numerics")
    allowed, why = load_resume(path, "key", {"threads": 2}, other_numerics=True)
    assert allowed is not None
    assert why == "other numerics"


def test_the_weights_hash_is_of_values_not_of_storage() -> None:
    value = torch.tensor([[1.0, -0.0], [2.0, 3.0]])
    same = torch.tensor([[1.0, 2.0], [0.0, 3.0]]).t()
    assert weights_hash({"a": value, "b": value}) == weights_hash({"b": value, "a": same})
    assert weights_hash({"a": value}) != weights_hash({"a": value.double()})
    assert weights_hash({"a": value}) != weights_hash({"a": value.reshape(4)})
    assert weights_hash({"a": value}) != weights_hash({"b": value})
    golden = weights_hash({"w": torch.arange(4.0), "n": torch.tensor(3)})
    assert golden == "7d9bef80e7e8c2d840bcf59bf07af507d80fea132103f711650eae0d4de93878"


def test_dropout_that_is_no_module_is_a_function_of_the_step_too() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Linear(36, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.output(nn.functional.dropout(x.flatten(1), 0.5, self.training))

    def made() -> Trainee:
        torch.manual_seed(3)
        return Trainee("a", Functional(), recipe(), STEPS, dropout_seed=11)

    first = run([made()])
    torch.rand(7)  # somebody else draws
    assert run([made(), trainee("b")])[0] == first[0]


def test_a_mask_of_another_model_is_refused() -> None:
    with pytest.raises(LthError, match="does not fit the model"):
        Trainee("a", network(), recipe(), STEPS, mask=Mask({"9.weight": torch.ones(3, dtype=torch.bool)}))
    with pytest.raises(LthError, match="does not fit the model"):
        Trainee("a", network(), recipe(), STEPS, mask=Mask({"5.weight": torch.ones(3, dtype=torch.bool)}))
