"""The spec: everything that defines an experiment, as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, ValidationInfo, field_validator, model_validator

from lth.spec.execute import Execute
from lth.spec.levels import level_sparsities
from lth.spec.recipe import (
    SGD,
    Adam,
    Constant,
    Cosine,
    Optimizer,
    Schedule,
    Section,
    StepSchedule,
    Train,
)
from lth.spec.rules import broken
from lth.spec.step import MaskFrom, Step
from lth.spec.values import LARGEST, Count, Flag, Fraction, Function, Name, Number, Text, Whole, refused
from lth.spec.variants import STANDARD, Arm, Control, Method

__all__ = [
    "SGD",
    "Adam",
    "Augment",
    "Constant",
    "Control",
    "Cosine",
    "Data",
    "Execute",
    "Fraction",
    "Grid",
    "Model",
    "Optimizer",
    "Prune",
    "Resized",
    "Schedule",
    "Section",
    "Select",
    "Spec",
    "StepSchedule",
    "Train",
    "Validation",
]


Share = Annotated[Number, Field(gt=0, le=1)]
Ratio = Annotated[Number, Field(gt=0, le=100)]


class Validation(Section):
    """How much of the training data is set aside: exactly one of a fraction, a count, or folds.

    With `folds`, seed j validates on fold j modulo the number of folds.
    """

    fraction: Number | None = Field(default=None, gt=0, lt=1)
    count: Count | None = None
    folds: Annotated[int, Field(strict=True, ge=2, le=LARGEST)] | None = None


class Resized(Section):
    """A random part of each image, resized: its share of the area, and its width by its height, from and to."""

    scale: tuple[Share, Share] = (0.08, 1.0)
    ratio: tuple[Ratio, Ratio] = (0.75, 1.3333)

    @field_validator("scale", "ratio")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise refused("the first is larger than the second", f"Write [{value[1]:g}, {value[0]:g}]")
        return value


class Augment(Section):
    """Random crop after padding by `crop` pixels, horizontal flip, random resized crop, a function of the user's own.

    All are off by default.
    """

    crop: Whole = 0
    flip: Flag = False
    resized: Resized | None = None
    custom: Function | None = None


class Data(Section):
    source: Text
    batch_size: Count
    image_size: Count | None = None
    crop_size: Count | None = None
    split_seed: Whole = 0
    validation: Validation = Validation(fraction=0.1)
    augment: Augment = Augment()


class Model(Section):
    name: Text
    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    initialization: Literal["default", "kaiming_normal", "glorot_normal"] = "default"


class Prune(Section):
    """`scope` left out means the model's usual one; `rates` gives layers their own share of a sparsity.

    `rate` is what iterative pruning takes at each level of what is left; `mask_from` the moment whose dense weights
    are ranked, as a share of training or a Step.
    """

    method: Literal["one_shot", "iterative"] = "one_shot"
    rate: Annotated[Number, Field(gt=0, lt=1)] | None = None
    mask_from: MaskFrom = MaskFrom()
    score: Literal["magnitude"] = "magnitude"
    scope: Literal["global", "layerwise", "erk", "flops"]
    exclude: tuple[Text, ...] = ()
    rates: dict[str, Annotated[Number, Field(ge=0, le=1)]] = Field(default_factory=dict)


def _distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[Any] = set()
    for one in value:
        if one in seen:
            shown = str(one) if isinstance(one, Step) else one
            raise refused("the same value stands twice", "Keep one of them", value=shown)
        seen.add(one)
    return value


class Grid(Section):
    """What is explored. Of iterative pruning the `sparsities` follow from `prune.rate` and the number of levels."""

    sparsities: tuple[Fraction, ...] = Field(min_length=1)
    thresholds: tuple[Annotated[Number, Field(gt=0)], ...] = ()
    levels: Annotated[int, Field(strict=True, ge=1, le=99)] | None = None
    min_density: Annotated[Number, Field(gt=0, lt=1)] | None = None
    min_accuracy: Annotated[Number, Field(gt=0, lt=1)] | None = None
    rewind: tuple[Step, ...] = Field(default=(Step(),), min_length=1)
    arms: tuple[Arm, ...] = ()
    methods: tuple[Method, ...] = ()
    controls: tuple[Control, ...] = ()
    controls_at: Literal["knee", "all"] | tuple[Number | Whole, ...] = "knee"
    order: Literal["fresh", "replay"] = "fresh"
    search: Literal["full", "adaptive"] = "full"

    _no_twins = field_validator("sparsities", "thresholds", "rewind", "arms", "methods", "controls")(_distinct)

    @field_validator("controls", mode="before")
    @classmethod
    def _standard(cls, value: object) -> object:
        return STANDARD if value == "standard" else value

    @field_validator("sparsities", "thresholds", "rewind")
    @classmethod
    def _sorted(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(sorted(value))


class Select(Section):
    tolerance: Fraction = 0.005
    confidence: Number = Field(default=0.95, gt=0.5, lt=1)
    confirm_seeds: Whole = 0

    @field_validator("confirm_seeds")
    @classmethod
    def _enough(cls, value: int) -> int:
        if value == 1:
            raise refused("one fresh seed gives no interval", "Use 0, or at least 2; 3 to 5 are usual")
        return value


# How each network is usually ranked (Frankle and Carbin 2019; Renda et al. 2020); the user's own classes rank globally.
USUAL_SCOPE: dict[str, dict[str, Any]] = {
    "lenet_300_100": {"scope": "layerwise", "rates": {"output": 0.5}},
    "conv_2": {"scope": "layerwise", "rates": {"output": 0.5}},
    "conv_4": {"scope": "layerwise", "rates": {"output": 0.5}},
    "conv_6": {"scope": "layerwise", "rates": {"output": 0.5}},
    "mobilenet_v2": {"scope": "global", "exclude": ("depthwise",)},
}


def _usual(model: object, given: dict[str, Any]) -> dict[str, Any]:
    """The usual policy of the named model; an excluded layer needs no rate."""
    usual = USUAL_SCOPE.get(model if isinstance(model, str) else "", {"scope": "global"})
    patterns: list[object] = list(given["exclude"]) if isinstance(given.get("exclude"), list | tuple) else []
    excluded = [pattern for pattern in patterns if isinstance(pattern, str)]
    rates = {
        layer: rate
        for layer, rate in usual.get("rates", {}).items()
        if not any(fnmatchcase(layer, one) or fnmatchcase(f"{layer}.weight", one) for one in excluded)
    }
    return {**usual, "rates": rates} if "rates" in usual else usual


# The validation context that leaves out the rules between keys, for a reader that tries them one by one.
STRUCTURE_ONLY = object()


class Spec(Section):
    """One experiment: data, model, recipe, pruning, grid, selection, and how it is executed."""

    name: Name
    seeds: tuple[Whole, ...] = Field(default=(0,), min_length=1)
    data: Data
    model: Model
    train: Train
    prune: Prune
    grid: Grid
    select: Select = Select()
    execute: Execute = Execute()

    _no_twins = field_validator("seeds")(_distinct)

    @model_validator(mode="before")
    @classmethod
    def _usual_scope(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return cast(object, raw)
        spec = cast(Mapping[str, Any], raw)
        model, prune = spec.get("model"), spec.get("prune", {})
        if not isinstance(prune, dict):
            return spec
        if isinstance(model, Model):
            model = {"name": model.name}
        name = cast(dict[str, object], model).get("name") if isinstance(model, dict) else None
        given = cast(dict[str, Any], prune)
        return {**spec, "prune": {**_usual(name, given), **given}}

    @model_validator(mode="after")
    def _rules(self, info: ValidationInfo) -> Self:
        if info.context is not STRUCTURE_ONLY:
            for error in broken(self):
                raise error
        return self

    @model_validator(mode="before")
    @classmethod
    def _levels(cls, raw: Any) -> Any:
        """The sparsities of iterative pruning, where the spec gives what they follow from."""
        if not isinstance(raw, Mapping):
            return cast(object, raw)
        spec = cast(Mapping[str, Any], raw)
        prune, grid = spec.get("prune"), spec.get("grid")
        if isinstance(prune, Prune):
            prune = prune.model_dump()
        if not (isinstance(prune, dict) and isinstance(grid, dict)) or "sparsities" in grid:
            return spec
        given = cast(dict[str, Any], grid)
        found = level_sparsities(cast(dict[str, Any], prune), given)
        return {**spec, "grid": {**given, "sparsities": found}} if found else spec

    @property
    def iterative(self) -> bool:
        """Returns whether each mask is made from the level before."""
        return self.prune.method == "iterative"

    def level(self, sparsity: float) -> int | None:
        """Returns the level of iterative pruning at which this sparsity is reached; None in one-shot pruning."""
        return self.grid.sparsities.index(sparsity) + 1 if self.iterative else None

    @property
    def confirmation_seeds(self) -> tuple[int, ...]:
        """Returns the fresh seeds that confirm the winner: the first `select.confirm_seeds` after the largest seed."""
        first = max(self.seeds) + 1
        return tuple(range(first, first + self.select.confirm_seeds))
