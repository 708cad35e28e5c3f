"""Settings of every test: which tests run, where real data lies, one thread, repeatable examples."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["engines.slurm_cluster", "engines.spark_cluster", "small_disk"]

# Bit equality is promised for one thread count, and the test workers share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What a shell starts in the background ignores Ctrl-C, and hands that on to the commands that tests send one.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine is slow at random: no deadlines. Derandomised: the same examples on every machine.
settings.register_profile("lth", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("lth")


def everything() -> bool:
    """Returns whether the tests marked `long` run: with LTH_ALL=1."""
    return os.environ.get("LTH_ALL", "0") not in ("", "0")


def pytest_report_header() -> list[str]:
    long = "run" if everything() else "left out (LTH_ALL=1 runs them)"
    data = os.environ.get("LTH_TEST_DATA") or "UNSET: tests that need real data files are skipped"
    return [f"lth: long tests {long}", f"lth: LTH_TEST_DATA {data}"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if everything():
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Returns the folder of real data files named by LTH_TEST_DATA; skips the test when that is unset."""
    folder = os.environ.get("LTH_TEST_DATA")
    if not folder:
        pytest.skip("NO REAL DATA: set LTH_TEST_DATA to the folder that holds mnist/ and fashion-mnist/")
    return Path(folder).resolve()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the minutes of every part of `make test`: the checks before pytest, then each folder of tests."""
    before = os.environ.get("LTH_PARTS")
    if before is None:
        return
    seconds: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                folder = report.nodeid.split("/")[1] if report.nodeid.count("/") > 1 else "."
                seconds[folder] = seconds.get(folder, 0.0) + report.duration
    terminalreporter.section("minutes per part")
    terminalreporter.write(before)
    for folder, spent in sorted(seconds.items()):
        terminalreporter.write_line(f"{'tests/' + folder:<18} {spent / 60:5.1f} min")
