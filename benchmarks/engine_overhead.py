"""Claim: a unit costs at most 50 ms more on any engine than in one worker here, beside what the engine costs once.

The units are nearly empty: one training step of LeNet-300-100 on 32 made-up pictures, evaluated, audited, saved and
published. A grid of 20 and one of 200 are run on each engine; the slope between them is what one more unit costs a
worker, and what is left is what the engine costs once: its start, its queue, its end.

    python benchmarks/engine_overhead.py                             local, processes, mpi and spark
    python benchmarks/engine_overhead.py --engines slurm             on a SLURM cluster, where its commands are
    python benchmarks/engine_overhead.py --engines slurm --cluster   on four nodes that the tests start here
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from hardware import describe

FEW, MANY = 20, 200
ENGINES = ("local", "processes", "mpi", "spark", "slurm")
SPEC = """
name = "empty"
[data]
source = "synthetic:examples=40,test_examples=8,classes=4,size=6,noise=0.4"
batch_size = 32
validation = {{ count = 8 }}
[model]
name = "lenet_300_100"
[train]
epochs = 1
guard_epochs = 0
optimizer = {{ name = "sgd", lr = 0.1 }}
[grid]
sparsities = {sparsities}
[select]
confirm_seeds = 0
[execute]
launcher = "{engine}"
workers = {workers}
{table}
"""
TABLES = {"slurm": '[execute.slurm]\ntime = "10"', "spark": '[execute.spark]\nmaster = "local[{workers}]"'}


def spec_of(engine: str, units: int, workers: int) -> str:
    """Returns a spec of so many tickets beside the dense network."""
    sparsities = [round(0.1 + 0.004 * number, 3) for number in range(units)]
    table = TABLES.get(engine, "").format(workers=workers)
    return SPEC.format(sparsities=sparsities, engine=engine, workers=workers, table=table)


def seconds_of(engine: str, units: int, workers: int) -> float:
    """Returns how long `lth run` took, or on SLURM until the last result was published."""
    with tempfile.TemporaryDirectory() as folder:
        spec, run = Path(folder, "spec.toml"), Path(folder, "run")
        spec.write_text(spec_of(engine, units, workers))
        words = ["run", str(spec), "--into", str(run), "--json", *(["--wait"] if engine == "slurm" else ["--here"])]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        began = time.time()
        done = subprocess.run([sys.executable, "-m", "lth", *words], capture_output=True, text=True, env=environment)
        if done.returncode or json.loads(done.stdout.splitlines()[-1])["done"] != units:
            raise SystemExit(f"{engine}: {done.stderr}")
        return max(path.stat().st_mtime for path in run.glob("*/*/result.json")) - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES[:4])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="tiny grids once, to see that the script works")
    parser.add_argument("--cluster", action="store_true", help="start the tests' own SLURM cluster (needs root)")
    arguments = parser.parse_args()
    with own_cluster() if arguments.cluster else contextlib.nullcontext():
        report(arguments)


@contextlib.contextmanager
def own_cluster() -> Iterator[None]:
    """Within it, SLURM's commands are those of a cluster of four nodes on this machine."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    running_slurm = importlib.import_module("engines.slurm_cluster").running_slurm
    with tempfile.TemporaryDirectory() as folder, running_slurm(Path(folder, "cluster")) as cluster:
        os.environ.update(cluster.environment)
        yield


def report(arguments: argparse.Namespace) -> None:
    """Returns nothing; prints a line an engine."""
    few, many = (2, 6) if arguments.quick else (FEW, MANY)
    print(describe("lth", "torch"))
    print(f"n = {1 if arguments.quick else arguments.repeats}, {many} and {few} units, {arguments.workers} workers")
    print(f"{'engine':<12}{'ms a unit and worker':>22}{'range':>18}{'seconds once':>15}")
    for engine in arguments.engines:
        workers = 1 if engine == "local" else arguments.workers
        slopes: list[float] = []
        once: list[float] = []
        for _ in range(1 if arguments.quick else arguments.repeats):
            short, long = (seconds_of(engine, units, workers) for units in (few, many))
            slopes.append(1000 * workers * (long - short) / (many - few))
            once.append(short - few * (long - short) / (many - few))
        spread = f"{min(slopes):.0f} to {max(slopes):.0f}"
        print(f"{engine:<12}{median(slopes):>22.0f}{spread:>18}{median(once):>15.1f}", flush=True)


if __name__ == "__main__":
    main()
