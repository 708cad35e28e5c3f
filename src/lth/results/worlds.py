"""Planted truth: made-up results whose true deficits are known, to measure how often a selection errs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from lth.results.select import Selection, candidate, select_winner
from lth.results.wording import cell_name
from lth.runs.records import Audit, CellResult, Results
from lth.spec.schema import Spec
from lth.spec.step import Step

Deficit = Callable[[float, Step], float]
Cell = tuple[float, Step] | None  # None: dense
Network = tuple[Cell, str | None]  # and its control
STEPS, CADENCE = 1000, 100


@dataclass(frozen=True)
class World:
    """What is true: dense accuracy, each cell's deficit, and the noise; all as fractions.

    A network's own accuracy is dense - deficit + a draw of its seed, common to all networks of that seed (fold,
    initial weights), + a draw of its own, normal with standard deviations `seed_sd` and `own_sd`. Measured is
    the share of right answers among `validation` and `test` independent examples. `controls` are the deficits, below
    dense, of the spec's controls; `early_stop` is the mean step of a cell's early stop (dense: None), around which it
    varies with standard deviation `early_sd` and is rounded to whole evaluations.
    """

    deficit: Deficit
    dense: float = 0.975
    own_sd: float = 0.0023
    seed_sd: float = 0.0
    validation: int = 5000
    test: int = 10000
    controls: Mapping[str, Deficit] = field(default_factory=dict[str, Deficit])
    early_stop: Callable[[Cell], float] | None = None
    early_sd: float = 100.0


class Planted:
    """A spec and a world, and the records of the spec's grid without their accuracies, made once."""

    def __init__(self, spec: Spec, world: World):
        self.spec, self.world = spec, world
        self._blank: dict[tuple[Network, int], CellResult] = {}

    def grid(self, draw: np.random.Generator) -> Results:
        """Returns dense networks, tickets and controls of the whole grid on `spec.seeds`."""
        cells = [(sparsity, step) for step in self.spec.grid.rewind for sparsity in self.spec.grid.sparsities]
        beside: list[Network] = [(cell, name) for name in self.world.controls for cell in cells]
        networks: list[Network] = [(None, None), *((cell, None) for cell in cells), *beside]
        return Results({result.id: result for result in self._networks(networks, self.spec.seeds, draw)})

    def confirmed(self, results: Results, cell: tuple[float, Step], draw: np.random.Generator) -> Results:
        """Returns `results` with dense and the ticket of `cell` on the confirmation seeds."""
        fresh = self._networks([(None, None), (cell, None)], self.spec.confirmation_seeds, draw)
        return Results({**results.done, **{result.id: result for result in fresh}})

    def _networks(
        self, networks: list[Network], seeds: tuple[int, ...], draw: np.random.Generator
    ) -> Iterator[CellResult]:
        world, shape = self.world, (len(seeds), len(networks))
        deficits = np.array([self._deficit(network) for network in networks])
        common = draw.normal(0, world.seed_sd, (len(seeds), 1))
        true = np.clip(world.dense - deficits + common + draw.normal(0, world.own_sd, shape), 0, 1)
        validation = (draw.binomial(world.validation, true) / world.validation).tolist()
        test = (draw.binomial(world.test, true) / world.test).tolist()
        stops = self._stops(networks, shape, draw)
        for row, seed in enumerate(seeds):
            for column, network in enumerate(networks):
                accuracies = {"validation_top1": validation[row][column], "test_top1": test[row][column]}
                yield self._record(network, seed).model_copy(update={**accuracies, **stops[row][column]})

    def _deficit(self, network: Network) -> float:
        cell, control = network
        if cell is None:
            return 0.0
        return self.world.deficit(*cell) if control is None else self.world.controls[control](*cell)

    def _stops(
        self, networks: list[Network], shape: tuple[int, int], draw: np.random.Generator
    ) -> list[list[dict[str, int]]]:
        """The early stop of every network, at an evaluation; nothing where the world says nothing of it."""
        if self.world.early_stop is None:
            return [[{}] * shape[1]] * shape[0]
        means = np.array([self.world.early_stop(cell) for cell, _ in networks])
        steps = np.rint((means + draw.normal(0, self.world.early_sd, shape)) / CADENCE).astype(int) * CADENCE
        return [[{"early_stop_step": step} for step in row] for row in np.clip(steps, CADENCE, STEPS).tolist()]

    def _record(self, network: Network, seed: int) -> CellResult:
        if (network, seed) not in self._blank:
            cell, control = network
            self._blank[network, seed] = blank(cell, seed, self.world, control)
        return self._blank[network, seed]


def play(planted: Planted, draw: np.random.Generator) -> tuple[Results, Selection]:
    """Returns one draw of the world carried through: its grid, its candidate's fresh seeds, and the selection."""
    results = planted.grid(draw)
    cell = candidate(planted.spec, results)
    if cell is not None:
        results = planted.confirmed(results, cell, draw)
    return results, select_winner(planted.spec, results)


def blank(cell: Cell, seed: int, world: World, control: str | None = None) -> CellResult:
    """Returns the record of a made-up network of 10 000 weights, 9 000 of them prunable, with accuracy 0."""
    sparsity, rewind = cell or (None, None)
    kept, end = 1 - (sparsity or 0.0), f"-{control}" if control else ""
    return CellResult(
        id=f"{cell_name(*cell)}-seed{seed}{end}" if cell else f"dense-seed{seed}",
        kind="cell" if cell else "dense",
        key="planted",
        dataset_id="planted",
        seed=seed,
        sparsity=sparsity,
        rewind=rewind,
        control=control,
        order="fresh" if cell else "dense",
        attempt="planted",
        files={},
        weights_sha256="planted",
        audit=Audit(passed=True, checks={"planted": True}),
        numerics={"torch": "planted"},
        first_step=0,
        last_step=STEPS,
        steps_per_epoch=CADENCE,
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
        early_stop_step=STEPS,
        early_stop_validation_loss=0.0,
        early_stop_validation_top1=0.0,
        parameters=10_000,
        prunable=9_000,
        density_prunable=kept,
        density_all=(9_000 * kept + 1_000) / 10_000,
        density_effective=kept,
    )
