"""`lth data prepare`: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from data.prepared import RAW, hashes, image_folder, prepared


def lth(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lth", "data", "prepare", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_prepare_prints_a_summary_and_says_when_all_is_done(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 130, bad=[4])
    words = (source, tmp_path / "out", "--size", 16, "--max-failures", "1%", "--workers", 1)
    done = lth(*words)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("train: 129 images of 3 classes in 3 shards, 0.1 MB, dataset_id ")
    assert lines[1:3] == [
        "train: 1 images could not be decoded:",
        "  train/dog/00004.jpg: not an image, or of a kind that is not read (JPEG, PNG, BMP, GIF, WEBP, PPM, TIFF)",
    ]
    assert lines[3].startswith("test: 9 images")
    assert "images/s" in lines[4]
    assert done.stderr.startswith("139 images to go into 4 shards\n")
    assert "139/139 images, " in done.stderr
    again = lth(*words)
    assert again.returncode == 0
    assert again.stdout.startswith(f"{tmp_path}/out: was there already")
    prepared(source, tmp_path / "here", RAW, max_failures=0.01)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "here"), "the policy is center"


def test_the_summary_as_json_is_one_object(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70)
    done = lth(source, tmp_path / "out", "--size", 16, "--codec", "jpeg", "--policy", "squash", "--json")
    facts = json.loads(done.stdout)
    assert (facts["rows"], facts["failures"], facts["already"], facts["engine"]) == (79, 0, False, "local")
    assert facts["images_per_second"] > 0
    manifest = json.loads((tmp_path / "out" / "train" / "manifest.json").read_text())
    assert facts["parts"]["train"]["dataset_id"] == manifest["dataset_id"]
    assert (manifest["preprocessing"]["quality"], manifest["preprocessing"]["policy"]) == (90, "squash")
    again = json.loads(
        lth(source, tmp_path / "out", "--size", 16, "--codec", "jpeg", "--policy", "squash", "--json").stdout
    )
    assert (again["already"], again["images_per_second"], again["parts"]) == (True, None, facts["parts"])


def test_too_many_failures_end_with_1(tmp_path: Path) -> None:
    source = image_folder(tmp_path / "images", 70, bad=[4])
    done = lth(source, tmp_path / "out", "--size", 16)
    assert done.returncode == 1
    assert "error:" in done.stderr
    assert "1 images so far cannot be decoded, more than the 0 of 79 allowed: train/dog/00004.jpg: not" in done.stderr
    assert lth(source, tmp_path / "out", "--size", 16, "--max-failures", "1").returncode == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--max-failures", "many"), "--max-failures: neither a number nor a share (found 'many')"),
        (("--max-failures", "101%"), "--max-failures: more than all"),
        (("--quality", 90), "--quality: would be ignored by the codec raw"),
        (("--master", "local[2]"), "--master: would be ignored by --engine local"),
        (("--engine", "spark", "--workers", 2), "--workers: would be ignored by --engine spark"),
        (("--policy", "keep256", "--size", 300), "keep256 cuts the square out of 256 pixels"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, more: tuple[object, ...], message: str) -> None:
    done = lth(image_folder(tmp_path / "images", 3), tmp_path / "out", "--size", 16, *more)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == ["images"]
