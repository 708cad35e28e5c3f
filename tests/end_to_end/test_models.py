"""Other networks through the whole way: MobileNetV2 with BatchNorm and dropout, and a class of the user's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from end_to_end.conftest import environment, hashes, lth, records

SPEC = """
name = "{name}"
[data]
source = "synthetic:examples=120,test_examples=40,classes=3,channels=3,size=8,noise=0.3"
batch_size = 20
[model]
name = "{model}"
arguments = {arguments}
[train]
epochs = 2
optimizer = {{ name = "adamw", lr = 0.003, weight_decay = 0.01 }}
schedule = {{ name = "cosine", warmup_epochs = 1 }}
guard_epochs = 0
[grid]
sparsities = [0.9]
rewind = ["0", "1ep3it"]
controls = ["reinit"]
controls_at = "all"
[execute]
launcher = "{launcher}"
workers = 2
tickets_per_worker = {together}
"""
OWN = """
from torch import nn

class Small(nn.Sequential):
    def __init__(self, width):
        body = nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU()
        super().__init__(*body, nn.Flatten(), nn.Linear(36 * width, 3))
"""
MODELS = {
    "mobilenet": ("mobilenet_v2", "{ width_multiplier = 0.1, stem_stride = 1 }"),
    "own": ("own_models:Small", "{ width = 6 }"),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_grid_of_the_network_passes_every_audit_and_lockstep_and_processes_leave_no_trace(
    name: str, tmp_path: Path
) -> None:
    model, arguments = MODELS[name]
    (tmp_path / "own_models.py").write_text(OWN)
    options = {"env": {**environment(), "PYTHONPATH": str(tmp_path)}}
    found = {}
    for together, launcher in ((1, "local"), (4, "processes")):
        spec = tmp_path / f"{together}.toml"
        spec.write_text(SPEC.format(name=name, model=model, arguments=arguments, together=together, launcher=launcher))
        run = tmp_path / f"run{together}"
        done = lth("run", spec, "--into", run, **options)
        assert done.returncode == 0, done.stderr
        found[together] = hashes(run)
    assert found[1] == found[4]
    results = records(tmp_path / "run4")
    assert len(results) == 1 + 2 + 1  # one reinitialisation serves both rewind points
    assert all(record["audit"]["passed"] for record in results.values()), results
    tickets = [record for record in results.values() if record["sparsity"] == 0.9]
    assert all(abs(record["density_prunable"] - 0.1) < 0.001 for record in tickets)
    assert os.path.getsize(tmp_path / "run4" / "winner" / "selection.json") > 0
