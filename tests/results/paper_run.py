"""A run of lenet-fc-2019 as the paper tells it: made-up results that lie inside every band."""

from __future__ import annotations

from pathlib import Path

from results.made import gathered, network, wobble

from lth.runs.records import CellResult, Results
from lth.runs.run import start_run
from lth.spec.published import published_spec
from lth.spec.schema import Spec
from lth.spec.step import Step

DENSE, STEPS = 0.982, 7000
LEFT = {"fc1": (235_200, 0.8), "fc2": (30_000, 0.8), "output": (1000, 0.9)}
REINIT = {3: (1.2, 0.000), 7: (1.556, -0.002), 11: (2.2, -0.009), 15: (2.7, -0.02)}  # early stop to dense, gain


def paper_spec() -> Spec:
    """Returns the spec of the small scale."""
    return published_spec("lenet-fc-2019", "small")


def density(level: int) -> float:
    """Returns what is left after so many levels, in whole weights."""
    return sum(round(n * kept**level) for n, kept in LEFT.values()) / sum(n for n, _ in LEFT.values())


def ticket(level: int) -> tuple[float, float]:
    """Returns early stop relative to dense, and gain over dense, of a level: figure 4 in straight lines."""
    early = 1 - 0.38 * level / 7 if level <= 7 else 0.62 + 0.38 * (level - 7) / 8
    gain = 0.0035 * level / 9 if level <= 9 else 0.0035 * (15 - level) / 6 - 0.0002
    return early, gain


def made(level: int, seed: int, early: float, gain: float, control: str | None = None) -> CellResult:
    """Returns the record of one network."""
    spec, end = paper_spec(), f"-{control}" if control else ""
    cell = None if level == 0 else (spec.grid.sparsities[level - 1], Step())
    name = f"l{level:02}-r0-seed{seed}{end}" if level else f"dense-seed{seed}"
    test = DENSE + gain + wobble(seed)
    return network(
        seed, cell, 0.98, test=test - 0.001, id=name, control=control, level=level or None,
        density_prunable=density(level),
        early_stop_step=round(early * STEPS * (1 + 20 * wobble(seed)) / 100) * 100, early_stop_test_top1=test,
        early_stop_test_step=500,
    )  # fmt: skip


def paper_run() -> Results:
    """Returns dense networks, 15 levels and reinit at 4 of them, on three seeds."""
    networks: list[CellResult] = []
    for seed in paper_spec().seeds:
        networks.append(made(0, seed, 1.0, 0.0))
        networks += [made(level, seed, *ticket(level)) for level in range(1, 16)]
        networks += [made(level, seed, *how, "reinit") for level, how in REINIT.items()]
    return gathered(networks)


def written_run(path: Path, results: Results) -> Path:
    """Returns the run directory `path`, with these results in it."""
    run = start_run(path, paper_spec())
    for one in results.done.values():
        run.publish(f"dense/seed{one.seed}" if one.kind == "dense" else f"cells/{one.id}", one)
    return path
