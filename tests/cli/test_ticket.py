"""`lth ticket info` and `lth ticket verify`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lth.cli.ticket import app
from lth.errors import TicketError
from lth.pruning.mask import Mask
from lth.tickets import Accuracy, Parent, Ticket, TicketData, TicketHeader, TicketModel


@pytest.fixture
def file(tmp_path: Path) -> Path:
    mask = Mask({"a.weight": torch.tensor([[True, False, True], [False, False, False]])})
    header = TicketHeader(
        model=TicketModel(name="mine:Net\x1b[2J", arguments={"width": 3}),
        data=TicketData(dataset_id="ab" * 32, source="digits", class_names=("0", "1"), mean=(78.0,), std=(96.0,)),
        sparsity=0.65,
        density_prunable=1 / 3,
        rewind="3ep12it",
        seed=4,
        confirmed_on=(5, 6),
        accuracies={
            "validation_top1": Accuracy(mean=0.97, lower=0.95, upper=0.99, confidence=0.95, seeds=5),
            "test_top1": Accuracy(mean=0.96),
        },
        verdict="confirmed",
        parent=Parent(experiment="cd" * 32, cell="s0.65-r3ep12it-seed4", weights_sha256="ef" * 32),
    )
    weights = {"a.weight": torch.tensor([[1.0, 0, 2], [0, 0, 0]]), "a.bias": torch.ones(2)}
    Ticket(mask, weights, weights, header).save(tmp_path / "t.safetensors")
    return tmp_path / "t.safetensors"


def test_info_prints_what_is_known(file: Path) -> None:
    done = CliRunner().invoke(app, ["info", str(file)])
    assert done.exit_code == 0
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())
    model = "name mine:Net?[2J, arguments {'width': 3}, initialization default"
    assert lines["model"] == model, "no control characters"
    assert lines["sparsity"] == "0.65"
    assert lines["validation_top1"] == "0.9700 [0.9500, 0.9900] over 5 seeds"
    assert lines["test_top1"] == "0.9600"
    assert lines["a.weight"] == "(2, 3) density 0.3333"
    assert lines["rewind"].startswith("3ep12it")
    assert "cell s0.65-r3ep12it-seed4" in lines["parent"]
    assert "density_all" not in lines, "what is unknown is left out"


def test_info_as_json_is_one_object(file: Path) -> None:
    done = CliRunner().invoke(app, ["info", str(file), "--json"])
    facts = json.loads(done.stdout)
    assert (facts["kept"], facts["prunable"], facts["bytes"]) == (2, 6, file.stat().st_size)
    assert facts["layers"] == [{"name": "a.weight", "shape": [2, 3], "kept": 2, "density": 2 / 6}]
    assert facts["accuracies"]["validation_top1"]["lower"] == 0.95
    assert (facts["trained"], facts["rewind"], facts["density_all"]) == (True, "3ep12it", None)


def test_info_of_a_ticket_that_says_little(tmp_path: Path) -> None:
    mask = Mask({"w": torch.tensor([True, False])})
    header = TicketHeader(model=TicketModel(name="x"), sparsity=0.5, density_prunable=0.5, rewind="0")
    Ticket(mask, {"w": torch.tensor([1.0, 0.0])}, None, header).save(tmp_path / "t")
    done = CliRunner().invoke(app, ["info", str(tmp_path / "t")])
    assert done.exit_code == 0
    assert "parent" not in done.stdout


def test_verify_says_whole_or_what_is_wrong(file: Path) -> None:
    done = CliRunner().invoke(app, ["verify", str(file)])
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{file}: whole; 2 of 6 prunable weights kept; rewound and trained weights\n"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    done = CliRunner().invoke(app, ["verify", str(file)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {file}: the tensors do not have the checksum")


def test_a_missing_file_is_told_without_a_traceback(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.safetensors")
    assert isinstance(CliRunner().invoke(app, ["info", missing]).exception, TicketError), "the command line words it"
    done = CliRunner().invoke(app, ["verify", missing])
    assert done.exit_code == 1
    assert missing in done.stderr


def test_help_does_not_import_torch() -> None:
    code = "import sys, lth.cli.ticket; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
