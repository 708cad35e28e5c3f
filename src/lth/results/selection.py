"""The record of a selection: all that a table, a page or a script shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from lth.results.arms import Arm
from lth.results.axis import RewindAxis
from lth.results.compare import Comparison
from lth.results.confirm import Confirmation
from lth.results.verdict import LevelVerdict
from lth.results.walk import Level
from lth.results.wording import cell_name
from lth.spec.step import Step

Verdict = Literal["matching", "not_confirmed", "candidate", "undecidable", "none", "incomplete"]


@dataclass(frozen=True)
class Selection:
    """What a run says, in one `sentence` and in numbers. Accuracies and differences are fractions.

    `seeds` are the grid's; `levels` are every level of every walk, `candidates` the sparsest pass of each rewind
    point, `verdicts` and `arms` what the seeds say at every level. The selected cell is `sparsity` and `rewind`, both
    None where there is none, in iterative pruning at level `iteration`; `level` has its validation numbers. Test
    numbers stand in `confirmation` alone, and `shown` names the networks behind them. `decidable_tolerance` is the
    smallest tolerance the validation examples can decide.
    """

    verdict: Verdict
    sentence: str
    seeds: tuple[int, ...]
    tolerance: float
    levels: tuple[Level, ...] = ()
    verdicts: tuple[LevelVerdict, ...] = ()
    candidates: tuple[tuple[Step, float | None], ...] = ()
    sparsity: float | None = None
    rewind: Step | None = None
    iteration: int | None = None
    level: Level | None = None
    dense_validation_top1: float | None = None
    density_prunable: float | None = None
    density_all: float | None = None
    density_effective: float | None = None
    confirmation: Confirmation | None = None
    controls: tuple[Comparison, ...] = ()
    arms: tuple[Arm, ...] = ()
    rewind_axis: RewindAxis | None = None
    decidable_tolerance: float | None = None
    shown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cell(self) -> str | None:
        """Returns the id of the selected cell without its seed: "s0.88-r10ep"."""
        if self.sparsity is None or self.rewind is None:
            return None
        return cell_name(self.sparsity, self.rewind, self.iteration)

    @property
    def level_verdict(self) -> LevelVerdict | None:
        """Returns the verdict on the selected level."""
        place = (self.rewind, self.sparsity)
        return next((one for one in self.verdicts if (one.rewind, one.sparsity) == place), None)

    @property
    def winning(self) -> bool:
        """Returns whether the selected cell is a winning ticket, and not only a matching one."""
        one = self.level_verdict
        return self.verdict == "matching" and one is not None and one.word == "winning"

    @property
    def validation_top1(self) -> float | None:
        """Returns the selected ticket's mean validation accuracy over the grid's seeds."""
        return self.level.ticket if self.level else None

    @property
    def confirmed(self) -> bool | None:
        return self.confirmation.confirmed if self.confirmation else None

    @property
    def test_top1(self) -> float | None:
        """Returns the selected ticket's mean test accuracy, over fresh seeds where the spec asks for them."""
        return self.confirmation.ticket if self.confirmation else None

    @property
    def dense_test_top1(self) -> float | None:
        return self.confirmation.dense if self.confirmation else None

    def as_json(self) -> dict[str, Any]:
        """Returns the twelve keys for scripts."""
        return {
            "cell": self.cell,
            "sparsity": self.sparsity,
            "density_all": self.density_all,
            "rewind": None if self.rewind is None else str(self.rewind),
            "seeds": list(self.seeds),
            "validation_top1": self.validation_top1,
            "dense_validation_top1": self.dense_validation_top1,
            "verdict": self.verdict,
            "level_verdict": self.level_verdict.word if self.level_verdict else None,
            "confirmed": self.confirmed,
            "test_top1": self.test_top1,
            "dense_test_top1": self.dense_test_top1,
        }
