"""Rank, world and local rank, as launchers name them."""

from __future__ import annotations

import pytest

from lth.grid.place import Place, place

MPICH = {"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"}
OPEN = {"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1", "PMIX_RANK": "1"}
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "3"}
SCRIPT = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_LOCALID": "0"}  # of the script itself, outside any srun


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (MPICH, Place("MPICH", 2, 4, 0)),
        (OPEN, Place("Open MPI", 1, 2, 1)),
        (TORCHRUN, Place("torchrun", 3, 8, 3)),
        (SCRIPT, Place("SLURM", 0, 4, 0)),
        ({"PMIX_RANK": "5"}, Place("PMIx", 5, None, None)),
        ({**SCRIPT, **MPICH}, Place("MPICH", 2, 4, 0)),
        ({**SCRIPT, **OPEN}, Place("Open MPI", 1, 2, 1)),
        ({"PMI_RANK": "1", "PMI_SIZE": "4", "SLURM_PROCID": "1", "SLURM_LOCALID": "1"}, Place("MPICH", 1, 4, 1)),
        ({"RANK": "1"}, None),  # somebody's own variable
        ({"RANK": "1", **MPICH}, Place("MPICH", 2, 4, 0)),
        ({"PMI_RANK": "two", "PMI_SIZE": "4"}, None),
        ({"PMI_RANK": "-1"}, None),
        ({"PMI_RANK": "²"}, None),
    ],
)
def test_the_first_launcher_seen_counts(environment: dict[str, str], expected: Place | None) -> None:
    assert place(environment) == expected


def test_what_log_lines_say() -> None:
    assert str(Place("MPICH", 2, 4, 0)) == "rank 2 of 4"
    assert str(Place("PMIx", 5, None, None)) == "rank 5"


def test_torchrun_and_slurm_are_no_mpi() -> None:
    seen = {one.launcher: one.under_mpi for one in map(place, (MPICH, OPEN, TORCHRUN, SCRIPT)) if one}
    assert seen == {"MPICH": True, "Open MPI": True, "torchrun": False, "SLURM": False}
