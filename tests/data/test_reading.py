from __future__ import annotations

import subprocess
import sys
import textwrap
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from data.record_files import message, write
from data.sources.cifar_files import archive

from lth.data.listing import Entry
from lth.data.listings import LISTINGS, open_listing
from lth.data.reading import READERS, read_rows
from lth.errors import DataError


def test_the_readers() -> None:
    kinds = {"imagefolder", "imagenet_tars", "tfrecord", "shards", "shards_jpeg", "pixels", "function"}
    assert set(READERS) == kinds
    assert set(LISTINGS) - {"cifar10", "cifar100", "mnist", "digits", "synthetic"} < kinds


def test_readers_and_entries_go_to_other_processes(tmp_path: Path) -> None:
    source = open_listing(f"imagefolder:{archive(tmp_path / 'x', {'train/a/1.png': b'1'}, 'w')}")
    for one in (*READERS.values(), *source.parts["train"].entries(np.arange(1))):
        assert ForkingPickler.dumps(one)


def test_a_row_that_is_no_square(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(5000))
    for size in (0, 11, 24):
        with pytest.raises(DataError, match=rf"x, offset 4096: {size} bytes are no square image"):
            read_rows(Entry("x#0", str(tmp_path / "x"), 4096, size, 0))


def test_listing_and_reading_need_no_torch(tmp_path: Path) -> None:
    """Nor Pillow, SciPy or Numba: a worker loads what it decodes with, and nothing more."""
    folder = archive(tmp_path / "x.tar", {"train/a/1.png": b"1"}, "w")
    records = write(tmp_path / "x.tfrecord", message(image=b"1", label=0))
    program = f"""
        import sys
        import numpy as np
        from lth.data.listings import open_listing
        from lth.data.reading import READERS
        for source in ("imagefolder:{folder}", "tfrecord:{records}", "synthetic"):
            for listing in open_listing(source).parts.values():
                READERS[listing.kind](listing.entries(np.arange(1))[0])
        print(sorted({{"torch", "PIL", "scipy", "numba", "sklearn"}} & set(sys.modules)))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
