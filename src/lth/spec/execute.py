"""How the work is done: launcher, workers, device, saving; never what comes out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lth.spec.engines import Mpi, Spark
from lth.spec.recipe import Section
from lth.spec.slurm import Slurm
from lth.spec.template import Template
from lth.spec.values import Count, Flag, Number, Whole


class Execute(Section):
    """How the work is done; never changes results. The table of a launcher that is not chosen rests."""

    launcher: Literal["local", "processes", "slurm", "mpi", "spark", "template"] = "local"
    workers: Count | Literal["auto"] = "auto"
    tickets_per_worker: Count = 16
    device: Literal["auto", "cpu", "cuda"] = "auto"
    data_parallel: Count = 1
    cuda_graphs: Flag = False
    checkpoint_seconds: Number = Field(default=60.0, gt=0)
    checkpoint_epochs: Whole = 0
    entry_minutes: Number = Field(default=1440.0, gt=0)
    attempts: Count = 3
    resume_other_numerics: Flag = False
    loader: Literal["auto", "mmap", "pread"] = "auto"
    slurm: Slurm = Slurm()
    mpi: Mpi = Mpi()
    spark: Spark = Spark()
    template: Template | None = None
