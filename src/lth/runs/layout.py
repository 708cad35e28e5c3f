"""Every path of a run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RESUME, PREVIOUS, ENTRY = "resume", "resume-previous", "entry"
UNIT_FOLDERS = ("dense", "cells", "winner")


@dataclass(frozen=True)
class Layout:
    """The paths of the run directory `root`."""

    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "spec.toml"

    @property
    def run(self) -> Path:
        return self.root / "run.json"

    @property
    def facts(self) -> Path:
        return self.root / "facts.json"

    @property
    def journal(self) -> Path:
        return self.root / "settled.jsonl"

    @property
    def claims(self) -> Path:
        return self.root / "claims"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def slurm(self) -> Path:
        return self.root / "slurm"

    @property
    def ticket(self) -> Path:
        return self.root / "winner" / "ticket.safetensors"

    @property
    def selection(self) -> Path:
        return self.root / "winner" / "selection.json"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def analysis(self) -> Path:
        return self.root / "analysis"

    def mask(self, seed: int, sparsity: str) -> Path:
        return self.root / "masks" / f"seed{seed}" / f"s{sparsity}.safetensors"

    def unit(self, folder: str) -> Path:
        return self.root / folder

    def attempt(self, folder: str, attempt: str) -> Path:
        return self.root / folder / f"attempt-{attempt}"

    def result(self, folder: str) -> Path:
        return self.root / folder / "result.json"

    def resume(self, folder: str) -> Path:
        return self.root / folder / RESUME


def previous(path: Path) -> Path:
    """Returns where the state saved before the one at `path` is kept."""
    return path.with_name(PREVIOUS)
