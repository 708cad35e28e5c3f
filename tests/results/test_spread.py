"""The spread over seeds that a plan assumes: pooled from a run, or published."""

from __future__ import annotations

import numpy as np
import pytest
from results.made import gathered, level_with, made_grid, made_spec, network, wobble

from lth.results.index import index
from lth.results.spread import measured, published
from lth.runs.records import Results
from lth.spec.step import Step


def noisy(sparsity: float, rewind: Step, seed: int) -> float:
    move = {0.5: (0.001, -0.002, 0.0), 0.8: (0.0, 0.001, -0.003), 0.9: (0.2, -0.3, 0.1)}[sparsity][seed % 3]
    return (0.97 if sparsity < 0.9 else 0.5) + move


def test_the_levels_that_passed_are_pooled() -> None:
    spec = made_spec(grid__rewind=["0"], select__tolerance=0.02)
    found = measured(spec, index(spec, made_grid(spec, noisy)), "runs/x")
    assert found is not None
    dense = [0.97 + wobble(seed) for seed in range(3)]
    covs = [np.cov([noisy(level, Step(), seed) for seed in range(3)], dense) for level in (0.5, 0.8)]
    variance = np.mean([(cov[0, 0] + cov[1, 1]) / 2 for cov in covs])
    assert found.sd == pytest.approx(variance**0.5)
    assert found.correlation == pytest.approx(np.mean([cov[0, 1] for cov in covs]) / variance)
    assert found.source == (
        "measured in runs/x: 3 seeds, 2 levels, validation; from so few seeds it is rough, "
        "the true one may be half or twice as large"
    )


def test_without_a_pass_the_densest_level_of_each_rewind_point_counts_and_fresh_seeds_add() -> None:
    spec = made_spec(select__confirm_seeds=2)
    grid = made_grid(spec, level_with(lambda sparsity, rewind: 0.1))
    more = [network(seed, cell, 0.97) for seed in (3, 4) for cell in (None, (0.5, Step()), (0.5, Step(2)))]
    alone, found = (measured(spec, index(spec, results), "runs/x") for results in (grid, gathered(more, grid)))
    assert alone is not None
    assert found is not None
    assert "3 seeds, 2 levels" in alone.source
    assert "5 seeds, 2 levels" in found.source
    assert alone.correlation == pytest.approx(1.5 / ((1 + 1.5**2) / 2))


def test_too_few_seeds_or_none_tell_nothing() -> None:
    spec = made_spec(seeds=[0])
    assert measured(spec, index(spec, made_grid(spec, level_with(lambda *_: 0.0))), "x") is None
    assert measured(spec, index(spec, Results()), "x") is None
    equal = made_grid(made_spec(), lambda *_: 0.97, lambda seed: 0.97)
    assert measured(made_spec(), index(made_spec(), equal), "x") is None


def test_published_spreads_name_their_network() -> None:
    known = published("resnet_20")
    assert known is not None
    assert (known.sd, known.correlation) == (0.0023, 0.0)
    assert "ResNet-20 on CIFAR-10 (Renda et al. 2020, n = 246)" in known.source
    assert published("lenet_300_100") is None
