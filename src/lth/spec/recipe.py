"""The training recipe: optimizer, schedule, length."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from lth.spec.step import Step
from lth.spec.values import Count, Flag, Fraction, Function, Number, Whole, refused


class Section(BaseModel):
    """A table of the spec: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SGD(Section):
    name: Literal["sgd"]
    lr: Number = Field(gt=0)
    momentum: Fraction = 0.0
    nesterov: Flag = False
    weight_decay: Number = Field(default=0.0, ge=0)
    decay_norm_and_bias: Flag = True


class Adam(Section):
    name: Literal["adam", "adamw"]
    lr: Number = Field(gt=0)
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Number = Field(default=1e-8, gt=0)
    weight_decay: Number = Field(default=0.0, ge=0)
    decay_norm_and_bias: Flag = True


Optimizer = Annotated[SGD | Adam, Field(discriminator="name")]


class Constant(Section):
    name: Literal["constant"]
    warmup_epochs: Whole = 0


class StepSchedule(Section):
    name: Literal["step"]
    milestones: tuple[Step, ...] = Field(min_length=1)
    gamma: Number = Field(default=0.1, gt=0, lt=1)
    warmup_epochs: Whole = 0

    @field_validator("milestones")
    @classmethod
    def _rising(cls, value: tuple[Step, ...]) -> tuple[Step, ...]:
        ordered = sorted(set(value))
        if list(value) != ordered:
            wanted = ", ".join(f'"{step}"' for step in ordered)
            raise refused("the moments must rise", f"Write milestones = [{wanted}]")
        return value


class Cosine(Section):
    name: Literal["cosine"]
    warmup_epochs: Whole = 0
    final_lr: Number = Field(default=0.0, ge=0)


Schedule = Annotated[Constant | StepSchedule | Cosine, Field(discriminator="name")]


class Train(Section):
    """The training of the dense network, whose length is given in epochs or in iterations, one of the two."""

    epochs: Count | None = None
    iterations: Count | None = None
    optimizer: Optimizer
    schedule: Schedule = Constant(name="constant")
    label_smoothing: Fraction = 0.0
    clip_norm: Annotated[Number, Field(gt=0)] | None = None
    ema: Annotated[Number, Field(gt=0, lt=1)] | None = None
    micro_batch: Count | None = None
    precision: Literal["fp32", "bf16", "tf32"] = "fp32"
    layout: Literal["auto", "channels_last", "contiguous"] = "auto"
    compile: Flag = False
    deterministic: Flag = True
    entry: Function | None = None
    evaluate_every: Step = Step(1)
    test_every: Step | None = None
    guard_epochs: Whole = 5

    @property
    def length(self) -> Step:
        """Returns the end of training T as a moment."""
        return Step(self.epochs or 0, self.iterations or 0)

    @field_validator("evaluate_every", "test_every")
    @classmethod
    def _later(cls, value: Step | None) -> Step | None:
        if value == Step():
            raise refused("the pause between evaluations must be longer than 0", 'Write "1ep" for one an epoch')
        return value
