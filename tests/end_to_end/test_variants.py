"""Every control, arm and method, weight for weight against plain PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from end_to_end.plain import LAST, K, Masks, Plain, State, assert_same, counts, layerwise, trained, zeros
from torch import nn
from torch.nn.functional import cross_entropy

from lth.pruning.saliency import synflow_mask
from lth.spec.variants import VARIANTS

SPARSITY = 0.8
CONTROLS = [name for name, one in VARIANTS.items() if one.kind == "control"]
METHODS = [name for name, one in VARIANTS.items() if one.kind == "method"]
REST, FULL, LONG = range(K, LAST), range(LAST), range(2 * LAST)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """A run with everything there is, at one sparsity and the rewind points 0 and 1ep."""
    grid = {
        "sparsities": [SPARSITY], "rewind": ["0", "1ep"], "thresholds": [0.05],
        "controls": CONTROLS, "controls_at": "all", "methods": METHODS, "arms": ["lrr", "fine_tune"],
    }  # fmt: skip
    return trained(tmp_path_factory.mktemp("variants") / "run", grid=grid)


def ticket_mask(plain: Plain, seed: int = 0) -> Masks:
    return layerwise(plain.dense("3ep", seed), SPARSITY)


def signs(plain: Plain) -> State:
    """Fresh magnitudes with the signs of the dense network's initial weights; biases fresh."""
    fresh, first = plain.fresh().state_dict(), plain.dense("0ep")
    return {
        name: value.abs() * first[name].sign() if value.ndim > 1 else value.clone() for name, value in fresh.items()
    }


def inverted(plain: Plain) -> Masks:
    """As many weights of every layer as the ticket keeps, the smallest."""
    masks: Masks = {}
    for name, kept in ticket_mask(plain).items():
        order = plain.dense("3ep")[name].abs().flatten().argsort(stable=True)
        chosen = torch.zeros(kept.numel(), dtype=torch.bool)
        chosen[order[: int(kept.sum())]] = True
        masks[name] = chosen.reshape(kept.shape)
    return masks


def snip(plain: Plain) -> Masks:
    """The weights of largest |gradient * weight| on the first batch of the dense training."""
    model = plain.fresh("init")
    x, y = plain.work.stream(0, "dense").batch_at(0)
    cross_entropy(model(x), y).backward()
    scores = {name: value.grad * value.detach() for name, value in model.named_parameters() if value.grad is not None}
    return layerwise(scores, SPARSITY)


def synflow(plain: Plain) -> Masks:
    """Checked against a loop of its own in tests/pruning/test_saliency.py."""
    rates = {"fc1.weight": 1.0, "fc2.weight": 1.0, "output.weight": 0.5}
    return synflow_mask(plain.fresh("init"), (1, 5, 5), rates, SPARSITY, "layerwise").tensors


def stretched(step: int) -> int:
    return step // 2


def gradually(plain: Plain) -> State:
    """Zhu & Gupta 2017: from the first epoch's end to three quarters of the training, here at every step."""
    begin, end, before = K, 3 * 2 * LAST // 4, {}

    def remask(step: int, state: State) -> Masks | None:
        if not begin <= step <= end:
            return None
        sparsity = SPARSITY * (1 - (1 - (step - begin) / (end - begin)) ** 3)
        scores = {
            name: torch.where(before.get(name, torch.ones_like(value)).bool(), value.abs(), -1.0) + 2
            for name, value in state.items()
            if value.ndim > 1
        }
        before.update(layerwise(scores, sparsity))
        return dict(before)

    return plain.train(plain.dense("0ep"), None, LONG, position=stretched, remask=remask)


# What every variant should have become, rewound to 1ep where that matters; {} leaves out those with drawn masks.
WANTED: dict[str, Callable[[Plain], State]] = {
    "ticket": lambda plain: plain.train(plain.dense("1ep"), ticket_mask(plain), REST),
    "reinit": lambda plain: plain.train(plain.fresh(), ticket_mask(plain), FULL),
    "reinit_k": lambda plain: plain.train(
        plain.train(plain.fresh(), None, range(K), "dense"), ticket_mask(plain), REST
    ),
    "signs": lambda plain: plain.train(signs(plain), ticket_mask(plain), FULL),
    "other_seed": lambda plain: plain.train(plain.dense("1ep"), ticket_mask(plain, seed=1), REST),
    "inverted": lambda plain: plain.train(plain.dense("1ep"), inverted(plain), REST),
    "dense_long": lambda plain: plain.train(plain.dense("0ep"), None, LONG, position=stretched),
    "copy": lambda plain: plain.train(plain.dense("1ep"), ticket_mask(plain), REST, "copy"),
    "lrr": lambda plain: plain.train(plain.dense("3ep"), ticket_mask(plain), REST),
    "fine_tune": lambda plain: plain.train(
        plain.dense("3ep"), ticket_mask(plain), REST, position=lambda step: LAST - 1
    ),
    "snip": lambda plain: plain.train(plain.dense("0ep"), snip(plain), FULL),
    "snip_reinit": lambda plain: plain.train(plain.fresh(), snip(plain), FULL),
    "synflow": lambda plain: plain.train(plain.dense("0ep"), synflow(plain), FULL),
    "synflow_reinit": lambda plain: plain.train(plain.fresh(), synflow(plain), FULL),
    "gradual": gradually,
}
# Masks drawn at random, or of scores inverted: start, span, and the mask whose layers they keep as many weights of.
DRAWN: dict[str, tuple[Callable[[Plain], State | nn.Module], range, Callable[[Plain], Masks] | None]] = {
    "shuffled_mask": (lambda plain: plain.dense("1ep"), REST, ticket_mask),
    "random_mask": (lambda plain: plain.dense("1ep"), REST, None),
    "shuffled_mask_init": (lambda plain: plain.fresh(), FULL, ticket_mask),
    "random_mask_init": (lambda plain: plain.fresh(), FULL, None),
    "random": (lambda plain: plain.dense("0ep"), FULL, ticket_mask),
    "snip_shuffled": (lambda plain: plain.dense("0ep"), FULL, snip),
    "snip_inverted": (lambda plain: plain.dense("0ep"), FULL, snip),
    "synflow_shuffled": (lambda plain: plain.dense("0ep"), FULL, synflow),
    "synflow_inverted": (lambda plain: plain.dense("0ep"), FULL, synflow),
}


def found(plain: Plain, name: str) -> State:
    one = VARIANTS.get(name)
    rewind = "1ep" if one is None or one.span == "rest" else "0"
    return plain.weights(f"s0.8-r{rewind}-seed0{'' if one is None else '-' + name}")


def test_every_variant_is_held_against_plain_pytorch() -> None:
    assert {*WANTED, *DRAWN, "small_dense", "small_dense_flops"} == {*VARIANTS, "ticket"}


def test_dense_networks_are_what_plain_training_gives(plain: Plain) -> None:
    assert_same(plain.dense("3ep"), plain.train(plain.fresh("init"), None, FULL, "dense"))


@pytest.mark.parametrize("name", WANTED)
def test_the_network_is_what_plain_pytorch_makes(plain: Plain, name: str) -> None:
    assert_same(found(plain, name), WANTED[name](plain))


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawn_mask_keeps_as_much_elsewhere_and_trains_plainly(plain: Plain, name: str) -> None:
    start, steps, like = DRAWN[name]
    state = found(plain, name)
    masks, same = zeros(state), like or ticket_mask
    assert sum(counts(masks)) == sum(counts(same(plain)))
    assert like is None or counts(masks) == counts(like(plain))
    overlap = sum(int((masks[name] & kept).sum()) for name, kept in same(plain).items()) / sum(counts(masks))
    assert overlap < 0.5
    assert_same(state, plain.train(start(plain), masks, steps))


@pytest.mark.parametrize("name", ["small_dense", "small_dense_flops"])
def test_a_small_dense_network_is_as_large_as_the_ticket_and_trains_plainly(plain: Plain, name: str) -> None:
    state = plain.weights(f"s0.8-r0-seed0-{name}")
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    hidden = shapes["fc1.weight"][0]
    model = plain.run.spec.model.model_copy(update={"arguments": {"width_multiplier": hidden / 300}})
    assert sum(value.numel() for value in state.values()) <= sum(counts(ticket_mask(plain))) + 300 + 100 + 3
    network = plain.fresh("reinit", model=model)
    assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == shapes
    assert_same(state, plain.train(network, None, FULL))


def test_a_threshold_keeps_what_reaches_it(plain: Plain) -> None:
    masks = {name: value.abs() >= 0.05 for name, value in plain.dense("3ep").items() if value.ndim > 1}
    assert_same(plain.weights("t0.05-r1ep-seed0"), plain.train(plain.dense("1ep"), masks, REST))
    record = plain.done["t0.05-r1ep-seed0"]
    assert record.density_prunable == sum(counts(masks)) / sum(kept.numel() for kept in masks.values())
    assert (record.sparsity, record.threshold) == (None, 0.05)


def test_one_network_serves_all_rewind_points_where_its_mask_does(plain: Plain) -> None:
    for name, one in VARIANTS.items():
        moments = {result.rewind and str(result.rewind) for result in plain.done.values() if result.control == name}
        several = one.span == "rest" and name != "reinit_k"
        assert moments == ({"0", "1ep"} if several else {"1ep"} if name == "reinit_k" else {"0"}), name


def test_every_audit_passes(plain: Plain) -> None:
    broken = {name: result.audit.checks for name, result in plain.done.items() if not result.audit.passed}
    assert broken == {}
