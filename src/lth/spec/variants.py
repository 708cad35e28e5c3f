"""What a cell can be beside a ticket: controls, arms and methods to compare it with, and second copies.

Names and definitions are those of the field (Frankle & Carbin 2019; Liu et al. 2019; Zhou et al. 2019; Renda et al.
2020; Frankle et al. 2021). The table says of each what it starts from, what masks it and how long it trains; the
functions that do it are found by these words in `lth.training.variants`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from lth.spec.step import Step

if TYPE_CHECKING:
    from lth.spec.schema import Spec

Control = Literal[
    "reinit", "reinit_k", "shuffled_mask", "random_mask", "shuffled_mask_init", "random_mask_init", "signs",
    "other_seed", "inverted", "small_dense", "small_dense_flops", "dense_long", "copy",
]  # fmt: skip
Arm = Literal["lrr", "fine_tune"]
Method = Literal[
    "random", "snip", "snip_reinit", "snip_shuffled", "snip_inverted",
    "synflow", "synflow_reinit", "synflow_shuffled", "synflow_inverted", "gradual",
]  # fmt: skip

STANDARD: tuple[Control, ...] = ("reinit", "reinit_k", "shuffled_mask", "random_mask", "small_dense")

Weights = Literal["rewound", "trained", "initial", "fresh", "fresh_rewound", "signs"]
Masked = Literal[
    "ticket", "shuffled", "random", "other_seed", "inverted", "none", "gradual",
    "snip", "snip_shuffled", "snip_inverted", "synflow", "synflow_shuffled", "synflow_inverted",
]  # fmt: skip
Span = Literal["rest", "full", "long"]
TRAINED_MASKS = ("ticket", "shuffled", "random", "other_seed", "inverted")


@dataclass(frozen=True)
class Variant:
    """How a network differs from the ticket of its sparsity, rewind point k and seed, of T steps in all.

    `weights`: the state dict it starts from: rewound to k; trained (the end of the level before); the dense network's
    initial one; fresh (another initialisation); fresh_rewound (that, trained dense to k); signs (fresh magnitudes, the
    original signs). `mask`: the ticket's own or another. `span`: rest trains T - k from schedule position k; full T
    from 0; long from 0 as many steps as finding the ticket took, the schedule stretched over them. `network`: narrower
    where it is a smaller dense one. `words` name it in a sentence, `about` explains it in one line.
    """

    kind: Literal["control", "arm", "method"]
    weights: Weights
    mask: Masked
    span: Span
    words: str
    about: str
    network: Literal["same", "equal_parameters", "equal_multiply_adds"] = "same"

    @property
    def needs_mask(self) -> bool:
        """Returns whether the ticket's mask must be known first; otherwise one network serves all rewind points."""
        return self.kind != "method" and (self.mask in TRAINED_MASKS or self.network != "same")


VARIANTS: dict[str, Variant] = {
    "reinit": Variant("control", "fresh", "ticket", "full", "reinit",
        "the ticket's mask on freshly initialised weights, trained in full"),
    "reinit_k": Variant("control", "fresh_rewound", "ticket", "rest", "reinit trained to k",
        "the ticket's mask on a fresh initialisation that was trained dense to the rewind point"),
    "shuffled_mask": Variant("control", "rewound", "shuffled", "rest", "the shuffled mask",
        "the ticket's rewound weights, its mask shuffled inside each layer"),
    "random_mask": Variant("control", "rewound", "random", "rest", "the random mask",
        "the ticket's rewound weights, as many weights kept at random places"),
    "shuffled_mask_init": Variant("control", "fresh", "shuffled", "full", "the shuffled mask on fresh weights",
        "freshly initialised weights, the mask shuffled inside each layer, trained in full"),
    "random_mask_init": Variant("control", "fresh", "random", "full", "the random mask on fresh weights",
        "freshly initialised weights, as many kept at random places, trained in full"),
    "signs": Variant("control", "signs", "ticket", "full", "the original signs alone",
        "the ticket's mask on fresh magnitudes with the original signs, trained in full"),
    "other_seed": Variant("control", "rewound", "other_seed", "rest", "another seed's mask",
        "the ticket's rewound weights under the mask of another seed"),
    "inverted": Variant("control", "rewound", "inverted", "rest", "the inverted mask",
        "sanity check: in every layer the smallest weights kept instead of the largest"),
    "small_dense": Variant("control", "fresh", "none", "full", "a small dense network of as many parameters",
        "a narrower dense network with as many parameters as the ticket keeps", "equal_parameters"),
    "small_dense_flops": Variant("control", "fresh", "none", "full", "a small dense network of as many multiply-adds",
        "a narrower dense network with as many multiply-adds as the ticket needs", "equal_multiply_adds"),
    "dense_long": Variant("control", "initial", "none", "long", "the dense network trained as long as the search",
        "the dense network, trained for all the steps that finding the ticket took"),
    "copy": Variant("control", "rewound", "ticket", "rest", "its second copy",
        "the ticket itself in another data order, for linear mode connectivity"),
    "lrr": Variant("arm", "trained", "ticket", "rest", "learning-rate rewinding",
        "the trained weights kept, the learning-rate schedule rewound (LRR)"),
    "fine_tune": Variant("arm", "trained", "ticket", "rest", "fine-tuning",
        "the trained weights kept, trained on at the last learning rate"),
    "random": Variant("method", "initial", "random", "full", "random pruning",
        "pruned at random at initialisation"),
    "snip": Variant("method", "initial", "snip", "full", "SNIP",
        "pruned at initialisation by connection sensitivity (Lee et al. 2019)"),
    "snip_reinit": Variant("method", "fresh", "snip", "full", "SNIP, reinitialised",
        "sanity check: SNIP's mask on fresh weights"),
    "snip_shuffled": Variant("method", "initial", "snip_shuffled", "full", "SNIP, shuffled",
        "sanity check: SNIP's mask shuffled inside each layer"),
    "snip_inverted": Variant("method", "initial", "snip_inverted", "full", "SNIP, inverted",
        "sanity check: SNIP with the scores inverted"),
    "synflow": Variant("method", "initial", "synflow", "full", "SynFlow",
        "pruned at initialisation by synaptic flow in 100 iterations (Tanaka et al. 2020)"),
    "synflow_reinit": Variant("method", "fresh", "synflow", "full", "SynFlow, reinitialised",
        "sanity check: SynFlow's mask on fresh weights"),
    "synflow_shuffled": Variant("method", "initial", "synflow_shuffled", "full", "SynFlow, shuffled",
        "sanity check: SynFlow's mask shuffled inside each layer"),
    "synflow_inverted": Variant("method", "initial", "synflow_inverted", "full", "SynFlow, inverted",
        "sanity check: SynFlow with the scores inverted"),
    "gradual": Variant("method", "initial", "gradual", "long", "gradual magnitude pruning",
        "pruned step by step during one training as long as the search (Zhu & Gupta 2017)"),
}  # fmt: skip
METHODS: tuple[str, ...] = get_args(Method)


def variant(control: str | None) -> Variant | None:
    """Returns what the cell of this name differs in; None for the ticket itself."""
    return None if control is None else VARIANTS[control]


def place(spec: Spec, control: str | None, sparsity: float, rewind: Step) -> tuple[str | None, float, Step]:
    """Returns the coordinates of the network that stands for a ticket's variant, which may serve several tickets.

    One mask for all rewind points (one-shot pruning) makes one network of all its reinitialisations; trained to
    k = 0 a reinitialisation is just that; the long dense network of one-shot pruning is the same at every sparsity.
    """
    if control is None:
        return control, sparsity, rewind
    one = VARIANTS[control]
    if control == "reinit_k" and rewind == Step():
        return "reinit", sparsity, rewind
    if not one.needs_mask or (one.span != "rest" and not spec.iterative):
        rewind = Step()
    if control == "dense_long" and not spec.iterative:
        sparsity = spec.grid.sparsities[0]
    return control, sparsity, rewind


def span(spec: Spec, control: str | None, sparsity: float, rewind: Step, steps_per_epoch: int) -> tuple[int, int]:
    """Returns the first and the last optimizer step of a cell's training, counted from the start of its schedule.

    A search by one-shot pruning costs a dense training and a ticket's, one by iterative pruning a training a level.
    """
    whole, one = spec.train.length.index(steps_per_epoch), variant(control)
    if one is None or one.span == "rest":
        return rewind.index(steps_per_epoch), whole
    return 0, whole * (1 + (spec.level(sparsity) or 1)) if one.span == "long" else whole


def partner(spec: Spec, seed: int) -> int:
    """Returns the seed whose mask the control "other_seed" takes: the next one among those of its stage."""
    seeds = spec.seeds if seed in spec.seeds else spec.confirmation_seeds
    return seeds[(seeds.index(seed) + 1) % len(seeds)]
