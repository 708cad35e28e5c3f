"""Claim: on the same cores, lth trains tickets of LeNet-300-100 on MNIST at least 5x as fast as open_lth does end to
end, and at least 1.5x as fast as open_lth's training loop fed with batches that already lie in memory.

Wall time, all cores of this process's affinity: open_lth as it comes is one process with torch's own threads; lth is
one process of one thread a core, each with tickets in lockstep, as `lth run` with launcher "processes" has them. Both
train the same network under the same 80 % mask, SGD 0.1, batch 128. The arms run in turn, each in its own processes.

open_lth (the reference code of the lottery ticket papers) is not part of this project: give a checkout of it. Two
things of today's torch and numpy that stop it are changed in memory, not in its files. It needs torchvision,
which does not import beside a CPU build of torch; where it is missing a stand-in of a few lines, below, has the four
things open_lth uses of it on MNIST, with the same work an example: PIL image, tensor, normalise.

    python benchmarks/open_lth.py CHECKOUT MNIST_FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hardware import describe
from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.models.registry import build
from lth.pruning.score import magnitude_masks
from lth.spec.schema import Data, Model, Train
from lth.training.loop import train
from lth.training.trainee import Trainee
from mnist_lenet import normalise, to_tensor

BATCH, TICKETS, WARM_UP = 128, 8, 20


def stand_in(folder: str) -> None:
    """Returns nothing; makes `import torchvision` work where it is not installed."""
    if importlib.util.find_spec("torchvision") is not None:
        return
    dataset = open_source(f"mnist:{folder}")

    class Compose:
        def __init__(self, parts: list[Callable[[Any], Any]]):
            self.parts = parts

        def __call__(self, value: Any) -> Any:
            for part in self.parts:
                value = part(value)
            return value

    def mnist(train: bool, **_: Any) -> types.SimpleNamespace:
        images, labels = (dataset.images, dataset.labels) if train else (dataset.test_images, dataset.test_labels)
        return types.SimpleNamespace(data=torch.tensor(images[..., 0]), targets=torch.tensor(labels))

    vision = types.ModuleType("torchvision")
    transforms = types.SimpleNamespace(Compose=Compose, ToTensor=lambda: to_tensor, Normalize=lambda **_: normalise)
    unused = types.SimpleNamespace(ResNet=torch.nn.Module)  # only named, when open_lth is imported
    datasets = types.SimpleNamespace(MNIST=mnist, CIFAR10=object)
    vision.__dict__.update(transforms=transforms, datasets=datasets, models=unused)
    sys.modules["torchvision"] = vision


class InMemory:
    """Batches cut beforehand, in the shape of open_lth's loader; never shuffled."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]):
        self.batches, self.iterations_per_epoch = batches, len(batches)

    def shuffle(self, seed: int | None) -> None: ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


class Timed(Exception):
    """Enough steps were taken."""


def theirs(checkout: str, folder: str, steps: int, in_memory: bool) -> float:
    """Returns the examples a second of open_lth's own training loop."""
    warnings.simplefilter("ignore")
    stand_in(folder)
    sys.path.insert(0, checkout)
    torch.nn.parallel.DistributedDataParallel = torch.nn.parallel.DataParallel  # its bases have another order today
    for gone, instead in (("product", np.prod),):
        setattr(np, gone, instead)
    from datasets import registry  # pyright: ignore[reportMissingImports]
    from foundations.hparams import DatasetHparams, TrainingHparams  # pyright: ignore[reportMissingImports]
    from models.initializers import kaiming_normal  # pyright: ignore[reportMissingImports]
    from models.mnist_lenet import Model as LeNet  # pyright: ignore[reportMissingImports]
    from platforms import local, platform  # pyright: ignore[reportMissingImports]
    from pruning.mask import Mask  # pyright: ignore[reportMissingImports]
    from pruning.pruned_model import PrunedModel  # pyright: ignore[reportMissingImports]
    from training.train import train as their_train  # pyright: ignore[reportMissingImports]

    platform._PLATFORM = local.Platform()
    network = LeNet.get_model_from_name("mnist_lenet_300_100", kaiming_normal)
    kept = magnitude_masks(network, [0.8], scope="layerwise", names=network.prunable_layer_names)[0.8].tensors
    model = PrunedModel(network, Mask({name: value.numpy().astype(np.float32) for name, value in kept.items()}))
    loader = registry.get(DatasetHparams(dataset_name="mnist", batch_size=BATCH))
    if in_memory:
        loader = InMemory(list(loader))
    seen: list[float] = []

    def count(*_: Any) -> None:
        seen.append(time.perf_counter())
        if len(seen) > WARM_UP + steps:
            raise Timed

    recipe = TrainingHparams(optimizer_name="sgd", lr=0.1, training_steps="40ep")
    with contextlib.suppress(Timed), tempfile.TemporaryDirectory() as output:
        their_train(recipe, model, loader, output, callbacks=[count])
    return steps * BATCH / (seen[-1] - seen[WARM_UP])


def ours(folder: str, steps: int) -> float:
    """Returns the ticket-examples a second of one worker of one thread, tickets in lockstep."""
    torch.set_num_threads(1)
    data = Data.model_validate({"source": f"mnist:{folder}", "batch_size": BATCH, "validation": {"count": 5000}})
    resident = Resident(open_source(data.source), data, 0, torch.device("cpu"))
    recipe = Train.model_validate({"epochs": 40, "optimizer": {"name": "sgd", "lr": 0.1}})
    group: list[Trainee] = []
    for _ in range(TICKETS):
        model = build(Model(name="lenet_300_100"), resident.input_shape, resident.classes, 0)
        mask = magnitude_masks(model, [0.8], scope="layerwise")[0.8]
        gradient = group[0].gradient if group else None
        group.append(Trainee("t", model, recipe, resident.steps_per_epoch, mask=mask, gradient=gradient))
    moments = train(group, Stream(resident, 0, 0), {WARM_UP, WARM_UP + steps}, lambda: False)
    next(moments)
    began = time.perf_counter()
    next(moments)
    return TICKETS * steps * BATCH / (time.perf_counter() - began)


def measured(arm: str, arguments: argparse.Namespace, count: int) -> float:
    """Returns the examples a second of `count` processes that run `arm` at the same time."""
    command = [sys.executable, __file__, arguments.checkout, arguments.folder, "--arm", arm]
    started = [
        subprocess.Popen([*command, "--steps", str(arguments.steps)], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    outputs = [one.communicate()[0] for one in started]
    if any(one.returncode for one in started):
        raise SystemExit(f"{arm} broke")
    return sum(float(output) for output in outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", help="folder of an unmodified open_lth checkout")
    parser.add_argument("folder", help="folder of the MNIST idx files, .gz or not")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--arm", choices=["open_lth", "in memory", "lth"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not (Path(arguments.checkout) / "open_lth.py").is_file():
        raise SystemExit(f"{arguments.checkout} is no checkout of open_lth (it holds no open_lth.py)")
    if arguments.arm:
        own, theirs_too = arguments.arm == "lth", arguments.arm == "in memory"
        rate = (
            ours(arguments.folder, arguments.steps)
            if own
            else theirs(arguments.checkout, arguments.folder, arguments.steps, theirs_too)
        )
        return print(rate)
    cores = len(os.sched_getaffinity(0))
    rounds = [
        {arm: measured(arm, arguments, cores if arm == "lth" else 1) for arm in ("open_lth", "in memory", "lth")}
        for _ in range(arguments.rounds)
    ]
    print(describe("lth", "torch", "numpy", "pillow"))
    print(f"ticket-examples/s by wall time on {cores} cores; {arguments.steps} steps of {BATCH}, n = {len(rounds)}")
    for arm in rounds[0]:
        rates = [each[arm] for each in rounds]
        print(f"{arm:<12}{median(rates):>10,.0f}   ({min(rates):,.0f} to {max(rates):,.0f})")
    for arm in ("open_lth", "in memory"):
        ratios = [each["lth"] / each[arm] for each in rounds]
        print(f"lth / {arm:<12}{median(ratios):>6.2f}x   ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
