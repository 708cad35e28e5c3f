"""Claim: the whole demo (500 tickets, controls, selection, confirmation on fresh seeds, report) takes at most
3 minutes on 2 cores after installation.

    python benchmarks/demo.py              # three whole demos; --runs 1 for one
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from hardware import describe

SPEC = Path(__file__).parents[1] / "examples" / "digits_lenet.toml"


def whole_demo(spec: Path, more: list[str]) -> tuple[float, dict[str, object]]:
    """Returns the wall seconds of `lth run` into an empty folder, and what its --json said."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "lth", "run", str(spec), "--into", f"{folder}/run", "--json", *more]
        began = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return time.perf_counter() - began, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="two tickets, to see that the script works")
    arguments = parser.parse_args()
    few = ["seeds=[0]", "grid.sparsities=[0.5]", "grid.rewind=['0']", "grid.controls=[]", "select.confirm_seeds=0"]
    more = [word for setting in few for word in ("--set", setting)] if arguments.quick else []
    print(describe("lth", "torch", "numpy", "scikit-learn"))
    found = [whole_demo(SPEC, more) for _ in range(1 if arguments.quick else arguments.runs)]
    seconds = [taken for taken, _ in found]
    print(f"tickets and controls: {found[0][1]['cells']}, failed: {found[0][1]['failed']}")
    span = f"{min(seconds):.1f} to {max(seconds):.1f}"
    print(f"wall seconds: median {median(seconds):.1f}, range {span}, n = {len(seconds)}")


if __name__ == "__main__":
    main()
