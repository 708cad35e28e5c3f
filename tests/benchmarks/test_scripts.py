"""The benchmark scripts run and print what they promise; how long things take is not asserted."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from engines.require import require

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


@pytest.mark.long
def test_overhead_counts_the_operations_of_a_unit():
    require(shutil.which("strace"), "NO STRACE: apt-get install strace")
    found = re.search(r"^ +102 +2 +(\d+\.\d) ", run("overhead.py", "--quick"), re.MULTILINE)
    assert found
    assert 15 < float(found[1]) < 40  # of few units, with what two workers do once


@pytest.mark.long
def test_engine_overhead_prints_a_line_an_engine():
    out = run("engine_overhead.py", "--quick", "--engines", "local", "processes")
    assert re.search(r"^n = 1, 6 and 2 units, 2 workers$", out, re.MULTILINE)
    for engine in ("local", "processes"):
        assert re.search(rf"^{engine} +-?\d+ +-?\d+ to -?\d+ +-?\d+\.\d$", out, re.MULTILINE)


@pytest.mark.long
def test_training_prints_every_ratio_with_its_range_and_target():
    out = run("training.py", "--quick")
    for network in ("LeNet-300-100", "ResNet-20", "MobileNetV2@32"):
        assert re.search(
            rf"^mask / \(forward \+ backward\), {network}, .* %  +[-\d.e]+ to [-\d.e]+ +<= ", out, re.MULTILINE
        )
    assert re.search(r"^optimizer \+ mask, MobileNetV2: .*x +.* >= 2x$", out, re.MULTILINE)
    assert len(re.findall(r"eager NCHW fp32 +[\d.]+x ", out)) == 3
    assert re.search(r"^decodes, K = 8: 32 apart, 4 in lockstep +8x", out, re.MULTILINE)


@pytest.mark.long
def test_gpu_prints_a_table_also_where_there_is_no_gpu():
    out = run("gpu.py", "--quick")
    rows = [line.split(" | ") for line in out.splitlines() if line.startswith("| ")]
    assert not any("broke" in row[1] for row in rows), out
    exact = [row for row in rows if "the same bits" in row[0] or "has the bits" in row[0]]
    assert len(exact) == 6
    assert all(row[1] == "True" for row in exact)
    if "no GPU" in out.splitlines()[0]:
        assert sum(row[1].startswith("not measured") for row in rows) == 5


def test_open_lth_wants_a_checkout(mnist: Path):
    command = [sys.executable, str(BENCHMARKS / "open_lth.py"), str(mnist), str(mnist)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{mnist} is no checkout of open_lth (it holds no open_lth.py)\n"
