"""The published experiments that `lth repro` runs again: complete specs, and what running them takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files

from lth.errors import LthError
from lth.spec.load import parse_spec
from lth.spec.schema import Spec
from lth.spec.toml import written


@dataclass(frozen=True)
class Scale:
    """One size of an experiment: its spec in `published/`, how long it is expected to take, and on what."""

    spec: str
    expected: str
    laptop: bool


@dataclass(frozen=True)
class Published:
    """An experiment of a paper or a project; the first scale is the one that is taken where none is named."""

    about: str
    scales: Mapping[str, Scale]


PUBLISHED: dict[str, Published] = {
    "lenet-fc-2019": Published(
        "LeNet-300-100 on MNIST, iterative, with reinit (Frankle & Carbin 2019, section 2)",
        {
            "small": Scale("lenet_fc_2019_small", "about 40 min on 2 cores", True),
            "paper": Scale("lenet_fc_2019_paper", "about 5 h on 2 cores", True),
        },
    ),
    "lenet-open_lth": Published(
        "LeNet-300-100 on MNIST with the defaults of open_lth",
        {"paper": Scale("lenet_open_lth", "about 30 min on 2 cores", True)},
    ),
    "resnet20-renda-2020": Published(
        "ResNet-20 on CIFAR-10: rewinding, learning-rate rewinding, fine-tuning (Renda et al. 2020)",
        {"paper": Scale("resnet20_renda_2020", "about 70 GPU-hours, at 6 000 images/s", False)},
    ),
    "resnet50-stabilizing-2019": Published(
        "ResNet-50 on ImageNet, one-shot, rewound to epochs 0 to 10 (Frankle et al. 2019)",
        {"paper": Scale("resnet50_stabilizing_2019", "about 1 100 GPU-hours, at 2 500 images/s", False)},
    ),
    "mobilenetv2-2021": Published(
        "MobileNetV2 on ImageNet, sparsities x rewind points (the grid of 2021)",
        {
            "small": Scale("mobilenetv2_2021_small", "about 1 300 GPU-hours, at 5 000 images/s", False),
            "paper": Scale("mobilenetv2_2021_paper", "about 2 700 GPU-hours, at 5 000 images/s", False),
        },
    ),
}


def published(name: str) -> Published:
    """Returns the experiment `name`. Raises LthError, naming those there are."""
    if name not in PUBLISHED:
        close = get_close_matches(name, PUBLISHED, 1)
        cure = f"Did you mean {close[0]}?" if close else f"Choose one of {', '.join(PUBLISHED)}"
        raise LthError("no such experiment", at="lth repro", value=name, cure=cure)
    return PUBLISHED[name]


def scale_named(name: str, scale: str | None) -> str:
    """Returns the scale of the experiment `name` that is asked for, or its usual one. Raises LthError for others."""
    scales = published(name).scales
    if scale is not None and scale not in scales:
        cure = f"{name} has: {', '.join(scales)}"
        raise LthError("no such scale of this experiment", at="--scale", value=scale, cure=cure)
    return scale or next(iter(scales))


def published_text(name: str, scale: str | None = None, data: str | None = None) -> str:
    """Returns the commented TOML of the experiment, its data read from the folder or archive `data` if one is given."""
    stem = published(name).scales[scale_named(name, scale)].spec
    text = files("lth.spec").joinpath("published", f"{stem}.toml").read_text(encoding="utf-8")
    if data is None:
        return text
    source = parse_spec(text, stem).data.source
    kind = source.partition(":")[0]
    return text.replace(f"source = {written(source)}", f"source = {written(f'{kind}:{data}')}")


def published_spec(name: str, scale: str | None = None, data: str | None = None) -> Spec:
    """Returns the spec of the experiment at this scale; raises as `published_text`."""
    return parse_spec(published_text(name, scale, data), f"lth repro {name}")
