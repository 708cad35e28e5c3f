"""Claim: `lth --help` takes under 0.4 s, and `import lth` next to nothing beside Python's own start.

Each command is started `--n` times in turn with the others, so that a busy moment hits all of them; printed are
the median and the range of the wall time of the whole process. On a login node this is what a user waits for.

    python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from statistics import median

from hardware import describe

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import lth": [sys.executable, "-c", "import lth"],
    "lth --version": [sys.executable, "-m", "lth", "--version"],
    "lth --help": [sys.executable, "-m", "lth", "--help"],
}


def seconds(command: list[str]) -> float:
    """Returns the wall time in seconds of one run of `command`; raises CalledProcessError where it fails."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=15, help="starts of each command")
    parser.add_argument("--quick", action="store_true", help="one start each, to see that the script works")
    arguments = parser.parse_args()
    n = 1 if arguments.quick else arguments.n
    for command in COMMANDS.values():
        seconds(command)  # fills the file cache and __pycache__
    rounds = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(n)]
    print(describe("lth", "typer", "pydantic"))
    print(f"{'command':<16}{'median s':>10}{'range':>18}   n = {n}")
    for name in COMMANDS:
        times = [each[name] for each in rounds]
        print(f"{name:<16}{median(times):>10.3f}{f'{min(times):.3f} to {max(times):.3f}':>18}")


if __name__ == "__main__":
    main()
