"""The reader that docs/shards.md shows needs numpy alone, and finds the images that were prepared."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from data.prepared import RAW, image_folder, prepared

from lth.data.image import decode

PAGE = Path(__file__).parents[2] / "docs" / "shards.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.S)


def test_the_reader_of_the_page_reads_what_was_prepared(tmp_path: Path) -> None:
    program = BLOCK.findall(PAGE.read_text())[0]
    assert "lth" not in program
    assert len([line for line in program.splitlines() if line.strip()]) <= 15
    prepared(image_folder(tmp_path / "images", 150, bad=[3]), tmp_path / "out", RAW, 1)
    folder = tmp_path / "out" / "train"
    program = program.replace("range(3)", "(0, 70, 148)")  # one of each shard
    done = subprocess.run([sys.executable, "-I", "-c", program, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [line.split("\t")[0] for line in (folder / "source_index.tsv").read_text().splitlines()]
    expected = []
    for row in (0, 70, 148):
        pixels = decode((tmp_path / "images" / names[row]).read_bytes(), 16)
        expected.append(f"{row} {names[row].split('/')[1]} {pixels.shape} {np.mean(pixels)}")
    assert done.stdout.splitlines() == expected
