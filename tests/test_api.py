"""The public names, pinned; and the small API for Python users on a real run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from end_to_end.conftest import SPEC

import lth

PUBLIC = [
    "Cell", "CellResult", "Enforcer", "LthError", "Mask", "Run", "Spec", "Ticket", "__version__", "load_spec",
    "magnitude_masks", "open_run", "plan", "run", "select_winner", "train", "write_report",
]  # fmt: skip


def test_the_public_names_are_pinned_and_each_can_be_had() -> None:
    assert sorted(lth.__all__) == sorted(dir(lth)) == PUBLIC
    assert all(getattr(lth, name) is not None for name in PUBLIC)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = lth.nonsense


def test_importing_lth_imports_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "pydantic", "rich", "typer"}
    code = f"import sys, lth; found = {heavy!r} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_run_from_python_ends_with_a_winner_and_a_ticket(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SPEC.format(epochs=2, launcher="local"))
    few = ["grid.sparsities=[0.5]", "grid.controls=[]", "select.confirm_seeds=0", "grid.rewind=['1ep']"]
    spec = lth.load_spec(tmp_path / "small.toml", few)
    run = lth.run(spec, tmp_path / "run")
    assert isinstance(run, lth.Run)
    assert lth.open_run(tmp_path / "run").spec == spec
    selection = lth.select_winner(spec, run.results())
    assert selection.cell == "s0.5-r1ep"
    ticket = lth.Ticket.load(tmp_path / "run" / "winner" / "ticket.safetensors")
    assert ticket.mask.density == pytest.approx(0.5, abs=0.02)
    model = ticket.build("trained")
    assert sum(int((parameter == 0).sum()) for parameter in model.parameters()) >= ticket.mask.total - ticket.mask.kept
    done = run.results().done[f"s0.5-r1ep-seed{ticket.header.seed}"]
    assert ticket.header.parent is not None
    assert ticket.header.parent.weights_sha256 == done.weights_sha256
