"""Shards give the batches of the same images in memory, bit for bit, however they are read."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data.shard_folders import decoded, write_shards

from lth.data import streamed
from lth.data.kernel import cut_by_numpy
from lth.data.loader import Part, Resident, Stream, Streamed, open_data
from lth.data.shards import open_shards
from lth.data.sources import Dataset, open_source
from lth.errors import DataError
from lth.spec.schema import Augment, Data, Resized, Validation

CPU = torch.device("cpu")
PARTS: tuple[Part, ...] = ("train", "validation", "test")
WAYS: dict[str, dict[str, Any]] = {
    "off": {},
    "moved": {"augment": Augment(crop=2, flip=True)},
    "cropped": {"crop_size": 5},
    "cropped, moved": {"crop_size": 5, "augment": Augment(crop=3, flip=True)},
    "resized": {"augment": Augment(resized=Resized(), flip=True)},
    "resized to a size": {"crop_size": 6, "augment": Augment(resized=Resized(scale=(0.3, 0.9)), flip=True)},
    "custom": {"augment": Augment(crop=2, custom="data.custom_examples:shifted")},
}


def settings(folder: Path, **how: Any) -> Data:
    return Data(source=f"shards:{folder}", batch_size=16, validation=Validation(count=40), **how)


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def codec(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(colours: Dataset, codec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parts = (colours.images, colours.labels), (colours.test_images, colours.test_labels)
    return write_shards(tmp_path_factory.mktemp("shards") / codec, *parts, colours.class_names, codec=codec)


def in_memory(colours: Dataset, codec: str) -> tuple[np.ndarray, np.ndarray]:
    pair = colours.images, colours.test_images
    return pair if codec == "raw" else (decoded(pair[0]), decoded(pair[1]))


def test_loaded_shards_are_the_images(folder: Path, colours: Dataset, codec: str) -> None:
    dataset = open_source(f"shards:{folder}")
    images, test_images = in_memory(colours, codec)
    assert np.array_equal(dataset.images, images)
    assert np.array_equal(dataset.test_images, test_images)
    assert np.array_equal(dataset.labels, colours.labels)
    assert dataset.class_names == colours.class_names
    assert dataset.dataset_id == open_shards(folder).dataset_id
    assert dataset.image_shape == open_shards(folder).image_shape == (8, 8, 3)


def test_small_shards_stay_in_memory_unless_a_way_is_named(folder: Path) -> None:
    data, size = settings(folder), (203 + 31) * 8 * 8 * 3
    assert isinstance(open_data(data, limit=size), Dataset)
    assert not isinstance(open_data(data, limit=size - 1), Dataset)
    assert not isinstance(open_data(data, "pread"), Dataset)


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("way", ["mmap", "pread"])
def test_the_same_bits_as_in_memory(folder: Path, way: str, name: str) -> None:
    data = settings(folder, **WAYS[name])
    resident = Resident(open_shards(folder).load(), data, 3, CPU)
    shards = open_shards(folder, way)
    for threads, last in ((1, False), (3, True)):
        images = Streamed(shards, data, 3, CPU, threads=threads, channels_last=last)
        assert (images.input_shape, images.classes) == (resident.input_shape, resident.classes)
        assert torch.equal(images.normalize.mean, resident.normalize.mean)
        assert torch.equal(images.normalize.deviation, resident.normalize.deviation)
        for step in (0, 1, 2, 9, 10, 4, 25):
            (x, y), (expected, labels) = (Stream(one, 5, 6).batch_at(step) for one in (images, resident))
            assert x.dtype == torch.float32
            assert x.is_contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
            assert torch.equal(x, expected)
            assert torch.equal(y, labels)
        for part in PARTS:
            pairs = zip(images.batches(part, 30), resident.batches(part, 30), strict=True)
            assert all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))
            assert torch.equal(images.labels(part), resident.labels(part))
        positions = torch.tensor([4, 0, 100])
        assert torch.equal(images.gather(positions, None), resident.gather(positions, None))


def test_one_stream_in_any_order_of_steps(folder: Path) -> None:
    data = settings(folder, augment=Augment(crop=2, flip=True))
    images = Streamed(open_shards(folder, "mmap"), data, 0, CPU, threads=2)
    resident = Stream(Resident(open_shards(folder).load(), data, 0, CPU), 1, 2)
    one, other = Stream(images, 1, 2), Stream(images, 3, 4)
    for step in [*range(12), 12, 12, 11, 30, 29, 31, 33, 0, *range(8, 22)]:
        other.batch_at(step)  # two streams of one data set share no buffer
        assert torch.equal(one.batch_at(step)[0], resident.batch_at(step)[0])


@pytest.mark.parametrize("world", [2, 4])
def test_shares_of_a_batch_make_the_batch(folder: Path, world: int) -> None:
    images = Streamed(open_shards(folder), settings(folder, **WAYS["resized"]), 0, CPU)
    whole = Stream(images, 1, 2)
    parts = [Stream(images, 1, 2, rank, world) for rank in range(world)]
    for step in (0, 3, 11):
        assert torch.equal(torch.cat([one.batch_at(step)[0] for one in parts]), whole.batch_at(step)[0])
    pieces = [x for rank in range(world) for x, _ in images.batches("train", 20, rank, world)]
    assert torch.equal(torch.cat(pieces), torch.cat([x for x, _ in images.batches("train", 20)]))


def test_the_kernel_changes_no_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = settings(folder, augment=Augment(crop=2, flip=True))
    shards = open_shards(folder)
    fast = Streamed(shards, data, 0, CPU)
    monkeypatch.setattr(streamed, "cut", lambda: ("numpy", cut_by_numpy))
    slow = Streamed(shards, data, 0, CPU)
    assert slow.backend == "numpy"
    for step in range(10):
        assert torch.equal(Stream(fast, 1, 2).batch_at(step)[0], Stream(slow, 1, 2).batch_at(step)[0])


def rings() -> int:
    return sum(one.name.startswith("lth-ring") for one in threading.enumerate())


def test_no_thread_outlives_its_stream(folder: Path) -> None:
    gc.collect()
    before = rings()
    images = Streamed(open_shards(folder), settings(folder), 0, CPU, threads=2)
    stream = Stream(images, 1, 2)
    stream.batch_at(0)
    assert rings() == before + 2
    pieces = images.batches("train", 10)
    next(pieces)
    assert rings() == before + 4
    pieces.close()
    del stream, pieces
    assert rings() == before
    assert [len(idle) for idle in images._idle.values()] == [1]  # the buffers are there for the next


def test_buffers_are_used_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    of: Callable[..., Any] = streamed.Batch.of
    monkeypatch.setattr(streamed.Batch, "of", lambda *how: made.append(1) or of(*how))
    images = Streamed(open_shards(folder), settings(folder), 0, CPU)
    for _ in range(3):
        stream = Stream(images, 1, 2)
        for step in range(40):
            stream.batch_at(step)
        del stream
    assert len(made) == images.depth + 1


def test_a_crop_that_does_not_fit(folder: Path) -> None:
    with pytest.raises(DataError, match=r"data\.crop_size: larger than the images of 8 x 8 pixels \(found 9\)"):
        Streamed(open_shards(folder), settings(folder, crop_size=9), 0, CPU)
