"""Readers of CIFAR's batch files, the binary and the Python version (Krizhevsky, "CIFAR-10 and CIFAR-100 datasets")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lth.data.sources.pickled import array_of, read_pickle
from lth.errors import DataError

SIDE, CHANNELS = 32, 3
PIXELS = SIDE * SIDE * CHANNELS
SAME_SET = "Take files of one distribution of this set."

Batch = tuple[np.ndarray, np.ndarray]


def read_records(content: bytes, at: str, ceilings: Sequence[int]) -> Batch:
    """Returns images uint8 (n,32,32,3) and labels (n,) of a binary batch.

    A record is one byte for each label, the last of which counts, then the red, green and blue plane; label i is below
    `ceilings[i]`. Raises DataError, with the offset of the record, for a record that is cut or a label out of range.
    """
    size = len(ceilings) + PIXELS
    whole, over = divmod(len(content), size)
    if over or not whole:
        what = f"cut short: record {whole} has {over} bytes, not {size}"
        raise DataError(what, at=f"{at}, offset {whole * size}", cure="Fetch the file again.")
    records = np.frombuffer(content, np.uint8).reshape(whole, size)
    for column, classes in enumerate(ceilings):
        wrong = np.flatnonzero(records[:, column] >= classes)
        if len(wrong):
            offset, found = wrong[0] * size + column, int(records[wrong[0], column])
            raise DataError(
                f"a label outside 0..{classes - 1}", at=f"{at}, offset {offset}", value=found, cure=SAME_SET
            )
    return _upright(records[:, len(ceilings) :]), records[:, len(ceilings) - 1].astype(np.int64)


def read_pickled(content: bytes, at: str, key: str, classes: int) -> Batch:
    """Returns images uint8 (n,32,32,3) and labels (n,) of a batch of the Python version: its `data` and its `key`.

    Raises DataError for a file that is not such a batch, or whose parts do not fit each other.
    """
    batch = _named(content, at)
    rows, labels = array_of(batch.get("data")), _labels(batch.get(key), classes)
    if rows is None or rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != PIXELS or not len(rows):
        found = None if rows is None else f"{rows.dtype} {rows.shape}"
        raise DataError(f"data is not a uint8 array (n,{PIXELS})", at=at, value=found, cure=SAME_SET)
    if labels is None:
        cure = f"{SAME_SET} It has: {', '.join(sorted(batch))[:200]}."
        raise DataError(f"{key} is not a list of whole numbers 0..{classes - 1}", at=at, cure=cure)
    if len(rows) != len(labels):
        raise DataError(f"{len(rows)} images have {len(labels)} labels", at=at, cure=SAME_SET)
    return _upright(rows), labels


def read_lines(content: bytes, at: str, key: str) -> list[str]:
    """Returns the class names in a text file, one a line; `key` is not needed."""
    try:
        return [line.strip() for line in content.decode().splitlines() if line.strip()]
    except UnicodeDecodeError as problem:
        raise DataError(f"not text: {problem}", at=at) from problem


def read_pickled_names(content: bytes, at: str, key: str) -> list[str]:
    """Returns the class names that a meta file of the Python version lists under `key`. Raises DataError."""
    names = _named(content, at).get(key)
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        raise DataError(f"{key} is not a list of names", at=at, cure=SAME_SET)
    return [name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name for name in names]


def _named(content: bytes, at: str) -> dict[str, object]:
    """Returns the dictionary in a pickle, its keys as text."""
    found = read_pickle(content, at)
    if not isinstance(found, dict):
        raise DataError("not a dictionary", at=at, value=type(found).__name__, cure=SAME_SET)
    return {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in found.items()}


def _labels(value: object, classes: int) -> np.ndarray | None:
    """Returns labels int64 (n,) of a list or an array of whole numbers below `classes`; None for anything else."""
    labels = value if isinstance(value, list) else array_of(value)
    if isinstance(labels, list):
        # Compared as Python's numbers, which have any size.
        if not all(type(label) is int and 0 <= label < classes for label in labels):
            return None
    elif labels is None or labels.ndim != 1 or (len(labels) and not 0 <= labels.min() <= labels.max() < classes):
        return None
    return np.array(labels, np.int64)


def _upright(rows: np.ndarray) -> np.ndarray:
    """Returns images (n,32,32,3) of rows that hold three planes each."""
    return np.ascontiguousarray(rows.reshape(-1, CHANNELS, SIDE, SIDE).transpose(0, 2, 3, 1))
