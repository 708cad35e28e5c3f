"""The colours can be read: contrast as in WCAG 2.1, in both appearances."""

from __future__ import annotations

import pytest

from lth.report.palette import COLOURS, custom_properties, light


def luminance(colour: str) -> float:
    """Returns the relative luminance of "#rrggbb", in [0, 1] (WCAG 2.1)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Returns the contrast ratio of two colours, in [1, 21]."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("appearance", [0, 1])
def test_text_can_be_read(appearance: int) -> None:
    for ground in ("paper", "surface"):
        for name in ("ink", "muted", "accent", "good", "caution"):
            assert contrast(COLOURS[name][appearance], COLOURS[ground][appearance]) >= 4.5, (name, ground)
    for name in (name for name in COLOURS if name.endswith("-ink")):
        assert contrast(COLOURS[name][appearance], COLOURS[name.removesuffix("-ink")][appearance]) >= 4.5, name


@pytest.mark.parametrize("appearance", [0, 1])
def test_lines_and_marks_stand_out(appearance: int) -> None:
    for name in (name for name in COLOURS if name.startswith(("line-", "control"))):
        assert contrast(COLOURS[name][appearance], COLOURS["surface"][appearance]) >= 3, name


@pytest.mark.parametrize("appearance", [0, 1])
def test_the_heat_map_runs_one_way_on_each_side_of_the_tolerance(appearance: int) -> None:
    below = [luminance(COLOURS[f"heat-{place}"][appearance]) for place in range(4)]
    within = [luminance(COLOURS[f"heat-{place}"][appearance]) for place in (4, 5)]
    assert below == sorted(below, reverse=bool(appearance))
    assert within == sorted(within, reverse=not appearance)


def test_each_colour_has_a_name_and_a_value() -> None:
    assert "--ink: #1b2129;" in custom_properties(0)
    assert light('{"color": "var(--heat-0-ink)"}') == '{"color": "#fffffe"}'
