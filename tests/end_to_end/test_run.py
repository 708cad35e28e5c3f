"""The whole way through the command line, on small real trainings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from end_to_end.conftest import hashes, lth, records, write_spec

SELECT_KEYS = [
    "cell", "sparsity", "density_all", "rewind", "seeds", "validation_top1", "dense_validation_top1", "verdict",
    "level_verdict", "confirmed", "test_top1", "dense_test_top1",
]  # fmt: skip


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to change."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_a_finished_run_holds_what_the_format_promises(finished: Path) -> None:
    for name in (
        "spec.toml",
        "run.json",
        "facts.json",
        "winner/selection.json",
        "winner/ticket.safetensors",
        "report/index.html",
    ):
        assert (finished / name).exists(), name
    found = records(finished)
    grid = {f"s{s}-r{r}-seed{seed}" for s in ("0.5", "0.8", "0.95") for r in ("0", "1ep") for seed in (0, 1)}
    assert grid <= found.keys()
    assert {"dense-seed0", "dense-seed1", "dense-seed2", "dense-seed3"} <= found.keys()
    for name, record in found.items():
        wanted = {
            "key",
            "weights_sha256",
            "audit",
            "numerics",
            "train_top1",
            "validation_top1",
            "test_top1",
            "epochs",
            "seconds",
            "host",
        }
        assert wanted <= record.keys()
        assert record["audit"]["passed"], name
        if record["control"] not in ("random_mask", "shuffled_mask"):  # 5 % of the weights at random may not learn
            assert record["validation_top1"] > 0.8, f"{name} has not learned"
    assert list((finished / "claims").iterdir()) == []
    assert not list(finished.glob("*/*/resume"))


def test_every_artefact_has_the_checksum_its_result_names(finished: Path) -> None:
    import hashlib

    for name, record in records(finished).items():
        folder = finished / ("dense" if name.startswith("dense") else "cells") / name.removeprefix("dense-")
        for file, sha256 in record["files"].items():
            data = (folder / f"attempt-{record['attempt']}" / file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == sha256


def test_running_again_does_nothing(finished: Path, copy: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in copy.glob("*/*/result.json")}
    done = lth("run", finished.parent / "small.toml", "--into", copy)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in copy.glob("*/*/result.json")} == before


def test_json_for_scripts_is_one_object_on_stdout(finished: Path, copy: Path) -> None:
    ran = json.loads(lth("run", finished.parent / "small.toml", "--into", copy, "--json").stdout)
    status = json.loads(lth("status", copy, "--json").stdout)
    select = json.loads(lth("select", copy, "--json").stdout)
    assert list(status) == ["cells", "done", "running", "waiting", "failed"]
    assert status["cells"] == status["done"] == sum(not name.startswith("dense") for name in records(copy))
    assert list(select) == SELECT_KEYS
    assert ran["selection"] == select
    assert select["verdict"] == "matching"
    assert select["confirmed"] is True


def test_extending_a_run_trains_only_what_is_new_and_replays_new_rewind_points(finished: Path, copy: Path) -> None:
    spec, before = finished.parent / "small.toml", hashes(finished)
    more = ["--set", 'grid.rewind=["0", "1ep", "20it", "2ep"]', "--set", "grid.sparsities=[0.5, 0.8, 0.9, 0.95]"]
    done = lth("run", spec, "--into", copy, *more)
    assert done.returncode == 0, done.stderr
    after = hashes(copy)
    assert before.items() <= after.items()
    assert {"s0.9-r0-seed0", "s0.5-r20it-seed1", "s0.9-r2ep-seed0"} <= after.keys()
    whole = lth("run", spec, "--into", copy.parent / "fresh", *more)
    assert whole.returncode == 0, whole.stderr
    fresh = hashes(copy.parent / "fresh")
    assert {name: after[name] for name in fresh.keys() & after.keys()} == {
        name: fresh[name] for name in fresh.keys() & after.keys()
    }
    assert {name for name in fresh if "r20it" in name and "reinit" not in name} <= after.keys()


def test_deleting_a_cells_folder_redoes_that_cell(finished: Path, copy: Path) -> None:
    shutil.rmtree(copy / "cells" / "s0.8-r1ep-seed1")
    assert lth("run", finished.parent / "small.toml", "--into", copy).returncode == 0
    assert hashes(copy) == hashes(finished)


def test_one_ticket_at_a_time_has_the_bits_of_lockstep(finished: Path, tmp_path: Path) -> None:
    done = lth("run", write_spec(tmp_path), "--into", tmp_path / "run", "--set", "execute.tickets_per_worker=1")
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "run") == hashes(finished)


def test_another_experiment_in_the_directory_is_refused(finished: Path, copy: Path) -> None:
    done = lth("run", finished.parent / "small.toml", "--into", copy, "--set", "train.optimizer.lr=0.2")
    assert done.returncode == 2
    assert "train.optimizer.lr" in done.stderr
    assert "another experiment" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_dense_checkpoint_is_named_not_used(finished: Path, copy: Path) -> None:
    path = next(copy.glob("dense/seed0/attempt-*/1ep.safetensors"))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))
    shutil.rmtree(copy / "cells" / "s0.8-r1ep-seed0")
    done = lth("run", finished.parent / "small.toml", "--into", copy)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "sha256 differs" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "absent.toml"], "absent.toml"),
        (["status", "absent"], "not a run directory"),
        (["work", "absent"], "not a run directory"),
        (["init", "nonsense"], "nonsense"),
        (["ticket", "info", "absent"], "absent"),
    ],
)
def test_a_users_mistake_is_an_error_line_and_exit_code_2(tmp_path: Path, words: list[str], message: str) -> None:
    done = lth(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_data_stop_the_run_with_the_reason_and_mark_nothing_as_failed(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, launcher="processes")
    done = lth("run", spec, "--into", tmp_path / "run", "--set", "data.source=mnist:nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run").glob("*/*/failed-*.json"))


def test_scope_dry_run_init_and_version_answer(finished: Path) -> None:
    spec = finished.parent / "small.toml"
    scope = json.loads(lth("scope", spec, "--json").stdout)
    assert scope["prunable"] == sum(row["weights"] for row in scope["layers"] if row["prunable"] == "yes")
    assert "fc1.weight" in lth("scope", spec).stdout
    dry = json.loads(lth("run", spec, "--dry-run", "--json").stdout)
    assert sum(name.startswith("s") for name in dry["units"]) == 12
    assert dry["total"]["disk_bytes"] > 0
    assert "dense" in lth("run", spec, "--dry-run").stdout
    assert "digits_lenet" in lth("init").stdout
    assert lth("--version").stdout.startswith("lth ")


def test_torch_is_not_imported_where_it_is_not_needed(finished: Path) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nimport lth\nfrom lth.cli.app import app\n"
        "for words in (['--help'], ['run', '--help'], ['status', {0!r}], ['select', {0!r}], ['init']):\n"
        "    done = CliRunner().invoke(app, words)\n    assert done.exit_code == 0, (words, done.output)\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    subprocess.run([sys.executable, "-c", code.format(str(finished))], check=True)
