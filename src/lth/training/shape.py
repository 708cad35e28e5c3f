"""The sizes of an experiment, from its data and its model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lth.data.sources import Dataset, open_source
from lth.data.splits import split
from lth.models.registry import build
from lth.spec.schema import Spec


@dataclass(frozen=True)
class Shape:
    """What data and model look like together; `input_shape` is (C, H, W), `model` one freshly built network."""

    dataset: Dataset
    model: nn.Module
    input_shape: tuple[int, int, int]
    classes: int
    train_examples: int
    parameters: int


def shape(spec: Spec) -> Shape:
    """Returns the sizes of the experiment. Raises DataError or ModelError where data or model cannot be had."""
    dataset = open_source(spec.data.source, spec.data.image_size)
    _, height, width, channels = dataset.images.shape
    size, classes = (channels, height, width), len(dataset.class_names)
    model = build(spec.model, size, classes, 0)
    examples = len(split(len(dataset.labels), spec.data, spec.seeds[0]).train)
    return Shape(dataset, model, size, classes, examples, sum(value.numel() for value in model.parameters()))
