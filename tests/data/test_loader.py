from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from lth.data.loader import Part, Resident, Stream
from lth.data.order import fingerprint, permutation, rank_slice, stream_seed
from lth.data.sources import Dataset
from lth.errors import DataError
from lth.spec.schema import Augment, Data, Validation

CPU = torch.device("cpu")
PARTS: tuple[Part, ...] = ("train", "validation", "test")
BATCH = 16
MOVING = Augment(crop=2, flip=True)


def settings(augment: Augment | None = None, batch_size: int = BATCH, **validation: float) -> Data:
    held_out = Validation.model_validate(validation or {"count": 40})
    return Data(source="synthetic", batch_size=batch_size, validation=held_out, augment=augment or Augment())


def stream(dataset: Dataset, augment: Augment | None = None, *, seed: int = 0, **how: int) -> Stream:
    resident = Resident(dataset, settings(augment), seed, CPU, **how)
    return Stream(resident, stream_seed(seed, "order-dense"), stream_seed(seed, "augment-dense"))


def normal(dataset: Dataset, ids: np.ndarray) -> torch.Tensor:
    """Returns images by id, normalised in float64 from the definition."""
    mean, deviation = dataset.images.mean((0, 1, 2)), dataset.images.std((0, 1, 2))
    return torch.from_numpy(((dataset.images[ids] - mean) / deviation).transpose(0, 3, 1, 2))


def test_facts(colours: Dataset) -> None:
    resident = Resident(colours, settings(), 0, CPU)
    assert (resident.input_shape, resident.classes) == ((3, 8, 8), 5)
    assert (resident.train_examples, resident.steps_per_epoch) == (163, 10)


def test_parts_are_the_split_normalised_by_all_training_and_validation_images(colours: Dataset) -> None:
    resident = Resident(colours, settings(), 0, CPU)
    for (x, y), ids in ((resident.train, resident.split.train), (resident.validation, resident.split.validation)):
        assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
        torch.testing.assert_close(x.double(), normal(colours, ids), rtol=1e-6, atol=1e-6)
        assert y.tolist() == colours.labels[ids].tolist()
    assert resident.test[1].tolist() == colours.test_labels.tolist()
    both = torch.cat([resident.train[0], resident.validation[0]]).double()
    assert both.mean((0, 2, 3)).abs().max() < 1e-6
    assert (both.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-6
    assert resident.train[0] is resident.train[0]


def test_folds_change_the_split_but_no_pixel(colours: Dataset) -> None:
    parts = [Resident(colours, settings(folds=5), seed, CPU) for seed in range(5)]
    seen: dict[int, torch.Tensor] = {}
    for resident in parts:
        for (x, _), ids in ((resident.train, resident.split.train), (resident.validation, resident.split.validation)):
            for one, image in zip(ids.tolist(), x, strict=True):
                assert torch.equal(seen.setdefault(one, image), image)
    assert sorted(np.concatenate([resident.split.validation for resident in parts])) == list(range(203))


def test_an_epoch_is_a_prefix_of_its_permutation(colours: Dataset) -> None:
    batches = stream(colours)
    resident, steps = batches.resident, batches.resident.steps_per_epoch
    for epoch in (0, 1, 7):
        order = permutation(batches.order_seed, epoch, resident.train_examples)[: steps * BATCH]
        assert len(set(order.tolist())) == 160
        assert batches.ids(epoch).tolist() == resident.split.train[order].tolist()
        for at in range(steps):
            x, y = batches.batch_at(epoch * steps + at)
            expected = torch.from_numpy(order[at * BATCH : (at + 1) * BATCH])
            assert torch.equal(x, resident.train[0][expected])
            assert torch.equal(y, resident.train[1][expected])
            assert x.is_contiguous()


def test_rank_slices_of_a_batch_make_the_batch(colours: Dataset) -> None:
    x, y = stream(colours, MOVING).batch_at(3)
    for world in (1, 3, 4):
        parts = [rank_slice(BATCH, rank, world) for rank in range(world)]
        assert torch.equal(torch.cat([x[part] for part in parts]), x)
        assert torch.equal(torch.cat([y[part] for part in parts]), y)


@pytest.mark.parametrize("augment", [Augment(), MOVING])
def test_a_batch_is_a_function_of_its_step(colours: Dataset, augment: Augment) -> None:
    steps = [0, 9, 10, 11, 25]
    one = stream(colours, augment)
    forward = {step: one.batch_at(step) for step in steps}
    torch.manual_seed(99)
    again = stream(colours, augment)
    for step in reversed([*steps, 3, 17]):
        x, y = again.batch_at(step)
        if step in forward:
            assert torch.equal(x, forward[step][0])
            assert torch.equal(y, forward[step][1])


@pytest.mark.parametrize("augment", [Augment(), Augment(crop=3), Augment(flip=True), MOVING])
def test_images_kept_as_bytes_give_the_same_bits(colours: Dataset, augment: Augment) -> None:
    as_float, as_bytes = stream(colours, augment), stream(colours, augment, limit=1000)
    assert as_float.resident.as_float
    assert not as_bytes.resident.as_float
    for step in (0, 4, 10, 31):
        (x, y), (x_bytes, y_bytes) = as_float.batch_at(step), as_bytes.batch_at(step)
        assert x_bytes.dtype == torch.float32
        assert x.stride() == x_bytes.stride()
        assert torch.equal(x, x_bytes)
        assert torch.equal(y, y_bytes)
    for part in PARTS:
        whole = getattr(as_float.resident, part)
        for resident in (as_float.resident, as_bytes.resident):
            pieces = list(resident.batches(part, 7))
            assert max(len(piece) for piece, _ in pieces) == 7
            assert torch.equal(torch.cat([x for x, _ in pieces]), whole[0])
            assert torch.equal(torch.cat([y for _, y in pieces]), whole[1])
            assert torch.equal(getattr(resident, part)[0], whole[0])


def test_the_limit_counts_every_image(colours: Dataset) -> None:
    size = 4 * (203 + 31) * 3 * 8 * 8
    assert Resident(colours, settings(), 0, CPU, limit=size).as_float
    assert not Resident(colours, settings(), 0, CPU, limit=size - 1).as_float


def test_augmentation_depends_on_example_and_epoch_not_on_batch_or_order(colours: Dataset) -> None:
    one = stream(colours, MOVING)
    other = Stream(Resident(colours, settings(MOVING, batch_size=5), 0, CPU), 77, one.augment_seed)

    def epoch(of: Stream, number: int) -> dict[int, torch.Tensor]:
        steps = of.resident.steps_per_epoch
        images = torch.cat([of.batch_at(number * steps + at)[0] for at in range(steps)])
        return dict(zip(of.ids(number).tolist(), images, strict=True))

    first, second, later = epoch(one, 2), epoch(other, 2), epoch(one, 3)
    shared = first.keys() & second.keys()
    assert len(shared) > 140
    assert all(torch.equal(first[i], second[i]) for i in shared)
    moved_alike = sum(torch.equal(first[i], later[i]) for i in first.keys() & later.keys())
    assert moved_alike < 20  # 1 in 50 by chance


def test_the_border_is_black(colours: Dataset) -> None:
    batches = stream(colours, Augment(crop=7))
    x, _ = batches.batch_at(0)
    black = batches.resident.normalize(torch.zeros(3, 1, 1, dtype=torch.uint8))
    assert (x == black).all(1).any()


def test_streams_differ_and_fingerprints_say_so(colours: Dataset) -> None:
    resident = Resident(colours, settings(), 0, CPU)
    dense, ticket = (
        Stream(resident, stream_seed(0, f"order-{name}"), stream_seed(0, f"augment-{name}"))
        for name in ("dense", "ticket")
    )
    assert dense.fingerprint(0) == stream(colours).fingerprint(0) == fingerprint(dense.ids(0))
    marks = [one.fingerprint(epoch) for one in (dense, ticket) for epoch in range(3)]
    assert len(set(marks)) == 6
    assert dense.fingerprint(0) == marks[0]  # asking for other epochs in between changes nothing


def test_two_epochs_are_remembered(colours: Dataset) -> None:
    batches = stream(colours)
    kept = [batches.order.epoch(number) for number in (0, 0, 1, 1, 0, 2, 1)]
    assert [a is b for a, b in pairwise(kept)] == [True, False, True, False, False, False]
    assert kept[4] is kept[0]
    assert kept[6] is not kept[2]


def test_a_batch_larger_than_the_training_set(colours: Dataset) -> None:
    with pytest.raises(
        DataError, match=r"data\.batch_size: a batch is larger than the 163 training examples \(found 164"
    ):
        Resident(colours, settings(batch_size=164), 0, CPU)
    assert Resident(colours, settings(batch_size=163), 0, CPU).steps_per_epoch == 1


def test_a_crop_as_wide_as_the_image(colours: Dataset) -> None:
    with pytest.raises(DataError, match=r"data\.augment\.crop: the border is as wide"):
        Resident(colours, settings(Augment(crop=8)), 0, CPU)
