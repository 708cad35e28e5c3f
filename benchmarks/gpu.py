"""Claim: on one NVIDIA GPU, tickets in lockstep cost nothing over single ones, masks cost nothing, CUDA graphs make
small networks several times faster, and all of it leaves every bit where it was.

Needs torch, numpy and this project (with pydantic and safetensors, which it depends on); made-up images; under eight
minutes. Prints a table in markdown with the name of the hardware, to be kept in docs/benchmarks.md. A row that needs
a GPU says "not measured" where there is none.

    PYTHONPATH=src python benchmarks/gpu.py    # --quick: a few tiny steps, to see that the script works, also on a CPU
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import torch
from torch import Tensor

from lth.models.registry import build
from lth.pruning.score import magnitude_masks
from lth.spec.recipe import Train
from lth.spec.schema import Model
from lth.training.checkpoint import state_of, weights_hash
from lth.training.graph import Graphs
from lth.training.numerics import set_numerics
from lth.training.trainee import Trainee

TRAFFIC = 404e6  # bytes of memory traffic an image of MobileNetV2 at 224, forward and backward, bf16
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# name: model, arguments, channels, size, classes, batch
NETWORKS: dict[str, tuple[str, dict[str, Any], int, int, int, int]] = {
    "MobileNetV2@224": ("mobilenet_v2", {}, 3, 224, 1000, 256),
    "ResNet-50@224": ("resnet_50", {}, 3, 224, 1000, 256),
    "ResNet-20": ("resnet_20", {}, 3, 32, 10, 128),
    "LeNet-300-100": ("lenet_300_100", {}, 1, 28, 10, 128),
}


class Bench:
    """What is common to all rows: how long to measure, how small to make everything, the table."""

    def __init__(self, quick: bool, minutes: float):
        self.quick, self.seconds, self.ends = quick, 0.0 if quick else 2.0, time.monotonic() + 60 * minutes
        self.rows: list[tuple[str, str, str]] = []

    def add(self, what: str, value: str, target: str = "") -> None:
        self.rows.append((what, value, target))
        print(f"| {what} | {value} | {target} |", flush=True)

    def recipe(self, **changes: Any) -> Train:
        optimizer = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4}
        return Train.model_validate({"epochs": 1_000_000, "optimizer": optimizer, **changes})

    def trainees(self, name: str, count: int, graphs: Graphs | None = None, **changes: Any) -> list[Trainee]:
        model_name, arguments, channels, size, classes, _ = NETWORKS[name]
        size = 32 if self.quick and size == 224 else size
        recipe, made = self.recipe(**changes), list[Trainee]()
        for _ in range(count):
            model = build(Model(name=model_name, arguments=arguments), (channels, size, size), classes, 0)
            mask = magnitude_masks(model, [0.8])[0.8]
            shared = {"channels_last": channels == 3, "graphs": graphs, "dropout_seed": 7}
            gradient = made[0].gradient if made else None
            made.append(Trainee("t", model.to(DEVICE), recipe, 1000, mask=mask, gradient=gradient, **shared))
        return made

    def batch(self, name: str, seed: int = 0) -> tuple[Tensor, Tensor]:
        _, _, channels, size, classes, batch = NETWORKS[name]
        size, batch = (32, 4) if self.quick and size == 224 else (size, 4 if self.quick else batch)
        draw = torch.Generator().manual_seed(seed)
        x = torch.randn(batch, channels, size, size, generator=draw).to(DEVICE)
        y = torch.randint(classes, (batch,), generator=draw).to(DEVICE)
        return x.contiguous(memory_format=torch.channels_last if channels == 3 else torch.contiguous_format), y

    def rate(self, step: Callable[[], None], examples: int) -> float:
        """Returns examples a second: the median of five stretches after a warm-up."""
        for _ in range(1 if self.quick else 5):
            step()
        rates = []
        for _ in range(1 if self.quick else 5):
            wait()
            began, steps = time.perf_counter(), 0
            while steps == 0 or (time.perf_counter() - began < self.seconds / 5 and steps < 10_000):
                for _ in range(1 if self.quick else 5):
                    step()
                    steps += 1
            wait()
            rates.append(examples * steps / (time.perf_counter() - began))
        return statistics.median(rates)

    def lockstep(self, name: str, count: int, **options: Any) -> float:
        """Returns ticket-examples a second of `count` tickets in turn on one batch."""
        graphs = Graphs() if options.pop("graphed", False) else None
        group, (x, y) = self.trainees(name, count, graphs, **options), self.batch(name)

        def step() -> None:
            for one in group:
                one.advance(x, y)
                one.losses.clear()

        return self.rate(step, count * len(y))


def wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def bandwidth() -> float:
    """Returns the bytes a second that a copy on the device reads and writes."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device=DEVICE)
    target, times = torch.empty_like(source), []
    for _ in range(12):
        wait()
        began = time.perf_counter()
        target.copy_(source)
        wait()
        times.append(time.perf_counter() - began)
    return 2 * source.numel() / statistics.median(times[2:])


def large(bench: Bench) -> None:
    """MobileNetV2 at 224: eager, compiled, graph; against the card's bandwidth and ResNet-50; lockstep."""
    name, peak = "MobileNetV2@224", bandwidth() if DEVICE.type == "cuda" else float("nan")
    eager = bench.lockstep(name, 1, precision="bf16")
    bench.add("copy bandwidth of the device", f"{peak / 1e12:.2f} TB/s" if peak == peak else "not measured")

    def shown(rate: float) -> str:
        of_peak = f", {rate * TRAFFIC / peak:.0%} of the bandwidth" if peak == peak else ""
        return f"{rate:,.0f} images/s{of_peak}"

    bench.add(f"{name}, bf16, channels_last, eager", shown(eager))
    if DEVICE.type == "cuda":
        bench.add(f"{name}, compiled", shown(bench.lockstep(name, 1, precision="bf16", compile=True)))
        bench.add(f"{name}, graph", shown(bench.lockstep(name, 1, precision="bf16", graphed=True)))
    else:
        bench.add(f"{name}, compiled and graph", "not measured: no GPU")
    resnet = bench.lockstep("ResNet-50@224", 1, precision="bf16")
    bench.add("MobileNetV2 over ResNet-50, both eager", f"{eager / resnet:.2f}x ({resnet:,.0f} images/s)", ">= 1.9x")
    for count in (2,) if bench.quick else (2, 4, 8):
        together = bench.lockstep(name, count, precision="bf16")
        bench.add(f"{name}, lockstep K = {count} over single", f"{together / eager:.3f}x", ">= 0.98x")


def small(bench: Bench) -> None:
    """ResNet-20 and LeNet, bound by the launching of kernels: lockstep, graphs, streams."""
    for name in ("ResNet-20", "LeNet-300-100"):
        single = bench.lockstep(name, 1)
        bench.add(f"{name}, batch {NETWORKS[name][-1]}, fp32, eager, K = 1", f"{single:,.0f} ticket-examples/s")
        for count in (2,) if bench.quick else (8, 32, 128):
            bench.add(f"{name}, eager, K = {count} over K = 1", f"{bench.lockstep(name, count) / single:.2f}x")
        if DEVICE.type != "cuda":
            bench.add(f"{name}, graphs and streams", "not measured: no GPU", ">= 3x")
            continue
        for count in (2,) if bench.quick else (1, 8, 32, 128):
            graphed = bench.lockstep(name, count, graphed=True)
            target = ">= 3x" if count == 128 else ""
            bench.add(f"{name}, graphs, K = {count} over eager K = 1", f"{graphed / single:.2f}x", target)
        bench.add(f"{name}, eager, 8 tickets on 4 streams over K = 1", f"{streams(bench, name) / single:.2f}x")


def streams(bench: Bench, name: str) -> float:
    """Returns ticket-examples a second of 8 tickets, each with memory of its own, on 4 CUDA streams."""
    group, (x, y) = [bench.trainees(name, 1)[0] for _ in range(8)], bench.batch(name)
    lanes = [torch.cuda.Stream() for _ in range(4)]

    def step() -> None:
        for number, one in enumerate(group):
            with torch.cuda.stream(lanes[number % 4]):
                one.advance(x, y)
                one.losses.clear()

    return bench.rate(step, len(group) * len(y))


def mask_and_determinism(bench: Bench) -> None:
    """The mask's share of a step; what deterministic kernels cost."""
    for name in ("MobileNetV2@224", "ResNet-20"):
        (one,), (x, y) = bench.trainees(name, 1, precision="bf16"), bench.batch(name)
        whole = len(y) / bench.rate(lambda one=one, x=x, y=y: one.advance(x, y), len(y))

        def masked(one: Trainee = one) -> None:
            assert one.mask is not None
            one.gradient.mul_(one.mask)

        alone = 1 / bench.rate(masked, 1)
        bench.add(f"{name}, bf16: mask / step", f"{alone / whole:.2%}", "<= 0.5 %")
    if DEVICE.type != "cuda":
        bench.add("cost of deterministic kernels", "not measured: no GPU")
        return
    for name in ("MobileNetV2@224", "ResNet-50@224", "ResNet-20"):
        exact = bench.lockstep(name, 1, precision="bf16")
        set_numerics(DEVICE, bench.recipe(deterministic=False))
        free = bench.lockstep(name, 1, precision="bf16", deterministic=False)
        set_numerics(DEVICE, bench.recipe())
        bench.add(f"{name}: not deterministic, autotuned, over deterministic", f"{free / exact:.2f}x")


def exactness(bench: Bench) -> None:
    """Whether reruns, lockstep and graphs leave the bits where they were; MobileNetV2 has dropout."""

    def trained(group: list[Trainee], name: str) -> list[str]:
        for step in range(3):
            x, y = bench.batch(name, step)
            for one in group:
                one.advance(x, y)
        return [weights_hash(state_of(one)) for one in group]

    for name in ("MobileNetV2@224", "ResNet-20", "LeNet-300-100"):
        alone = trained(bench.trainees(name, 1), name)
        bench.add(f"{name}: the same bits again", str(trained(bench.trainees(name, 1), name) == alone), "True")
        together = trained(bench.trainees(name, 3), name)
        bench.add(f"{name}: lockstep of 3 has the bits of one alone", str(together == 3 * alone), "True")
        if DEVICE.type == "cuda":
            graphed = trained(bench.trainees(name, 2, Graphs()), name)
            bench.add(f"{name}: graphs have the bits of eager", str(graphed == 2 * alone), "True")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few tiny steps, to see that the script works")
    parser.add_argument("--minutes", type=float, default=8.0, help="no new part is begun after so many")
    arguments = parser.parse_args()
    bench = Bench(arguments.quick, arguments.minutes)
    set_numerics(DEVICE, bench.recipe())
    device = torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else "no GPU"
    print(f"{date.today().isoformat()}; {device}; Python {sys.version.split()[0]}; torch {torch.__version__}\n")
    print("| what | measured | target |\n|---|---|---|")
    for part in (exactness, large, mask_and_determinism, small):
        if time.monotonic() > bench.ends:
            bench.add(part.__name__, "not measured: out of time")
            continue
        try:
            part(bench)
        except Exception as problem:  # one part that breaks on a new machine must not cost the rest of the lease
            bench.add(part.__name__, f"broke: {type(problem).__name__}: {str(problem).splitlines()[0][:120]}")


if __name__ == "__main__":
    main()
