"""`lth data verify`, `info` and `stage`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from data.shards import draw, prepared
from typer.testing import CliRunner, Result

from lth.cli.data import app
from lth.cli.data.verify import CURE
from lth.errors import DataError


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    return prepared(draw(folder / "pictures", train=66, test=6), folder / "out")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_verify_says_whole_or_names_the_file(shards: Path, tmp_path: Path) -> None:
    done = call("verify", shards)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{shards}: whole; 72 images of train and test, 7 files, ")
    assert done.stdout.endswith("every sha256\n")
    out = Path(shutil.copytree(shards, tmp_path / "out"))
    shard = out / "train" / "shard-00001.npy"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert call("verify", out, "--quick").exit_code == 0
    bad = call("verify", out, "--jobs", 2)
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert bad.stderr.startswith("train/shard-00001.npy: the sha256 is not")
    assert bad.stderr.splitlines()[-1] == f"error: {out}: not whole, 1 problem. {CURE}"
    told = json.loads(call("verify", out, "--json").stdout)
    assert told["whole"] is False
    assert [one["file"] for one in told["findings"]] == ["train/shard-00001.npy"]
    assert isinstance(call("verify", tmp_path / "absent").exception, DataError)


def test_info_prints_facts_and_draws(shards: Path, tmp_path: Path) -> None:
    done = call("info", shards, "--sheet", tmp_path / "new" / "sheet.png")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert "images 16 x 16 pixels, center, raw" in [" ".join(line.split()) for line in lines]
    assert [line.split() for line in lines[-3:]] == [["apple", "22", "2"], ["bear", "22", "2"], ["chair", "22", "2"]]
    assert (tmp_path / "new" / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert call("info", shards, "--sheet", tmp_path).exit_code == 2
    told = json.loads(call("info", shards, "--json").stdout)
    assert told["parts"][0]["counts"] == {"apple": 22, "bear": 22, "chair": 22}


def test_many_classes_are_cut_short(tmp_path: Path) -> None:
    names = tuple(f"class{number:02}" for number in range(30))
    out = prepared(draw(tmp_path / "pictures", train=60, test=30, classes=names), tmp_path / "out")
    lines = call("info", out).stdout.splitlines()
    assert "... 10 more; --json lists them all" in lines
    assert lines[-1].split() == ["class29", "2", "1"]


def test_stage_prints_where_the_copy_is_on_its_last_line(shards: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lth", "data", "stage", str(shards), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    folder = Path(done.stdout.splitlines()[-1])
    assert folder.parent == tmp_path
    assert call("verify", folder).exit_code == 0
    told = json.loads(call("stage", shards, tmp_path, "--json").stdout)
    assert told == {"path": str(folder), "bytes": 0}


@pytest.mark.parametrize("command", ["verify", "info", "stage", "fetch"])
def test_the_commands_never_import_torch(shards: Path, tmp_path: Path, command: str) -> None:
    arguments = {"stage": [str(shards), str(tmp_path)], "fetch": ["--from", str(tmp_path / "absent")]}
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom lth.cli.app import app\n"
        f"CliRunner().invoke(app, ['data', {command!r}, *{arguments.get(command, [str(shards)])!r}])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
