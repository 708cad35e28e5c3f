"""Listing of TFRecord files: the places of their records, by the lengths alone."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lth.data.listing import UNKNOWN, Listing, Source
from lth.data.listings.names import Numbered, escaped
from lth.data.sources.files import unreadable
from lth.data.tfrecord import record_spans
from lth.errors import DataError

log = logging.getLogger("lth")

# A file belongs to the part whose name is a word of its own; the first test part that is there is the test set.
TRAINS = ("train", "training")
TESTS = ("test", "val", "validation", "valid")
WORDS = re.compile(r"[a-z]+")
NUMBERED = re.compile(r"(.*-)\d{1,9}-of-(\d{1,9})", re.DOTALL)  # train-00003-of-01024
LABELS = "label.labels.txt"  # that TensorFlow Datasets writes beside its files
LONGEST = 1 << 24
PARTS = "Files are told apart by the words train, test, val or validation in their names."


Spans = Callable[[Sequence[str]], list[np.ndarray]]


def spans_here(files: Sequence[str]) -> list[np.ndarray]:
    """Returns offset and size of the records of each file, int64 (n,2)."""
    return [record_spans(path) for path in files]


def list_tfrecord(rest: str, spans: Spans = spans_here) -> Source:
    """Returns the records of the files that match the pattern `rest`, in the order of the files' names.

    Labels are UNKNOWN until a record is read. `spans` walks through the files, here or elsewhere. Class names are those
    of a `label.labels.txt` beside the files. Raises DataError where nothing matches, files belong to no part or are
    damaged; MissingExtraError without google-crc32c.
    """
    pattern = os.path.abspath(os.path.expanduser(rest))
    files = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path)) if rest else []
    if not files:
        cure = "Write tfrecord:PATTERN, such as tfrecord:data/*.tfrecord*, quoted against the shell."
        raise DataError("no file matches", at="data.source", value=f"tfrecord:{rest}", cure=cure)
    folder = os.path.commonpath([os.path.dirname(path) for path in files])
    parts = {part: _listing(paths, folder, spans(paths)) for part, paths in _parts(files, folder).items()}
    return Source("tfrecord", _class_names(Path(folder) / LABELS), parts)


def _tell_gaps(files: list[str]) -> None:
    """Returns nothing; warns of files that are missing by the numbers of the others: a pattern may leave them out."""
    found: dict[tuple[str, int], int] = {}
    for path in files:
        if name := NUMBERED.fullmatch(path):
            of = name[1], int(name[2])
            found[of] = found.get(of, 0) + 1
    for (name, total), count in found.items():
        if count < total:
            log.warning("%s: %d of %d files are there", escaped(os.fsencode(f"{name}*-of-{total}")), count, total)


def _parts(files: list[str], folder: str) -> dict[str, list[str]]:
    """Returns the files of "train" and, where there are any, of "test"."""
    _tell_gaps(files)
    found: dict[str, list[str]] = {}
    for path in files:
        words = set(WORDS.findall(os.path.basename(path).lower()))
        named = [word for word in (*TRAINS, *TESTS) if word in words]
        if len(named) > 1:
            raise DataError("its name says both train and test", at=escaped(os.fsencode(path)), cure=PARTS)
        found.setdefault("train" if named and named[0] in TRAINS else named[0] if named else "", []).append(path)
    if set(found) == {""}:
        return {"train": found[""]}
    if "" in found:
        raise DataError("its name says neither train nor test", at=escaped(os.fsencode(found[""][0])), cure=PARTS)
    if "train" not in found:
        raise DataError("there are no files of the training set", at=folder, value=sorted(found), cure=PARTS)
    tests = [word for word in TESTS if word in found]
    if len(tests) > 1:
        log.info("%s: files of %s are the test set, those of %s are not read", folder, tests[0], ", ".join(tests[1:]))
    return {"train": found["train"], **({"test": found[tests[0]]} if tests else {})}


def _listing(paths: list[str], folder: str, spans: list[np.ndarray]) -> Listing:
    counts = [len(one) for one in spans]
    if not sum(counts):
        raise DataError("the files hold no records", at=escaped(os.fsencode(paths[0])), value=f"{len(paths)} files")
    places = np.concatenate(spans)
    names = Numbered(
        tuple(escaped(os.fsencode(os.path.relpath(path, folder))) for path in paths), np.cumsum([0, *counts])
    )
    file = np.repeat(np.arange(len(paths), dtype=np.int32), counts)
    labels = np.full(len(places), UNKNOWN, np.int64)
    return Listing("tfrecord", tuple(paths), names, file, places[:, 0].copy(), places[:, 1].copy(), labels)


def _class_names(path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LONGEST:
            raise DataError("too large for a list of class names", at=path)
        names = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    except OSError as problem:
        raise unreadable(path, problem) from problem
    except UnicodeDecodeError as problem:
        raise DataError(f"not text: {problem}", at=path) from problem
    return names or None
