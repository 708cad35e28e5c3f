"""Archives hold all that was found out; a purge takes what can be made again, and everyone who misses it is told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from engines.grid import LENET, SPEC, hashes, records
from typer.testing import CliRunner

import lth
from lth.cli.app import app
from lth.errors import LthError
from lth.runs.archive import purge, write_archive
from lth.runs.artefacts import lost
from lth.runs.run import open_run

TEXT = SPEC.format(launcher="local", epochs=3, more="", model=LENET).replace("[0.5, 0.7, 0.8, 0.9, 0.95]", "[0.5, 0.8]")


def said(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output or done.exception
    return done.stdout


def fails(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert isinstance(done.exception, LthError), done.output
    return str(done.exception)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "spec.toml").write_text(TEXT)
    said("run", folder / "spec.toml", "--into", folder / "run")
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to work on."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def kinds(folder: Path) -> dict[str, int]:
    return {kind: len(files) for kind, files in lost(open_run(folder)).items()}


def test_an_archive_unpacked_is_a_run_that_says_the_same(run: Path, tmp_path: Path) -> None:
    text = said("archive", run)
    assert "left out: checkpoints, masks, predictions, weights" in text
    with tarfile.open(tmp_path / "run.tar.gz") as tar:
        tar.extractall(tmp_path / "elsewhere", filter="data")
    copy = tmp_path / "elsewhere" / "run"
    assert hashes(copy) == hashes(run)
    assert said("select", copy) == said("select", run)
    ticket = (copy / "winner" / "ticket.safetensors").read_bytes()
    assert ticket == (run / "winner" / "ticket.safetensors").read_bytes()
    assert lth.Ticket.load(copy / "winner" / "ticket.safetensors").mask.kept > 0
    assert (copy / "report" / "index.html").exists()
    assert "run: complete" in said("status", copy)
    assert kinds(copy) == {"checkpoints": 4, "weights": 4, "predictions": 5}
    assert len(list(copy.glob("*/*/attempt-*/metrics.jsonl"))) == 5


def test_an_archive_of_a_run_at_work_needs_no_end_of_it(run: Path) -> None:
    shutil.rmtree(run / "winner")
    with open_run(run).claims() as claims:
        claims.take("s0.5-r0-seed0")
        found = json.loads(said("archive", run, "--json"))
    assert found["purged"] == {}
    assert not [name for name in found["files"] if name.startswith(("claims/", "masks/"))]


def test_what_is_asked_for_is_kept(run: Path, tmp_path: Path) -> None:
    target = tmp_path / "all.tar"
    text = said("archive", run, "--into", target, *(f"--keep={kind}" for kind in ("checkpoints", "weights", "masks")))
    assert "left out: predictions" in text
    with tarfile.open(target) as tar:
        names = tar.getnames()
    assert sum(name.endswith("weights.safetensors") for name in names) == 4
    assert "run/masks/seed0/s0.8.safetensors" in names
    assert sum("/dense/seed0/" in name and name.endswith("ep.safetensors") for name in names) == 3


def test_a_purge_takes_what_the_archive_does_without(run: Path) -> None:
    (run / "cells" / "s0.5-r0-seed0" / "resume").write_text("a saved state")
    other = run / "cells" / "s0.5-r0-seed0" / "attempt-given-up"
    other.mkdir()
    (other / "weights.safetensors").write_text("half")
    before = records(run)
    found = json.loads(said("archive", run, "--purge", "--keep", "predictions", "--json"))
    counts = {kind: sums["files"] for kind, sums in found["purged"].items()}
    assert counts == {"checkpoints": 4, "weights": 4, "masks": 2, "saved states": 1, "other attempts": 1}
    assert records(run) == before
    assert kinds(run) == {"checkpoints": 4, "weights": 4}
    assert not other.exists()
    assert len(list(run.rglob("*.safetensors"))) == 5 + 1  # predictions, the winning ticket


def test_status_says_what_is_gone_and_what_makes_it_again(run: Path) -> None:
    assert "results that are gone" not in said("status", run)
    said("archive", run, "--purge")
    text = said("status", run)
    assert "  checkpoints  4 files of 1 network: dense weights at the rewind points" in text
    assert "  weights      4 files of 4 networks: trained weights" in text
    assert f"(checkpoints, predictions, weights, masks); the archive is {run}.tar.gz." in text
    assert f"  rm -r {run / 'dense' / 'seed0'} " in text
    found = json.loads(said("status", run, "--json"))
    assert found["gone"] == {"checkpoints": 4, "predictions": 5, "weights": 4}
    assert found["gone_from"][-1] == "dense/seed0"
    assert list(found["purges"][0]["taken"]) == ["checkpoints", "predictions", "weights", "masks"]


def test_files_that_a_site_deleted_by_age_are_noticed(run: Path) -> None:
    for path in run.glob("cells/*/attempt-*/*"):
        path.unlink()
    shutil.rmtree(next((run / "cells" / "s0.5-r0-seed0").glob("attempt-*")))
    text = said("status", run)
    assert "does this file system delete files by age?" in text
    assert "  metrics      4 files of 4 networks: the training curve" in text
    assert "checkpoints" not in text
    assert "the ticket" in said("select", run)
    said("report", run)


def test_a_purged_run_is_complete_and_its_outcome_can_be_asked_for_again(run: Path) -> None:
    said("archive", run, "--purge")
    assert "ticket:  " in said("run", run / "spec.toml", "--into", run)


@pytest.mark.parametrize("launcher", ["local", "processes", "template"])
def test_a_purged_run_that_is_extended_says_what_is_missing_before_any_worker_starts(run: Path, launcher: str) -> None:
    said("archive", run, "--purge")
    table = 'execute.template={ file = "nowhere.sh", submit = "sh {script}" }'
    sets = ["--set", "grid.sparsities=[0.5, 0.8, 0.9]", "--set", f"execute.launcher={launcher}", "--set", table]
    why = fails("run", run / "spec.toml", "--into", run, *sets)
    assert "s0.9-r0-seed0 and 1 more start from files that are gone (dense/seed0: 0ep.safetensors, " in why
    assert f"rm -r {run / 'dense' / 'seed0'}; then `lth run`" in why
    assert not list((run / "cells").glob("*/failed-*.json"))


def test_the_command_that_is_shown_makes_them_again_with_the_same_bits(run: Path) -> None:
    before = hashes(run)
    said("archive", run, "--purge")
    shutil.rmtree(run / "dense" / "seed0")
    shutil.rmtree(run / "cells" / "s0.5-r0-seed0")
    said("run", run / "spec.toml", "--into", run)
    assert hashes(run) == before
    assert kinds(run) == {"weights": 3, "predictions": 3}
    sets = ["--set", "grid.sparsities=[0.5, 0.8, 0.9]"]
    said("run", run / "spec.toml", "--into", run, *sets)
    assert "s0.9-r1ep-seed0" in hashes(run)


def test_a_rewind_point_that_is_added_misses_only_what_it_starts_from(run: Path) -> None:
    for name in ("1ep.safetensors", "1ep.optimizer.safetensors"):
        next((run / "dense" / "seed0").glob(f"attempt-*/{name}")).unlink()
    sets = ["--set", "grid.rewind=['0', '1ep', '2ep']"]
    assert "dense-seed0-r2ep starts from files that are gone (dense/seed0: 1ep" in fails(
        "run", run / "spec.toml", "--into", run, *sets
    )
    said("run", run / "spec.toml", "--into", run, "--set", "grid.rewind=['0']", "--set", "grid.sparsities=[0.5, 0.9]")
    assert "s0.9-r0-seed0" in hashes(run)


def test_a_run_that_is_not_complete_is_not_purged(run: Path) -> None:
    shutil.rmtree(run / "cells" / "s0.5-r0-seed0")
    assert "not complete, and what is to be done starts from what would be purged" in fails("archive", run, "--purge")
    assert not run.with_name("run.tar.gz").exists()


def test_a_run_at_work_is_not_purged(run: Path) -> None:
    with open_run(run).claims() as claims:
        claims.take("s0.5-r0-seed0")
        assert "somebody is at work on s0.5-r0-seed0" in fails("archive", run, "--purge")


def test_an_archive_with_more_in_it_is_not_replaced(run: Path) -> None:
    said("archive", run, "--keep", "weights")
    before = run.with_name("run.tar.gz").read_bytes()
    assert "has 4 files that this one would not have, cells/s0.5-r0-seed0/" in fails("archive", run)
    assert run.with_name("run.tar.gz").read_bytes() == before
    said("archive", run, "--keep", "weights", "--keep", "masks")


@pytest.mark.parametrize(("words", "why"), [
    (["--into", "run.zip"], "no name of a tar file. Let it end in .tar or .tar.gz"),
    (["--into", "run/inside.tar"], "the archive would lie in the run it is made of"),
    (["--keep", "everything"], "--keep: no kind of file (found 'everything'). Kinds are checkpoints, weights, "),
    (["--into", "letter.tar"], "there is something else, no archive"),
])  # fmt: skip
def test_what_cannot_be_archived(run: Path, words: list[str], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    Path("letter.tar").write_text("Dear archive")
    assert why in fails("archive", run, *words)
    assert Path("letter.tar").read_text() == "Dear archive"
    assert not [name for name in os.listdir() if name.startswith(".")]


def test_a_purge_that_was_killed_can_be_repeated(run: Path, tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\nleft = int(sys.argv[1])\nreal = pathlib.Path.unlink\n"
        "def unlink(path, *words, **more):\n"
        "    global left\n    left -= path.suffix == '.safetensors'\n"
        "    if left == 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(path, *words, **more)\n"
        "pathlib.Path.unlink = unlink\n"
        "from lth.cli.app import app\napp(['archive', sys.argv[2], '--purge'])\n"
    )
    before = records(run)
    for left in (1, 4, 3):
        done = subprocess.run([sys.executable, "-c", program, str(left), run], capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr
    said("archive", run, "--purge")
    assert records(run) == before
    assert kinds(run) == {"checkpoints": 4, "weights": 4, "predictions": 5}
    assert len(open_run(run).describe()["spec"]) > 3


def test_an_archive_is_read_back(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = open_run(run)
    real = os.fsync

    def flip(number: int) -> None:
        """The disk returns another byte than it was given."""
        real(number)
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        data = path.read_bytes()
        at = data.index(b'"weights_sha256"')
        path.write_bytes(data[:at] + b"X" + data[at + 1 :])

    monkeypatch.setattr(os, "fsync", flip)
    with pytest.raises(LthError, match="is not what was written"):
        write_archive(here, tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def test_the_purge_s_note_names_the_archive_whole(run: Path, tmp_path: Path) -> None:
    here = open_run(run)
    write_archive(here, tmp_path / "a.tar")
    assert purge(here, tmp_path / "a.tar")["archive"] == str(tmp_path / "a.tar")
