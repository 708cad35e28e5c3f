"""The benchmark scripts run and print what they promise; how long things take is not asserted."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error", str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    """Returns a folder with random images under MNIST's four names."""
    draw = np.random.default_rng(0)
    for prefix, n in (("train", 600), ("t10k", 40)):
        images = draw.integers(0, 256, (n, 28, 28), np.uint8).tobytes()
        head = np.array([0x803, n, 28, 28], ">i4").tobytes()
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + images, 1))
        labels = (np.arange(n) % 10).astype(np.uint8).tobytes()
        head = np.array([0x801, n], ">i4").tobytes()
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(head + labels, 1))
    return tmp_path


def test_mnist_lenet_prints_rates_ratios_hardware_and_versions(mnist: Path):
    out = run("mnist_lenet.py", "--quick", str(mnist))
    assert re.search(r"cores; Python \d.*; lth \d.*; torch \d", out)
    for way in ("per-example", "TensorDataset", "in memory", "no update", "lth"):
        assert re.search(rf"^{way} +[\d,]+ +[\d,]+ to [\d,]+ +\d\.\d+$", out, re.MULTILINE)
    assert re.search(r"^lth / per-example +\d+\.\d\dx", out, re.MULTILINE)
    assert re.search(r"^lth / in memory +\d+\.\d\dx", out, re.MULTILINE)
    assert "n = 1" in out


def test_startup_prints_every_command():
    out = run("startup.py", "--quick")
    for command in ("python -c pass", "import lth", "lth --version", "lth --help"):
        assert re.search(rf"^{re.escape(command)} +\d\.\d{{3}} +\d\.\d{{3}} to \d\.\d{{3}}$", out, re.MULTILINE)


def test_demo_prints_its_wall_time():
    out = run("demo.py", "--quick")
    assert "tickets and controls: 1, failed: 0" in out
    assert re.search(r"^wall seconds: median \d+\.\d, range .* n = 1$", out, re.MULTILINE)
