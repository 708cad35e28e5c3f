"""The colours of the page and its charts: names in the charts, values per appearance."""

from __future__ import annotations

import re

# name -> (light, dark). Charts say "var(--name)", so the style sheet recolours them without drawing them again.
# Rewind points run along a lightness ramp and controls stand apart in orange: both hold for colour-blind eyes.
COLOURS: dict[str, tuple[str, str]] = {
    "paper": ("#f7f7f5", "#13161a"),
    "surface": ("#ffffff", "#1b2026"),
    "ink": ("#1b2129", "#e8eaed"),
    "muted": ("#56616d", "#a3adb8"),
    "rule": ("#d8dce1", "#363e48"),
    "faint": ("#eceef0", "#262c34"),
    "accent": ("#14599d", "#82b8f0"),
    "good": ("#0b6b4f", "#63cfa8"),
    "caution": ("#8a5200", "#f0b75c"),
    "band": ("#8b95a1", "#7c8793"),
    "control": ("#b5470c", "#ff9f63"),
    "control-2": ("#8c2f5d", "#f08fbd"),
    "control-3": ("#7a5c00", "#e3c64f"),
    "control-4": ("#6d4c36", "#cfa98b"),
    "control-5": ("#a11d33", "#ff8a93"),
    "control-6": ("#a8327f", "#ff9ad5"),
    "line-0": ("#2c1160", "#b8a2ff"),
    "line-1": ("#3c3d94", "#94a4ff"),
    "line-2": ("#2b6596", "#74b5ee"),
    "line-3": ("#1d8790", "#5ecbd0"),
    "line-4": ("#1fa37c", "#63dfae"),
    "line-5": ("#3f9637", "#93ea86"),
    "line-6": ("#6b8a10", "#c3ec62"),
    "line-7": ("#8f7800", "#f1e35a"),
    "heat-0": ("#7f2f06", "#ffae73"),
    "heat-1": ("#b45614", "#cf7433"),
    "heat-2": ("#efae6d", "#8a4e22"),
    "heat-3": ("#f9dcbc", "#4e3424"),
    "heat-4": ("#cfe1f3", "#254a6e"),
    "heat-5": ("#7fb0de", "#5b9edb"),
    "heat-0-ink": ("#fffffe", "#1b1109"),
    "heat-1-ink": ("#fffffd", "#140b04"),
    "heat-2-ink": ("#2a1605", "#fff3e8"),
    "heat-3-ink": ("#2a1606", "#fbe9da"),
    "heat-4-ink": ("#0f2338", "#e6f1fc"),
    "heat-5-ink": ("#071a2d", "#061320"),
}
RAMP = 8
# What a variant of a ticket is drawn with, the same in every report: its colour and, as a point, its shape.
MARKS: dict[str, tuple[str, str]] = {
    "reinit": ("control", "cross"),
    "reinit_k": ("control-5", "square"),
    "shuffled_mask": ("control-2", "triangle-up"),
    "random_mask": ("control-3", "diamond"),
    "shuffled_mask_init": ("control-2", "triangle-down"),
    "random_mask_init": ("control-3", "triangle-left"),
    "signs": ("control-6", "triangle-right"),
    "other_seed": ("control-6", "circle"),
    "inverted": ("control-5", "triangle-down"),
    "small_dense": ("control-4", "circle"),
    "small_dense_flops": ("control-4", "square"),
    "dense_long": ("control-4", "triangle-up"),
    "copy": ("control-6", "diamond"),
    "lrr": ("line-4", "square"),
    "fine_tune": ("line-7", "triangle-up"),
    "random": ("control-4", "diamond"),
    "snip": ("control", "cross"),
    "synflow": ("control-2", "triangle-down"),
    "gradual": ("line-0", "triangle-right"),
}


def var(name: str) -> str:
    """Returns the colour `name` as the charts write it."""
    assert name in COLOURS, name
    return f"var(--{name})"


def mark(control: str) -> tuple[str, str]:
    """Returns colour and shape of a variant; the sanity checks of a method have that of the method."""
    colour, shape = MARKS[control if control in MARKS else control.partition("_")[0]]
    return var(colour), shape


def ramp(count: int) -> list[str]:
    """Returns `count` colours along the ramp of rewind points, from the first to the last; more than 8 repeat."""
    if count <= 1:
        return [var("line-2")] * count
    last = min(count, RAMP) - 1
    spread = [round(position * (RAMP - 2 if count < RAMP else RAMP - 1) / last) for position in range(last + 1)]
    return [var(f"line-{spread[position % len(spread)]}") for position in range(count)]


def light(text: str) -> str:
    """Returns `text` with every "var(--name)" replaced by the light colour: for figures outside the page."""
    return re.sub(r"var\(--([a-z0-9-]+)\)", lambda found: COLOURS[found[1]][0], text)


def custom_properties(appearance: int) -> str:
    """Returns the style sheet's declarations of all colours, 0 light or 1 dark."""
    return " ".join(f"--{name}: {pair[appearance]};" for name, pair in COLOURS.items())
