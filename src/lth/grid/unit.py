"""The units of work a run consists of, each with its readable id and its folder."""

from __future__ import annotations

from dataclasses import dataclass

from lth.results.wording import cell_name
from lth.spec.step import Step
from lth.spec.values import decimal


@dataclass(frozen=True)
class Dense:
    """The dense network of a seed, trained in full; its weights are kept at every rewind point."""

    seed: int

    @property
    def id(self) -> str:
        return f"dense-seed{self.seed}"

    @property
    def folder(self) -> str:
        return f"dense/seed{self.seed}"

    @property
    def coordinates(self) -> dict[str, object]:
        return {"kind": "dense", "seed": self.seed}


@dataclass(frozen=True)
class Checkpoint:
    """Weights at a rewind point that no dense run kept: made by exact replay of the dense run, or, `fresh`, by
    training another initialisation up to there."""

    seed: int
    step: Step
    fresh: bool = False

    @property
    def id(self) -> str:
        return f"dense-seed{self.seed}-{'reinit-' * self.fresh}r{self.step}"

    @property
    def folder(self) -> str:
        return f"dense/seed{self.seed}-{'reinit-' * self.fresh}r{self.step}"

    @property
    def coordinates(self) -> dict[str, object]:
        where: dict[str, object] = {"kind": "checkpoint", "seed": self.seed, "step": str(self.step)}
        return {**where, "fresh": True} if self.fresh else where


@dataclass(frozen=True)
class Cell:
    """One ticket, or a variant of it (`lth.spec.variants`): a sparsity, a rewind point and a seed.

    In iterative pruning the sparsity is that of a `level`. A ticket pruned at an absolute `threshold` has no
    sparsity of its own: sparsity is None.
    """

    sparsity: float | None
    rewind: Step
    seed: int
    control: str | None = None
    level: int | None = None
    threshold: float | None = None

    @property
    def id(self) -> str:
        end = f"-{self.control}" if self.control else ""
        return f"{cell_name(self.sparsity, self.rewind, self.level, self.threshold)}-seed{self.seed}{end}"

    @property
    def folder(self) -> str:
        return f"cells/{self.id}"

    @property
    def coordinates(self) -> dict[str, object]:
        if self.level is not None:
            which: dict[str, object] = {"level": self.level}
        elif self.threshold is not None:
            which = {"threshold": decimal(self.threshold)}
        else:
            which = {"sparsity": decimal(self.sparsity or 0.0)}
        return {"kind": "cell", **which, "rewind": str(self.rewind), "seed": self.seed, "control": self.control}


@dataclass(frozen=True)
class Finish:
    """The closing unit: winner, ticket, tables and report of the results whose digest it bears."""

    digest: str

    @property
    def id(self) -> str:
        return f"finish-{self.digest}"

    @property
    def folder(self) -> str:
        return f"winner/{self.digest}"

    @property
    def coordinates(self) -> dict[str, object]:
        return {"kind": "finish", "digest": self.digest}


Unit = Dense | Checkpoint | Cell | Finish
