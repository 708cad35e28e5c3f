"""What the networks of this package demand of their arguments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lth.errors import ModelError


def demand(name: str, value: Any, fine: bool, cure: str) -> None:
    """Returns nothing; raises ModelError that names the argument and its value where it is not `fine`."""
    if not fine:
        raise ModelError("outside its range", at=f"model.arguments.{name}", value=value, cure=cure)


def demand_count(name: str, value: Any) -> None:
    """Returns nothing; raises ModelError where `value` is not a whole number above 0."""
    demand(name, value, type(value) is int and value > 0, "Take a whole number above 0.")


def demand_multiplier(value: Any) -> None:
    """Returns nothing; raises ModelError where `value` is not a finite number above 0."""
    fine = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    demand("width_multiplier", value, fine, "Take a number above 0, such as 0.5.")


def scaled(count: int, multiplier: float) -> int:
    """Returns `count` times `multiplier`, rounded half up, at least 1: the units of a layer in a narrower network."""
    return max(1, math.floor(count * multiplier + 0.5))


def demand_pixels(input_shape: Sequence[int], least: int) -> None:
    """Returns nothing; raises ModelError where an image, (channels, height, width), is smaller than `least` pixels."""
    height, width = input_shape[1:]
    if min(height, width) < least:
        cure = f"Take images of at least {least} x {least} pixels, or a network without so many poolings."
        raise ModelError(
            "the images are too small for this network", at="model", value=f"{height} x {width}", cure=cure
        )
