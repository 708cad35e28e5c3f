"""Claim: masks cost next to nothing, and tickets trained in lockstep by lth pass more examples a second than the same
networks trained one by one the usual way (benchmarks/plain.py: eager, NCHW, default SGD, mask before every forward).

One thread, CPU time, made-up images; the arms of a comparison interleave, printed are medians over the rounds and the
range of the rounds' ratios. Both sides get the same batches from the same stream: gathered, cropped, flipped; the
usual way once for every ticket, lth once for all.

    python benchmarks/training.py              # about ten minutes; --only mask, update, tickets, decode for a part
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hardware import describe
from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.models.registry import build
from lth.pruning.score import magnitude_masks
from lth.spec.schema import Data, Model, Train
from lth.training.loop import Batches, train
from lth.training.numerics import keep_freed_memory
from lth.training.precision import channels_last
from lth.training.recipe import update
from lth.training.trainee import Trainee
from plain import Plain

TICKETS = 4
CPU = torch.device("cpu")
Arm = Callable[[], None]
# name: model, arguments, image size, channels, batch
NETWORKS: dict[str, tuple[str, dict[str, Any], int, int, int]] = {
    "LeNet-300-100": ("lenet_300_100", {}, 28, 1, 128),
    "ResNet-20": ("resnet_20", {}, 32, 3, 128),
    "MobileNetV2@32": ("mobilenet_v2", {"stem_stride": 1}, 32, 3, 64),
    "MobileNetV2@96": ("mobilenet_v2", {}, 96, 3, 32),
}


class Bench:
    """A network of NETWORKS, its data, and tickets of it to train either way."""

    def __init__(self, name: str, quick: bool = False):
        self.name, (model, arguments, size, channels, batch) = name, NETWORKS[name]
        self.batch = 4 if quick else batch
        source = f"synthetic:examples={8 * self.batch},test_examples=10,size={size},channels={channels},classes=10"
        augment = {"crop": 4, "flip": True} if channels == 3 else {}
        self.data = Data.model_validate(
            {"source": source, "batch_size": self.batch, "validation": {"count": self.batch}, "augment": augment}
        )
        self.model, self.dataset = Model(name=model, arguments=arguments), open_source(source)

    def stream(self, last: bool) -> Stream:
        return Stream(Resident(self.dataset, self.data, 0, CPU, channels_last=last), 0, 0)

    def network(self) -> torch.nn.Module:
        resident_shape = (self.dataset.images.shape[3], *self.dataset.images.shape[1:3])
        return build(self.model, resident_shape, 10, 0)

    def recipe(self, **changes: Any) -> Train:
        optimizer = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
        return Train.model_validate({"epochs": 100_000, "optimizer": optimizer, **changes})

    def trainees(self, count: int, sparsity: float | None = 0.8, **changes: Any) -> list[Trainee]:
        recipe, made = self.recipe(**changes), list[Trainee]()
        for _ in range(count):
            model = self.network()
            mask = None if sparsity is None else magnitude_masks(model, [sparsity])[sparsity]
            gradient = made[0].gradient if made else None
            last = channels_last(model, recipe)
            made.append(Trainee("t", model, recipe, 7, mask=mask, channels_last=last, gradient=gradient))
        return made

    def plain(self, precision: str = "fp32") -> Plain:
        model = self.network()
        return Plain(model, magnitude_masks(model, [0.8])[0.8].tensors, 0.01, 0.9, precision)


def cpu_seconds(arm: Arm) -> float:
    began = time.process_time()
    arm()
    return time.process_time() - began


def compare(arms: dict[str, Arm], rounds: int) -> dict[str, list[float]]:
    """Returns the CPU seconds of each arm in each round, after one round that is not counted."""
    for arm in arms.values():
        arm()
    timed = [{name: cpu_seconds(arm) for name, arm in arms.items()} for _ in range(rounds)]
    return {name: [each[name] for each in timed] for name in arms}


def row(what: str, ratios: list[float], target: str, shown: str = "x") -> None:
    scale, unit = (100, " %") if shown == "%" else (1, "x")
    span = f"{min(ratios) * scale:.3g} to {max(ratios) * scale:.3g}"
    print(f"{what:<66}{median(ratios) * scale:>9.3g}{unit:<3}{span:>20}   {target}", flush=True)


def advance(group: list[Trainee], batches: Batches, steps: int) -> None:
    """Returns nothing; the loop of `lth run`, for so many steps."""
    next(train(group, batches, {group[0].step + steps}, lambda: False))


def mask_cost(name: str, target: str, rounds: int, steps: int) -> None:
    """Prints what the mask adds to a step, over forward and backward.

    That is the gradient's way into its buffer with the mask less that without: from the parts of real steps,
    of a masked and a dense network in turn on the same batches.
    """
    bench, shares = Bench(name, steps < 8), []
    masked, dense, stream = bench.trainees(1)[0], bench.trainees(1, sparsity=None)[0], bench.stream(last=True)
    spent: dict[tuple[Trainee, str], float] = {}
    latest = 0.0

    for _ in range(rounds + 1):
        spent.clear()
        for _ in range(steps):
            x, y = stream.batch_at(masked.step)
            for one in (masked, dense):

                def clock(part: str, one: Trainee = one) -> None:
                    nonlocal latest
                    spent[one, part] = spent.get((one, part), 0.0) + time.process_time() - latest
                    latest = time.process_time()

                latest = time.process_time()
                one.advance(x, y, clock)
        added = spent[masked, "mask"] - spent[dense, "mask"]
        shares.append(2 * added / sum(spent[one, part] for one in (masked, dense) for part in ("forward", "backward")))
    row(f"mask / (forward + backward), {name}, batch {bench.batch}", shares[1:], target, "%")


def update_cost(rounds: int, steps: int) -> None:
    """Prints what update and mask cost the usual way over what they cost here.

    Here the mask is one more multiplication of the flat gradient, which is more than a step pays for it.
    """
    bench = Bench("MobileNetV2@32", steps < 8)
    (one,), usual, stream = bench.trainees(1), bench.plain(), bench.stream(last=False)
    usual.advance(*stream.batch_at(0))

    def plain() -> None:
        for _ in range(steps):
            usual.optimizer.step()
            usual.apply_mask()

    def ours() -> None:
        assert one.mask is not None
        for _ in range(steps):
            one.gradient.mul_(one.mask)
            update(one.weights, one.gradient, one.state, 0.01, one.recipe.optimizer, one.flat.decayed)

    timed = compare({"plain": plain, "lth": ours}, rounds)
    ratios = [a / b for a, b in zip(timed["plain"], timed["lth"], strict=True)]
    row("optimizer + mask, MobileNetV2: default SGD + mask loop / lth", ratios, ">= 2x")


def tickets(name: str, precision: str, target: str, rounds: int, steps: int) -> None:
    """Prints ticket-examples a second of lockstep training over those of the usual way, one by one.

    Each side in processes of its own, for lth has the C library keep freed memory, which would serve both.
    """
    command = [sys.executable, __file__, "--arm", name, precision, str(steps)]
    rates: dict[str, list[float]] = {"plain": [], "lth": []}
    for _ in range(rounds):
        for side, found in rates.items():
            found.append(float(subprocess.run([*command, side], stdout=subprocess.PIPE, check=True).stdout))
    ratios = [b / a for a, b in zip(rates["plain"], rates["lth"], strict=True)]
    batch = NETWORKS[name][-1] if steps > 1 else 4
    what = f"{name}, {precision}, K = {TICKETS}, batch {batch} ({median(rates['lth']):,.0f} ticket-examples/s)"
    row(f"{what} / eager NCHW fp32", ratios, target)


def one_side(name: str, precision: str, steps: int, side: str) -> float:
    """Returns the ticket-examples a second of one side of `tickets`, by CPU time."""
    bench = Bench(name, steps == 1)

    if side == "lth":
        keep_freed_memory()
        group, batches = bench.trainees(TICKETS, precision=precision), bench.stream(last=True)
        arm = partial(advance, group, batches, steps)
    else:
        usual, batches = [bench.plain() for _ in range(TICKETS)], bench.stream(last=False)

        def arm() -> None:
            for one in usual:
                for step in range(steps):
                    one.advance(*batches.batch_at(step))

    arm()
    return TICKETS * steps * bench.batch / cpu_seconds(arm)


class FromJpeg:
    """The batches of a stream, every image decoded from JPEG each time it is asked for; `decodes` counts them."""

    def __init__(self, stream: Stream, images: np.ndarray):
        self.stream, self.decodes = stream, 0
        self.files = []
        for image in images:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "JPEG", quality=90)
            self.files.append(buffer.getvalue())

    def batch_at(self, step: int) -> tuple[Tensor, Tensor]:
        size, resident = self.stream.resident.data.batch_size, self.stream.resident
        epoch, at = divmod(step, resident.steps_per_epoch)
        ids = self.stream.ids(epoch)[at * size : (at + 1) * size]
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(self.files[one]))) for one in ids])
        self.decodes += len(ids)
        x = resident.normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        return x.contiguous(memory_format=resident.layout), self.stream.batch_at(step)[1]


def decodes(rounds: int, steps: int) -> None:
    """Prints decodes and CPU time of 8 tickets in lockstep and of 8 separate runs, every image decoded from JPEG."""
    bench = Bench("MobileNetV2@96", steps == 1)
    batches = FromJpeg(bench.stream(last=True), bench.dataset.images)
    group, alone = bench.trainees(8), bench.trainees(8)
    counted: dict[str, int] = {}

    def run(name: str, groups: list[list[Trainee]]) -> None:
        before = batches.decodes
        for one in groups:
            advance(one, batches, steps)
        counted[name] = batches.decodes - before

    arms = {"lth": lambda: run("lth", [group]), "alone": lambda: run("alone", [[one] for one in alone])}
    timed = compare(arms, rounds)
    ratios = [a / b for a, b in zip(timed["alone"], timed["lth"], strict=True)]
    row(
        f"decodes, K = 8: {counted['alone']} apart, {counted['lth']} in lockstep",
        [counted["alone"] / counted["lth"]],
        "8x",
    )
    row("CPU time of the same: 8 runs apart / lockstep, MobileNetV2@96", ratios, "reported")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["mask", "update", "tickets", "decode"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a step or two, to see that the script works")
    parser.add_argument("--arm", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.arm:
        name, precision, steps, side = arguments.arm
        return print(one_side(name, precision, int(steps), side))
    keep_freed_memory()
    rounds, scale = (1, 0) if arguments.quick else (arguments.rounds, 1)
    print(describe("lth", "torch", "numpy", "pillow"))
    print(f"one thread, CPU time, n = {rounds} rounds; medians, then the range of the rounds, then the target")
    if "mask" in arguments.only:
        for name, target, steps in (
            ("LeNet-300-100", "<= 3 %", 300), ("ResNet-20", "<= 0.1 %", 10), ("MobileNetV2@32", "<= 0.5 %", 8),
        ):  # fmt: skip
            mask_cost(name, target, rounds, steps * scale or 2)
    if "update" in arguments.only:
        update_cost(rounds, 40 * scale or 2)
    if "tickets" in arguments.only:
        tickets("ResNet-20", "fp32", ">= 1.25x", rounds, 3 * scale or 1)
        tickets("ResNet-20", "bf16", ">= 1.8x", rounds, 3 * scale or 1)
        tickets("MobileNetV2@96", "fp32", ">= 1.6x", rounds, 3 * scale or 1)
    if "decode" in arguments.only:
        decodes(rounds, 2 * scale or 1)


if __name__ == "__main__":
    main()
