"""The units of work a run consists of, each with its readable id and its folder."""

from __future__ import annotations

from dataclasses import dataclass

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
    """The dense weights at a rewind point added after the dense run, made by exact replay."""

    seed: int
    step: Step

    @property
    def id(self) -> str:
        return f"dense-seed{self.seed}-r{self.step}"

    @property
    def folder(self) -> str:
        return f"dense/seed{self.seed}-r{self.step}"

    @property
    def coordinates(self) -> dict[str, object]:
        return {"kind": "checkpoint", "seed": self.seed, "step": str(self.step)}


@dataclass(frozen=True)
class Cell:
    """One ticket, or one of its controls: a sparsity, a rewind point and a seed."""

    sparsity: float
    rewind: Step
    seed: int
    control: str | None = None

    @property
    def id(self) -> str:
        end = f"-{self.control}" if self.control else ""
        return f"s{decimal(self.sparsity)}-r{self.rewind}-seed{self.seed}{end}"

    @property
    def folder(self) -> str:
        return f"cells/{self.id}"

    @property
    def coordinates(self) -> dict[str, object]:
        where = {"sparsity": decimal(self.sparsity), "rewind": str(self.rewind), "seed": self.seed}
        return {"kind": "cell", **where, "control": self.control}


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
