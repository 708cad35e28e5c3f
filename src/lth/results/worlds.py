"""Planted truth: made-up results whose true deficits are known, to measure how often a selection errs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from lth.results.select import Selection, candidate, select_winner
from lth.results.wording import cell_name
from lth.runs.records import Audit, CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step


@dataclass(frozen=True)
class World:
    """What is true: dense accuracy, each cell's deficit, and the noise; all as fractions.

    A network's own accuracy is dense - deficit + a draw of its seed, common to all networks of that seed (fold,
    initial weights), + a draw of its own, normal with standard deviations `seed_sd` and `own_sd`. Measured is
    the share of right answers among `validation` and `test` independent examples.
    """

    deficit: Callable[[float, Step], float]
    dense: float = 0.975
    own_sd: float = 0.0023
    seed_sd: float = 0.0
    validation: int = 5000
    test: int = 10000


Cell = tuple[float, Step] | None  # None: dense


class Planted:
    """A spec and a world, and the records of the spec's grid without their accuracies, made once."""

    def __init__(self, spec: Spec, world: World):
        self.spec, self.world = spec, world
        self._blank: dict[tuple[Cell, int], CellResult] = {}

    def grid(self, draw: np.random.Generator) -> Results:
        """Returns dense networks and tickets of the whole grid on `spec.seeds`."""
        cells = [(sparsity, step) for step in self.spec.grid.rewind for sparsity in self.spec.grid.sparsities]
        return Results({result.id: result for result in self._networks([None, *cells], self.spec.seeds, draw)})

    def confirmed(self, results: Results, cell: tuple[float, Step], draw: np.random.Generator) -> Results:
        """Returns `results` with dense and the ticket of `cell` on the confirmation seeds."""
        fresh = self._networks([None, cell], self.spec.confirmation_seeds, draw)
        return Results({**results.done, **{result.id: result for result in fresh}})

    def _networks(self, cells: list[Cell], seeds: tuple[int, ...], draw: np.random.Generator) -> Iterable[CellResult]:
        world = self.world
        deficits = np.array([0.0 if cell is None else world.deficit(*cell) for cell in cells])
        shape = (len(seeds), len(cells))
        common = draw.normal(0, world.seed_sd, (len(seeds), 1))
        true = np.clip(world.dense - deficits + common + draw.normal(0, world.own_sd, shape), 0, 1)
        validation = (draw.binomial(world.validation, true) / world.validation).tolist()
        test = (draw.binomial(world.test, true) / world.test).tolist()
        for seed, validation_row, test_row in zip(seeds, validation, test, strict=True):
            for cell, on_validation, on_test in zip(cells, validation_row, test_row, strict=True):
                yield self._record(cell, seed).model_copy(
                    update={"validation_top1": on_validation, "test_top1": on_test}
                )

    def _record(self, cell: Cell, seed: int) -> CellResult:
        if (cell, seed) not in self._blank:
            self._blank[cell, seed] = blank(cell, seed, self.world)
        return self._blank[cell, seed]


def play(planted: Planted, draw: np.random.Generator) -> tuple[Results, Selection]:
    """Returns one draw of the world carried through: its grid, its candidate's fresh seeds, and the selection."""
    results = planted.grid(draw)
    cell = candidate(planted.spec, results)
    if cell is not None:
        results = planted.confirmed(results, cell, draw)
    return results, select_winner(planted.spec, results)


def blank(cell: Cell, seed: int, world: World) -> CellResult:
    """Returns the record of a made-up network of 10 000 weights, 9 000 of them prunable, with accuracy 0."""
    sparsity, rewind = cell or (None, None)
    kept = 1 - (sparsity or 0.0)
    return CellResult(
        id=f"{cell_name(*cell)}-seed{seed}" if cell else f"dense-seed{seed}",
        kind="cell" if cell else "dense",
        key="planted",
        dataset_id="planted",
        seed=seed,
        sparsity=sparsity,
        rewind=rewind,
        order="fresh" if cell else "dense",
        attempt="planted",
        files={},
        weights_sha256="planted",
        audit=Audit(passed=True, checks={"planted": True}),
        numerics={"torch": "planted"},
        first_step=0,
        last_step=1000,
        steps_per_epoch=100,
        epochs=10.0,
        seconds=1.0,
        host="planted",
        finished_at="planted",
        train_examples=10 * world.validation,
        validation_examples=world.validation,
        test_examples=world.test,
        train_top1=0.0,
        train_loss=0.0,
        validation_top1=0.0,
        validation_loss=0.0,
        test_top1=0.0,
        test_loss=0.0,
        early_stop_step=1000,
        early_stop_validation_loss=0.0,
        early_stop_validation_top1=0.0,
        parameters=10_000,
        prunable=9_000,
        density_prunable=kept,
        density_all=(9_000 * kept + 1_000) / 10_000,
        density_effective=kept,
    )
