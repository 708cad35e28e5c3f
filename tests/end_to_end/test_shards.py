"""Prepared images are trained on: in memory or read meanwhile, in whatever way, the results are the same to the bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from data.prepared import image_folder, prepared
from end_to_end.conftest import lth, records

SPEC = """
name = "shards"
[data]
source = "shards:{folder}"
batch_size = 12
crop_size = 14
augment = {{ resized = {{ scale = [0.5, 1.0] }}, flip = true }}
validation = {{ fraction = 0.25 }}
[model]
name = "{model}"
arguments = {arguments}
[train]
epochs = 2
optimizer = {{ name = "sgd", lr = 0.05 }}
guard_epochs = 0
[grid]
sparsities = [0.8]
rewind = ["0"]
[execute]
launcher = "local"
loader = "{way}"
"""
MODELS = {"lenet_300_100": "{}", "mobilenet_v2": "{ width_multiplier = 0.1, stem_stride = 1 }"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    prepared(image_folder(root / "source", 70, 12), root / "shards")
    return root / "shards"


def run(folder: Path, into: Path, way: str, model: str) -> dict[str, str]:
    """Returns the weights' hash of every unit of a run."""
    into.mkdir()
    (into / "spec.toml").write_text(SPEC.format(folder=folder, way=way, model=model, arguments=MODELS[model]))
    done = lth("run", into / "spec.toml", "--into", into / "run")
    assert done.returncode == 0, done.stderr
    return {name: record["weights_sha256"] for name, record in records(into / "run").items()}


@pytest.mark.parametrize("model", ["lenet_300_100", pytest.param("mobilenet_v2", marks=pytest.mark.long)])
def test_every_way_of_reading_trains_the_same_networks(model: str, folder: Path, tmp_path: Path) -> None:
    found = {way: run(folder, tmp_path / way, way, model) for way in ("auto", "mmap", "pread")}
    assert found["auto"] == found["mmap"] == found["pread"]
    assert len(found["auto"]) >= 2
    rows = [
        next((tmp_path / way / "run").glob("dense/seed0/*/metrics.jsonl")).read_text().splitlines()
        for way in ("auto", "pread")
    ]
    marks = [[json.loads(row)["ids_sha256"] for row in one] for one in rows]
    assert marks[0] == marks[1]
    assert len(set(marks[0])) == len(marks[0]) == 2


def test_shards_that_are_gone_stop_the_run(folder: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.format(folder=tmp_path / "gone", way="auto", model="lenet_300_100", arguments="{}"))
    done = lth("run", spec, "--into", tmp_path / "run")
    assert done.returncode != 0
    assert "no such folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_mobilenet_trains_on_imagenet_pictures_prepared_by_spark(test_data: Path, tmp_path: Path) -> None:
    source = f"imagefolder:{test_data}/imagenette-mini-224/imagenette-mini-224.tar"
    for engine in ("spark", "local"):
        done = lth("data", "prepare", source, tmp_path / engine, "--size", "36", "--engine", engine)
        assert done.returncode == 0, done.stderr
    bytes_of = {
        engine: {
            str(path.relative_to(tmp_path / engine)): path.read_bytes()
            for path in (tmp_path / engine).rglob("*")
            if path.is_file()
        }
        for engine in ("spark", "local")
    }
    assert bytes_of["spark"] == bytes_of["local"]
    assert lth("data", "verify", tmp_path / "spark").returncode == 0
    text = SPEC.format(folder=tmp_path / "spark", way="pread", model="mobilenet_v2", arguments=MODELS["mobilenet_v2"])
    (tmp_path / "spec.toml").write_text(text.replace("crop_size = 14", "crop_size = 32").replace("= 12", "= 64"))
    done = lth("run", tmp_path / "spec.toml", "--into", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    dense = records(tmp_path / "run")["dense-seed0"]
    assert dense["audit"]["passed"]
