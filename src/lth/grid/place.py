"""Where a process stands among those that one launcher has started, as its environment says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

TORCHRUN = "torchrun"
MPI = ("Open MPI", "MPICH", "PMIx")

# What each launcher names rank, world and local rank. The first that is seen counts: a job script of SLURM has
# variables of its own, which every rank that mpiexec starts in it inherits, and all of them say rank 0.
NAMES: dict[str, tuple[str, str, str]] = {
    TORCHRUN: ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "MPICH": ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    "SLURM": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "PMIx": ("PMIX_RANK", "PMIX_SIZE", "PMIX_LOCAL_RANK"),
}
LOCAL_SIZES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE")


@dataclass(frozen=True)
class Place:
    """One of `world` processes; `local_rank` counts those on this machine. Unknown numbers are None."""

    launcher: str
    rank: int
    world: int | None
    local_rank: int | None

    def __str__(self) -> str:
        return f"rank {self.rank}" + (f" of {self.world}" if self.world is not None else "")

    @property
    def under_mpi(self) -> bool:
        """Returns whether an mpiexec started this process, or what stands in for one."""
        return self.launcher in MPI


def place(environment: Mapping[str, str]) -> Place | None:
    """Returns the place that the first launcher seen in `environment` gives; None where none is seen.

    RANK counts for torchrun only together with WORLD_SIZE. What is no number is as if it were not there.
    """
    for launcher, names in NAMES.items():
        rank, world, local = (_number(environment.get(name, "")) for name in names)
        if rank is not None and (launcher != TORCHRUN or world is not None):
            if launcher == "MPICH" and local is None:  # srun --mpi=pmi2 gives PMI_RANK and its own local rank
                local = _number(environment.get(NAMES["SLURM"][2], ""))
            return Place(launcher, rank, world, local)
    return None


def ranks_here(environment: Mapping[str, str]) -> int:
    """Returns how many ranks an mpiexec has started on this machine; 1 where it does not say."""
    return max(_number(environment.get(name, "")) or 1 for name in LOCAL_SIZES)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
