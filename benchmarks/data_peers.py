"""The arms of other libraries in the comparison of loaders: each reads its own format, written before it is timed.

All store the same raw rows in files of at most 64 MiB (Arrow: about), give batches of the same random crops and flips,
and have two workers: processes, but for tf.data, which has two threads. The files hold each row once; an epoch lists
them as often as makes up its length, so that every arm finds as many bytes in the page cache. What streams its files
(webdataset, tf.data) shuffles them and then a buffer of rows; the others shuffle as they do by default.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import torch

from data_loading import Pixels, Rows

WORKERS = 2
FILE_BYTES = 1 << 26
BUFFER = 1000  # rows, of each worker, that a library shuffles which cannot fetch a row by its number


@dataclass(frozen=True)
class Peer:
    """A library: the package it is imported as, what writes rows in its format, and what yields batches of them."""

    package: str
    write: Callable[[Rows, Path], None]
    read: Callable[[Rows, Path], Iterator[Any]]


def stored(rows: Rows) -> Iterator[np.ndarray]:
    """Yields every row once, (h,w,3)."""
    return map(rows.row, range(min(rows.count, len(rows.shards.labels))))


def listings(rows: Rows) -> int:
    """Returns how often the files are listed in an epoch."""
    return max(1, round(rows.count / len(rows.shards.labels)))


def groups(rows: Rows) -> Iterator[list[np.ndarray]]:
    """Yields the rows of one file after the other."""
    size, held = FILE_BYTES // (rows.side * rows.side * 3), []
    for row in stored(rows):
        held.append(row)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


def cutter(rows: Rows) -> Callable[[Any], torch.Tensor]:
    """Returns what makes the random crop out of a row as an array or as bytes: the same as of torch's own arms."""
    pixels, shape = Pixels(rows), (rows.side, rows.side, 3)
    return lambda row: pixels.cut(np.frombuffer(row, np.uint8).reshape(shape) if isinstance(row, bytes) else row)


def endless(loader: Any) -> Iterator[Any]:
    """Yields the batches of a loader, epoch after epoch."""
    while True:
        yield from loader


def write_datasets(rows: Rows, folder: Path) -> None:
    """Returns nothing; writes Arrow files with one column of bytes."""
    import datasets  # pyright: ignore[reportMissingImports]

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict({"row": [row.tobytes() for row in stored(rows)]})
    table.save_to_disk(folder, max_shard_size=FILE_BYTES)


def read_datasets(rows: Rows, folder: Path) -> Iterator[Any]:
    """Yields batches of Hugging Face datasets, whose transform is given the rows of a batch at once."""
    import datasets  # pyright: ignore[reportMissingImports]

    cut, table = cutter(rows), datasets.load_from_disk(folder)
    table = datasets.concatenate_datasets([table] * listings(rows))
    datasets.logging.set_verbosity_error()  # it says that it cannot hash the transform, which only a cache would need
    table.set_transform(lambda batch: {"row": [cut(row) for row in batch["row"]]})
    loader = torch.utils.data.DataLoader(
        table, rows.batch, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )
    yield from (batch["row"] for batch in endless(loader))


def write_webdataset(rows: Rows, folder: Path) -> None:
    """Returns nothing; writes tar files with one member of bytes for each row."""
    import webdataset  # pyright: ignore[reportMissingImports]

    folder.mkdir()
    for number, group in enumerate(groups(rows)):
        with webdataset.TarWriter(str(folder / f"{number:05}.tar")) as tar:
            for index, row in enumerate(group):
                tar.write({"__key__": f"{number:05}-{index:05}", "bin": row.tobytes()})


def read_webdataset(rows: Rows, folder: Path) -> Iterator[Any]:
    """Yields batches of webdataset, whose workers share out the tar files and read them from end to end."""
    import webdataset  # pyright: ignore[reportMissingImports]

    cut, tars = cutter(rows), [str(path) for path in sorted(folder.glob("*.tar"))] * listings(rows)
    made = webdataset.WebDataset(tars, shardshuffle=len(tars), empty_check=False).shuffle(BUFFER)
    made = made.map(lambda sample: cut(sample["bin"])).repeat()
    yield from webdataset.WebLoader(made, batch_size=rows.batch, num_workers=WORKERS)


def write_litdata(rows: Rows, folder: Path) -> None:
    """Returns nothing; writes litdata's chunks, and lists them in their index by further names of the same files."""
    import litdata  # pyright: ignore[reportMissingImports]

    numbers = list(range(min(rows.count, len(rows.shards.labels))))
    how: dict[str, Any] = {"chunk_bytes": FILE_BYTES, "num_workers": 1, "start_method": "fork"}  # spawn would stay set
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # progress bars
        litdata.optimize(partial(plain, rows.arrays), numbers, str(folder), **how)
    index = json.loads((folder / "index.json").read_text())
    for time, chunk in [(time, chunk) for time in range(1, listings(rows)) for chunk in index["chunks"]]:
        name = f"again-{time}-{chunk['filename']}"
        (folder / name).hardlink_to(folder / chunk["filename"])
        index["chunks"] = [*index["chunks"], {**copy.deepcopy(chunk), "filename": name}]
    (folder / "index.json").write_text(json.dumps(index))


def plain(arrays: list[np.ndarray], number: int) -> np.ndarray:
    """Returns a row that is no view of a memory map."""
    for array in arrays:
        if number < len(array):
            return np.array(array[number])
        number -= len(array)
    raise IndexError(number)


def read_litdata(rows: Rows, folder: Path) -> Iterator[Any]:
    """Yields batches of litdata, which maps the chunks of a local folder."""
    import litdata  # pyright: ignore[reportMissingImports]

    data = litdata.StreamingDataset(str(folder), shuffle=True, drop_last=True, transform=cutter(rows))
    loader = litdata.StreamingDataLoader(data, batch_size=rows.batch, num_workers=WORKERS, persistent_workers=True)
    yield from endless(loader)


def write_streaming(rows: Rows, folder: Path) -> None:
    """Returns nothing; writes MDS files with one column of bytes."""
    import streaming  # pyright: ignore[reportMissingImports]

    with streaming.MDSWriter(out=str(folder), columns={"row": "bytes"}, size_limit=FILE_BYTES) as writer:
        for row in stored(rows):
            writer.write({"row": row.tobytes()})


def read_streaming(rows: Rows, folder: Path) -> Iterator[Any]:
    """Yields batches of MosaicML streaming, which draws an epoch of any length from the rows it has."""
    import streaming  # pyright: ignore[reportMissingImports]

    cut = cutter(rows)

    class Cut(streaming.StreamingDataset):
        def __getitem__(self, at: Any) -> Any:
            return cut(super().__getitem__(at)["row"])

    streaming.base.util.clean_stale_shared_memory()
    data = Cut(local=str(folder), shuffle=True, batch_size=rows.batch, epoch_size=rows.count)
    loader = streaming.StreamingDataLoader(
        data, batch_size=rows.batch, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )
    yield from endless(loader)


def write_tensorflow(rows: Rows, folder: Path) -> None:
    """Returns nothing; writes TFRecord files whose records are the bytes of rows."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    folder.mkdir()
    for number, group in enumerate(groups(rows)):
        with tf.io.TFRecordWriter(str(folder / f"{number:05}.tfrecord")) as writer:
            for row in group:
                writer.write(row.tobytes())


def read_tensorflow(rows: Rows, folder: Path) -> Iterator[Any]:
    """Yields batches of tf.data, two files read by turns, in two threads of its own."""
    import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

    def cut(record: Any) -> Any:
        image = tf.reshape(tf.io.decode_raw(record, tf.uint8), (rows.side, rows.side, 3))
        return tf.image.random_flip_left_right(tf.image.random_crop(image, (rows.crop, rows.crop, 3)))

    names = [str(path) for path in sorted(folder.glob("*.tfrecord"))] * listings(rows)
    files = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names)).repeat()
    records = files.interleave(tf.data.TFRecordDataset, WORKERS, num_parallel_calls=WORKERS, deterministic=False)
    made = records.shuffle(BUFFER).map(cut, WORKERS, deterministic=False)
    made = made.batch(rows.batch, drop_remainder=True).prefetch(WORKERS)
    options = tf.data.Options()
    options.threading.private_threadpool_size = WORKERS
    yield from made.with_options(options).as_numpy_iterator()


PEERS = {
    "HF datasets, 2 workers": Peer("datasets", write_datasets, read_datasets),
    "webdataset, 2 workers": Peer("webdataset", write_webdataset, read_webdataset),
    "litdata, 2 workers": Peer("litdata", write_litdata, read_litdata),
    "MosaicML streaming, 2 workers": Peer("streaming", write_streaming, read_streaming),
    "tf.data, 2 threads": Peer("tensorflow", write_tensorflow, read_tensorflow),
}
UNTRIED = "FFCV (not tried: no wheel, needs a compiler and OpenCV)"


def installed() -> dict[str, Peer]:
    """Returns the peers that are installed here."""
    return {name: peer for name, peer in PEERS.items() if importlib.util.find_spec(peer.package)}


def missing() -> list[str]:
    """Returns the names of known loaders that are not compared here."""
    return [*(name.partition(",")[0] for name in PEERS if name not in installed()), UNTRIED]


def distributions() -> list[str]:
    """Returns the names under which the peers here were installed."""
    known = packages_distributions()
    return [known[peer.package][0] for peer in installed().values()]


def peer_arms(rows: Rows, folder: Path, only: str) -> dict[str, Callable[[], Iterator[Any]]]:
    """Returns the arms of the peers here whose name holds `only`; their files have been written into `folder`."""
    found: dict[str, Callable[[], Iterator[Any]]] = {}
    for name, peer in installed().items():
        if only in name:
            peer.write(rows, folder / peer.package)
            found[name] = partial(peer.read, rows, folder / peer.package)
    if found:
        os.sync()  # or pages would still be written out while the first arms are timed
    return found
