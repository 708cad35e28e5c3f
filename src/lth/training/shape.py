"""The sizes of an experiment, from its data and its model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from lth.data.augment import Frame
from lth.data.finish import check_crop
from lth.data.loader import open_data
from lth.data.shards import Shards
from lth.data.sources import Dataset
from lth.data.splits import split
from lth.models.registry import build
from lth.spec.schema import Spec


@dataclass(frozen=True)
class Shape:
    """What data and model look like together; `input_shape` is (C, H, W), `model` one freshly built network."""

    dataset: Dataset | Shards
    model: nn.Module
    input_shape: tuple[int, int, int]
    classes: int
    train_examples: int
    parameters: int


def shape(spec: Spec) -> Shape:
    """Returns the sizes of the experiment. Raises DataError or ModelError where data or model cannot be had."""
    dataset = open_data(spec.data, spec.execute.loader)
    height, width, channels = dataset.image_shape
    check_crop(spec.data, (height, width))
    size = (channels, *Frame.of((height, width), spec.data.crop_size).seen)
    classes = len(dataset.class_names)
    model = build(spec.model, size, classes, 0)
    examples = len(split(len(dataset.labels), spec.data, spec.seeds[0]).train)
    return Shape(dataset, model, size, classes, examples, sum(value.numel() for value in model.parameters()))
