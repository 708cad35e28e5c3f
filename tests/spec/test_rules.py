"""The rules between keys: each is broken by one spec and kept by its neighbour."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec.documents import Document, smallest

from lth.errors import SpecError
from lth.spec import Spec
from lth.spec.problems import check
from lth.spec.rules import check_moments

SGD, STEP = {"name": "sgd", "lr": 0.1}, {"name": "step"}
ENTRY = {"train__entry": "mine.training:train"}


@pytest.mark.parametrize(
    ("wrong", "right", "line"),
    [
        (
            {"grid__rewind": ["0", "10ep", "11ep"]},
            {"grid__rewind": ["0", "9ep"]},
            'grid.rewind: not before the end of training, at train.epochs = 10 (found ["10ep", "11ep"]). '
            "Use moments before 10ep, or raise train.epochs",
        ),
        (
            {"train__schedule": {**STEP, "milestones": ["10ep"]}},
            {"train__schedule": {**STEP, "milestones": ["9ep"]}},
            'train.schedule.milestones: not before the end of training, at train.epochs = 10 (found ["10ep"]). '
            "Use moments before 10ep, or raise train.epochs",
        ),
        (
            {"train__schedule": {"name": "cosine", "warmup_epochs": 10}},
            {"train__schedule": {"name": "cosine", "warmup_epochs": 9}},
            "train.schedule.warmup_epochs: warm-up does not end before training does, at train.epochs = 10 (found 10). "
            "Set warmup_epochs below 10, or raise train.epochs",
        ),
        (
            {"train__optimizer": {**SGD, "nesterov": True}},
            {"train__optimizer": {**SGD, "nesterov": True, "momentum": 0.9}},
            "train.optimizer.nesterov: nesterov needs momentum (found true). Set momentum = 0.9",
        ),
        (
            {"grid__controls_at": "all"},
            {"grid__controls_at": "all", "grid__controls": ["reinit"]},
            'grid.controls_at: would be ignored: there are no controls (found "all"). '
            'Add controls = ["reinit"], or drop controls_at',
        ),
        (
            {"data__image_size": 96},
            {"data__image_size": 96, "data__source": "imagefolder:pictures"},
            "data.image_size: would be ignored: the source has images of one size (found 96). "
            "Drop it; only imagefolder:PATH, tfrecord:GLOB and package.module:function resize their images",
        ),
        (
            {"train__micro_batch": 24},
            {"train__micro_batch": 16},
            "train.micro_batch: does not divide data.batch_size = 64 (found 24). Set micro_batch = 16",
        ),
        (
            {"train__micro_batch": 128},
            {"train__micro_batch": 64},
            "train.micro_batch: does not divide data.batch_size = 64 (found 128). Set micro_batch = 64",
        ),
        (
            {"data__batch_size": 2**31 - 1, "train__micro_batch": 2**31 - 2},
            {"data__batch_size": 2**31 - 1, "train__micro_batch": 1},
            "train.micro_batch: does not divide data.batch_size = 2147483647 (found 2147483646). Set micro_batch = 1",
        ),
        (
            {"execute__data_parallel": 3},
            {"execute__data_parallel": 2, "train__micro_batch": 32},
            "execute.data_parallel: does not divide data.batch_size = 64 (found 3). Set data_parallel = 2",
        ),
        (
            {"execute__data_parallel": 4},
            {"execute__data_parallel": 4, "train__micro_batch": 16},
            "execute.data_parallel: batch norm would see other batches than in one process (found 4). "
            "Set train.micro_batch = 16, which goes through the network at once in either",
        ),
        (
            {"execute__data_parallel": 4, "train__micro_batch": 32},
            {"execute__data_parallel": 4, "train__micro_batch": 4},
            "execute.data_parallel: does not divide the 2 micro-batches of a step (64 / 32) (found 4). "
            "Set train.micro_batch = 16, or use fewer processes",
        ),
        (
            {"train__precision": "tf32", "execute__device": "cpu"},
            {"train__precision": "tf32", "execute__device": "cuda"},
            'train.precision: needs a GPU (found "tf32"). Set execute.device = "cuda", or precision = "fp32"',
        ),
        (
            {"execute__cuda_graphs": True, "execute__device": "cpu"},
            {"execute__cuda_graphs": True},
            'execute.cuda_graphs: would be ignored on the CPU (found true). Set execute.device = "cuda", or drop it',
        ),
        (
            {"execute__cuda_graphs": True, "train__compile": True},
            {"train__compile": True},
            "execute.cuda_graphs: cannot capture a compiled network (found true). "
            "Take one of train.compile and cuda_graphs",
        ),
        (
            {"execute__cuda_graphs": True, "train__micro_batch": 8},
            {"train__micro_batch": 8},
            "execute.cuda_graphs: cannot capture a step of several micro-batches (found true). "
            "Take one of train.micro_batch and cuda_graphs",
        ),
        (
            {"execute__cuda_graphs": True, **ENTRY},
            ENTRY,
            "execute.cuda_graphs: would be ignored: train.entry trains (found true). Drop it, or train.entry",
        ),
        (
            {"execute__data_parallel": 2, "train__micro_batch": 32, **ENTRY},
            {"train__micro_batch": 32, **ENTRY},
            "execute.data_parallel: would be ignored: train.entry trains (found 2). Drop it, or train.entry",
        ),
        (
            {"execute__entry_minutes": 60},
            {"execute__entry_minutes": 60, **ENTRY},
            "execute.entry_minutes: would be ignored: there is no train.entry (found 60.0). "
            "Add train.entry, or drop it",
        ),
    ],
)
def test_a_rule(wrong: Document, right: Document, line: str) -> None:
    assert check(smallest(**wrong)) == [line]
    assert isinstance(check(smallest(**right)), Spec)


@pytest.mark.parametrize("source", ["imagefolder:x", "tfrecord:data/*", "my.pets:make", "pets:make"])
def test_sources_that_make_images_of_one_size(source: str) -> None:
    assert isinstance(check(smallest(data__source=source, data__image_size=96)), Spec)


@pytest.mark.parametrize("source", ["mnist:data", "cifar10:data", "synthetic:x", "imagenet_tars:data", "a:b:c"])
def test_sources_that_do_not(source: str) -> None:
    (line,) = check(smallest(data__source=source, data__image_size=96))  # pyright: ignore[reportGeneralTypeIssues]
    assert line.startswith("data.image_size: would be ignored: the source has images of one size")


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(2, 64))
def test_what_a_cure_sets_is_valid(batch: int, micro: int, world: int) -> None:
    """Each cure is followed, which takes at most a few of them."""
    changes = {"data__batch_size": batch, "train__micro_batch": micro, "execute__data_parallel": world}
    for _ in range(4):
        found = check(smallest(**changes))
        if isinstance(found, Spec):
            break
        (key, value), *_ = re.findall(r"Set (?:train\.)?(micro_batch|data_parallel) = (\d+)", found[0])
        changes[f"{'train' if key == 'micro_batch' else 'execute'}__{key}"] = int(value)
    assert isinstance(found, Spec)


@pytest.mark.parametrize(("micro", "world"), [(24, 1), (32, 3)])
def test_a_rule_between_batches_is_not_tried_on_stand_ins(micro: int, world: int) -> None:
    document = smallest(data__batch_size="96", train__micro_batch=micro, execute__data_parallel=world)
    assert check(document) == ['data.batch_size: expected a whole number (found "96"). Write it without quotes: 96']


def test_moments_in_iterations_are_held_against_the_data() -> None:
    schedule = {**STEP, "milestones": ["2ep", "9ep60it"]}
    spec = Spec.model_validate(smallest(grid__rewind=["0", "500it"], train__schedule=schedule))
    check_moments(spec, 61)
    with pytest.raises(SpecError) as caught:
        check_moments(spec, 50, at="spec.toml")
    where, cure = "at step 500 = 10 x 50", "Use earlier moments, or raise train.epochs"
    assert caught.value.problems == [
        f'train.schedule.milestones: not before the end of training, {where} (found ["9ep60it"]). {cure}',
        f'grid.rewind: not before the end of training, {where} (found ["500it"]). {cure}',
    ]
