"""Step strings: what is read, what is written, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lth.spec import Step

steps = st.builds(Step, st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))


@pytest.mark.parametrize(
    ("text", "step", "written"),
    [
        ("0", Step(0, 0), "0"),
        (0, Step(0, 0), "0"),
        ("0ep", Step(0, 0), "0"),
        ("2ep", Step(2, 0), "2ep"),
        ("500it", Step(0, 500), "500it"),
        ("3ep12it", Step(3, 12), "3ep12it"),
        ("03ep", Step(3, 0), "3ep"),
    ],
)
def test_reads_the_forms_of_a_moment(text: Any, step: Step, written: str) -> None:
    assert Step.parse(text) == step
    assert str(step) == written


WRONG = ["", "ep", "2", 2, True, False, 0.0, None, "2 ep", "-1ep", "2it3ep", "1.5ep", "\u0663ep", "2ep\n"]


@pytest.mark.parametrize("text", WRONG)
def test_refuses_what_is_no_moment(text: Any) -> None:
    with pytest.raises(ValueError, match="2ep"):
        Step.parse(text)


def test_refuses_numbers_without_end() -> None:
    with pytest.raises(ValueError, match="2ep"):
        Step.parse("9" * 5000 + "ep")


@given(steps)
def test_writing_and_reading_gives_the_same(step: Step) -> None:
    assert Step.parse(str(step)) == step


@given(steps, st.integers(1, 10**6))
def test_canonical_is_the_same_moment_with_fewer_iterations_than_an_epoch(step: Step, steps_per_epoch: int) -> None:
    canonical = step.canonical(steps_per_epoch)
    assert canonical.index(steps_per_epoch) == step.index(steps_per_epoch)
    assert canonical.iterations < steps_per_epoch
