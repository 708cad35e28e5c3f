"""Reads batches of shards in a process that a bus error may end: reading_program.py DIR WAY; a line a batch."""

from __future__ import annotations

import sys

import torch

from lth.data.loader import Stream, Streamed
from lth.data.shards import open_shards
from lth.errors import DataError
from lth.spec.schema import Data, Validation

folder, way = sys.argv[1:]
data = Data(source=f"shards:{folder}", batch_size=16, validation=Validation(count=40))
stream = Stream(Streamed(open_shards(folder, way), data, 0, torch.device("cpu"), threads=2), 1, 2)
step = 0
try:
    while step < 100_000:
        stream.batch_at(step)
        step += 1
        print(step, flush=True)
except DataError as problem:
    print(problem, flush=True)
    sys.exit(2)
