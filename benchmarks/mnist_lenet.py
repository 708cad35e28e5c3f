"""Claim: a masked LeNet-300-100 on MNIST trains at least 3x as many examples a second with lth as with a plain
per-example loader, and more than with tensors in memory behind a DataLoader.

SGD 0.1, batch 128, one thread, CPU time. The same network with the same mask, side by side:

  per-example    one PIL image at a time -> tensor -> normalise, DataLoader without workers; every forward multiplies
                 the weights by the mask, layer by layer; torch.optim.SGD as it comes
  TensorDataset  the same network and optimizer; the images are one normalised tensor behind a DataLoader
  in memory      the same network and optimizer; every batch was cut beforehand and lies ready, never shuffled
  no update      forward and backward of the unmasked network on those batches, and nothing else: the bound for all
  lth            Resident, Stream, Trainee and train, as `lth run` uses them: shuffled batches gathered from resident
                 images, flat buffers, one mask multiply, fused SGD

The rounds interleave, so that a busy moment hits all of them; printed are medians and ranges over the rounds.

    python benchmarks/mnist_lenet.py FOLDER        # the folder with train-images-idx3-ubyte.gz and the other three
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from hardware import describe
from lth.data.loader import Resident, Stream
from lth.data.sources import open_source
from lth.models.registry import build
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks
from lth.spec.schema import Data, Model, Train
from lth.training.loop import train
from lth.training.trainee import Trainee

BATCH, LR, SPARSITY = 128, 0.1, 0.8
MEAN, STD = (0.1307,), (0.3081,)
Batch = tuple[Tensor, Tensor]


class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """MNIST one example at a time, as the usual image data sets and transforms hand it out."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[index])
        return normalise(to_tensor(image)), int(self.labels[index])


def to_tensor(image: Image.Image) -> Tensor:
    """Returns a grey image as a float tensor (1, height, width) in [0, 1]."""
    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    pixels = pixels.view(image.height, image.width, 1).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div(255)


def normalise(image: Tensor) -> Tensor:
    """Returns a copy of `image` (C, H, W) with the channels' mean taken off and divided by their deviation."""
    image = image.clone()
    mean = torch.as_tensor(MEAN, dtype=image.dtype).view(-1, 1, 1)
    std = torch.as_tensor(STD, dtype=image.dtype).view(-1, 1, 1)
    return image.sub_(mean).div_(std)


class MaskEveryForward(nn.Module):
    """A network whose pruned weights are set to zero again, layer by layer, before every forward."""

    def __init__(self, model: nn.Module, mask: Mapping[str, Tensor]):
        super().__init__()
        self.model, self.mask = model, {name: kept.float() for name, kept in mask.items()}

    def forward(self, x: Tensor) -> Tensor:
        for name, parameter in self.model.named_parameters():
            if name in self.mask:
                parameter.data *= self.mask[name]
        return self.model(x)


def plain(model: nn.Module, batches: Callable[[], Iterator[Batch]]) -> Iterator[float]:
    """Yields the loss of each step of the usual loop, over `batches` again and again."""
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    while True:
        for x, y in batches():
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            yield loss.item()


def no_update(model: nn.Module, batches: Sequence[Batch]) -> Iterator[float]:
    """Yields the loss of each forward and backward over `batches` again and again; the weights never change."""
    while True:
        for x, y in batches:
            model.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            yield loss.item()


def seconds(arm: Callable[[], float]) -> tuple[float, float]:
    """Returns the CPU seconds of this process while `arm` ran, and the loss it returned."""
    began = time.process_time()
    loss = arm()
    return time.process_time() - began, loss


def arms(folder: str, steps: int, rounds: int) -> dict[str, Callable[[], float]]:
    """Returns for each way of training what trains it `steps` steps further and returns its last loss."""
    dataset = open_source(f"mnist:{folder}")
    data = Data.model_validate({"source": f"mnist:{folder}", "batch_size": BATCH, "validation": {"fraction": 0.1}})
    resident = Resident(dataset, data, 0, torch.device("cpu"))

    def network() -> tuple[nn.Module, Mask]:
        model = build(Model(name="lenet_300_100"), resident.input_shape, resident.classes, 0)
        return model, magnitude_masks(model, [SPARSITY], scope="layerwise")[SPARSITY]

    def masked() -> nn.Module:
        model, mask = network()
        return MaskEveryForward(model, mask.tensors)

    loader = DataLoader(Images(dataset.images[..., 0], dataset.labels), BATCH, shuffle=True, drop_last=True)
    x, y = resident.train
    ready = list(zip(x.split(BATCH), y.split(BATCH), strict=True))[: resident.steps_per_epoch]
    resident_loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True, drop_last=True)
    per_example = plain(masked(), lambda: iter(loader))
    resident_tensors = plain(masked(), lambda: iter(resident_loader))
    in_memory = plain(masked(), lambda: iter(ready))

    model, mask = network()
    epochs = (rounds + 1) * steps // resident.steps_per_epoch + 1
    recipe = Train.model_validate({"epochs": epochs, "optimizer": {"name": "sgd", "lr": LR}})
    trainee = Trainee("lth", model, recipe, resident.steps_per_epoch, mask=mask)
    moments = train([trainee], Stream(resident, 0, 0), range(steps, (rounds + 2) * steps, steps), lambda: False)

    def with_lth() -> float:
        next(moments)
        return trainee.take_losses()[-1].item()

    def further(losses: Iterator[float]) -> Callable[[], float]:
        return lambda: [next(losses) for _ in range(steps)][-1]

    return {
        "per-example": further(per_example),
        "TensorDataset": further(resident_tensors),
        "in memory": further(in_memory),
        "no update": further(no_update(network()[0], ready)),
        "lth": with_lth,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="folder of the MNIST idx files, .gz or not")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=400, help="optimizer steps of each way in a round")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that the script works")
    arguments = parser.parse_args()
    rounds, steps = (1, 3) if arguments.quick else (arguments.rounds, arguments.steps)
    torch.set_num_threads(1)
    ways = arms(arguments.folder, steps, rounds)
    for way in ways.values():
        way()  # the first round is not counted
    timed = [{name: seconds(way) for name, way in ways.items()} for _ in range(rounds)]
    print(describe("lth", "torch", "numpy", "pillow"))
    print(f"examples/s by CPU time, one thread; {rounds} rounds of {steps} steps of {BATCH} each, n = {rounds}")
    print(f"{'':<14}{'median':>10}{'range':>22}{'last loss':>12}")
    for name in ways:
        rates = [steps * BATCH / each[name][0] for each in timed]
        span = f"{min(rates):,.0f} to {max(rates):,.0f}"
        print(f"{name:<14}{median(rates):>10,.0f}{span:>22}{timed[-1][name][1]:>12.4f}")
    for name in list(ways)[:-1]:
        ratios = [each[name][0] / each["lth"][0] for each in timed]
        print(f"lth / {name:<14}{median(ratios):>6.2f}x   ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
