"""Listing of ImageNet (ILSVRC2012) as it is distributed: a tar of a tar for each class, and a tar for validation."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import numpy as np

from lth.data.listing import Listing, Source
from lth.data.listings.folders import Images, Spans, tar_part
from lth.data.listings.imagenet_labels import validation_wnids
from lth.data.sources.class_folders import ENDINGS
from lth.data.sources.files import shown, tar_spans
from lth.errors import DataError

log = logging.getLogger("lth")

KIND = "imagenet_tars"
TRAIN, VALIDATION = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"
CLASS = re.compile(rb"(?:.*/)?(n\d{8})\.tar", re.DOTALL)
NUMBERED = re.compile(rb"(?:.*/)?(ILSVRC2012_val_(\d{8})\.JPEG)", re.DOTALL)


def list_imagenet_tars(rest: str) -> Source:
    """Returns the images of ILSVRC2012_img_train.tar and, where it is there, ILSVRC2012_img_val.tar in a folder.

    Nothing is unpacked: an image is a place in the outer file. Classes are the WordNet ids of the inner tars in the
    order of the alphabet, never the ids of the devkit. Raises DataError where files are missing, damaged or other ones.
    """
    folder = Path(os.path.abspath(os.path.expanduser(rest)))
    if not rest or not (folder / TRAIN).is_file():
        cure = f"Write {KIND}:DIR, DIR being the folder that holds {TRAIN} and {VALIDATION}."
        raise DataError(f"no {TRAIN} there", at="data.source", value=f"{KIND}:{rest}", cure=cure)
    train, wnids = _train(folder / TRAIN)
    parts = {"train": train}
    if (folder / VALIDATION).is_file():
        found, images = _validation(folder / VALIDATION, wnids)
        parts["test"] = tar_part(KIND, folder / VALIDATION, found, images)
    else:
        log.info("%s: there is no %s, and so no test part", folder, VALIDATION)
    return Source(KIND, wnids, parts)


def _train(path: Path) -> tuple[Listing, tuple[str, ...]]:
    """Returns the training images, named "train/n01440764/n01440764_18.JPEG", and the WordNet ids."""
    inner: dict[bytes, tuple[int, int]] = {}
    for name, span in tar_spans(path).items():
        if name.endswith(b"/"):
            continue
        found = CLASS.fullmatch(name)
        if not found or found[1] in inner:
            what = "is twice there" if found else "is not the tar of a class, such as n01440764.tar"
            raise DataError(what, at=f"{path}/{shown(name)}", cure=f"Take {TRAIN} as it is distributed.")
        inner[found[1]] = span
    if not inner:
        raise DataError("holds no tars of classes", at=path, cure=f"Take {TRAIN} as it is distributed.")
    classes = []
    for label, wnid in enumerate(sorted(inner)):
        spans = {b"train/%b/%b" % (wnid, name): span for name, span in _pictures(path, *inner[wnid]).items()}
        if not spans:
            raise DataError("holds no images", at=f"{path}/{shown(wnid)}.tar")
        classes.append(tar_part(KIND, path, spans, tuple((name, label) for name in sorted(spans))))
    return _joined(classes), tuple(shown(wnid) for wnid in sorted(inner))


def _joined(parts: list[Listing]) -> Listing:
    """Returns the listing of the images of `parts`, which lie in one file."""
    names = [name for part in parts for name in part.names]
    columns = zip(*((part.file, part.offset, part.size, part.label) for part in parts), strict=True)
    return Listing(KIND, parts[0].files, names, *map(np.concatenate, columns))


def _pictures(path: Path, begin: int, size: int) -> Spans:
    """Returns the places of the image files of an inner archive."""
    spans = tar_spans(path, begin, size)
    ours = {name: span for name, span in spans.items() if name.lower().endswith(ENDINGS)}
    others = [shown(name) for name in spans if name not in ours and not name.endswith(b"/")]
    if others:
        log.warning("%s, offset %d: %d files are no images by their names: %s", path, begin, len(others), others[:3])
    return ours


def _validation(path: Path, wnids: tuple[str, ...]) -> tuple[Spans, Images]:
    """Returns the places of the validation images by name, "val/ILSVRC2012_val_00000001.JPEG", and themselves."""
    numbers: dict[int, bytes] = {}
    spans: Spans = {}
    for name, span in tar_spans(path).items():
        if name.endswith(b"/"):
            continue
        found = NUMBERED.fullmatch(name)
        if not found or int(found[2]) in numbers:
            what = "is twice there" if found else "is not named as ILSVRC2012_val_00000001.JPEG is"
            raise DataError(what, at=f"{path}/{shown(name)}", cure=f"Take {VALIDATION} as it is distributed.")
        numbers[int(found[2])] = b"val/" + found[1]
        spans[b"val/" + found[1]] = span
    truth = validation_wnids(path.parent)
    if sorted(numbers) != list(range(1, len(truth) + 1)):
        what = f"{len(numbers)} images, numbered to {max(numbers, default=0)}, have {len(truth)} labels"
        raise DataError(what, at=path, cure="Take images and labels of the same set.")
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    if strange := sorted({wnid for wnid in truth if wnid not in labels}):
        what = f"{len(strange)} classes of the validation images are none of the training images"
        raise DataError(what, at=path, value=strange[:3], cure="Take all of the training set.")
    return spans, tuple((numbers[number], labels[truth[number - 1]]) for number in sorted(numbers))
