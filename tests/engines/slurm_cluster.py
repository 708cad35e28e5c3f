"""A real SLURM cluster of four nodes on this machine, in a folder of its own; only munge belongs to the machine."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from engines.require import require

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
NODES = 4
START_SECONDS = 60.0
SETTINGS = """
ClusterName=lth
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
{parameters}
SlurmctldPort={port}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool.%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_delay=1
KillWait=5
MinJobAge=300
SlurmctldTimeout=10
SlurmdTimeout=10
InactiveLimit=0
Waittime=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
{more}
"""


@dataclass
class SlurmCluster:
    """A running cluster; `environment` is what its commands need."""

    folder: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def ask(self, *words: str) -> str:
        """Returns what a command of SLURM prints."""
        env = {**os.environ, **self.environment}
        return subprocess.run(words, env=env, check=True, capture_output=True, text=True, timeout=60).stdout

    def start_node(self, name: str) -> None:
        (self.folder / f"spool.{name}").mkdir(exist_ok=True)
        self.started.append(self._start("slurmd", "-D", "-N", name))

    def kill_node(self, name: str) -> None:
        """The daemon of a node dies at once; what it was running goes on, out of the cluster's sight."""
        pid = int((self.folder / f"slurmd.{name}.pid").read_text())
        os.kill(pid, signal.SIGKILL)

    def lose_node(self, name: str) -> None:
        """A node is gone at once, with its daemon and all that it was running; nobody is told."""
        self.kill_node(name)
        marks = {f"SLURMD_NODENAME={name}", f"SLURM_CONF={self.environment['SLURM_CONF']}"}
        for pid in _processes(marks):
            above = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if Path(f"/proc/{above}/comm").read_text().startswith("slurmstepd"):
                os.kill(above, signal.SIGKILL)  # first, for it would report the end of what it runs
            os.kill(pid, signal.SIGKILL)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [shutil.which(words[0]) or words[0], "-f", self.environment["SLURM_CONF"], *words[1:]]
        log = open(self.folder / f"{'-'.join(words[:1] + words[2:])}.out", "wb")  # noqa: SIM115
        with log:
            env = {**os.environ, **self.environment}
            return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def start(self) -> None:
        """Returns when all nodes are idle."""
        self.started.append(self._start("slurmctld", "-D"))
        for number in range(1, NODES + 1):
            self.start_node(f"n{number}")
        limit = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(subprocess.CalledProcessError):
                idle = self.ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split()
                if set(idle) == {f"n{number}" for number in range(1, NODES + 1)}:
                    return
            assert time.monotonic() < limit, self.said()
            time.sleep(0.1)

    def stop(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError, subprocess.TimeoutExpired):
            self.ask("scancel", "-u", getpass.getuser())
            self.wait_until(lambda: not self.ask("squeue", "-h"), 20)
        for process in reversed(self.started):
            process.terminate()
        for process in self.started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()

    def wait_until(self, holds: Callable[[], bool], seconds: float = 300.0) -> None:
        """Returns when `holds` does, at the latest after so many seconds: then the test fails."""
        limit = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < limit, self.said()
            time.sleep(0.2)

    def said(self) -> str:
        """Returns the end of the controller's log, and the queue."""
        log = self.folder / "slurmctld.log"
        queue = subprocess.run(["squeue", "-r"], env={**os.environ, **self.environment}, capture_output=True, text=True)
        return (log.read_text(errors="replace")[-3000:] if log.exists() else "") + queue.stdout + queue.stderr


@contextlib.contextmanager
def running_slurm(folder: Path, more: str = "", *, user_signal: bool = True) -> Iterator[SlurmCluster]:
    """Lends a cluster; `more` are further lines of slurm.conf. Needs root, as SLURM's daemons do."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None and not Path("/usr/sbin", name).exists()]
    words = f"NO SLURM ({missing or 'not root'}): apt-get install slurmctld slurmd slurm-client munge"
    require(not missing and os.geteuid() == 0, words)
    _munge()
    (folder / "state").mkdir(parents=True)
    port, first = _free_port(), _row_of_ports(NODES)
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    places = {"port": port, "nodes": NODES, "first": first, "last": first + NODES - 1}
    parameters = "SlurmctldParameters=preempt_send_user_signal" if user_signal else ""
    conf.write_text(SETTINGS.format(host=host, folder=folder, parameters=parameters, more=more, **places))
    cluster = SlurmCluster(folder, {"SLURM_CONF": str(conf)})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def _processes(marks: set[str]) -> list[int]:
    """Returns the processes whose environments have all these entries."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if marks <= set(path.read_text(errors="replace").split("\0")):
                found.append(int(path.parent.name))
    return found


def _munge() -> None:
    """Starts the machine's munge where it does not answer; it stays, for it belongs to the machine."""
    answers = ["munge", "-n"]
    if subprocess.run(answers, capture_output=True).returncode == 0:
        return
    for folder, mode in (("/run/munge", "0755"), ("/var/lib/munge", "0700"), ("/var/log/munge", "0700")):
        subprocess.run(["install", "-d", "-o", "munge", "-g", "munge", "-m", mode, folder], check=True)
    subprocess.run(["su", "-s", "/bin/sh", "munge", "-c", "/usr/sbin/munged"], check=False, capture_output=True)
    limit = time.monotonic() + 20
    while subprocess.run(answers, capture_output=True).returncode:
        assert time.monotonic() < limit, "munge does not answer"
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _row_of_ports(count: int) -> int:
    """Returns the first of so many free ports in a row."""
    for first in range(17000 + os.getpid() % 1000 * 8, 60000, count):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    """Yields a cluster of four nodes with two cores each."""
    with running_slurm(tmp_path_factory.mktemp("slurm") / "cluster") as cluster:
        yield cluster
