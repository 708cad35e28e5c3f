"""What a worker keeps in memory between units: device, data, dense states, masks."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from pathlib import Path
from threading import Event
from typing import Any

from torch import Tensor, nn

from lth.data.loader import Images, Stream, images_of
from lth.data.order import stream_seed
from lth.data.shards import Shards
from lth.data.sources import Dataset
from lth.grid.unit import Cell, Checkpoint, Dense, Unit
from lth.grid.work import workers_here
from lth.models.prunable import layers, multiply_adds, prunable
from lth.models.registry import build
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude
from lth.pruning.threshold import masks
from lth.runs.attempt import new_attempt
from lth.runs.files import make_folder, read_json
from lth.runs.known import DAMAGED
from lth.runs.run import Run
from lth.spec.identity import unit_key
from lth.spec.rules import check_moments
from lth.spec.schema import Model
from lth.spec.step import Step
from lth.spec.values import decimal
from lth.training.checkpoint import checked_state, load_state
from lth.training.distributed import ALONE, Group
from lth.training.fit import Course
from lth.training.graph import Graphs
from lth.training.memory import Room, room
from lth.training.numerics import keep_freed_memory, numerics_class, pick_device, set_numerics
from lth.training.precision import channels_last
from lth.training.shape import Shape, shape
from lth.training.trainee import Timing, Trainee

log = logging.getLogger("lth")


class Workspace:
    """One worker's memory of one run. Everything here can be made again from the run directory and the data."""

    def __init__(self, run: Run, stop: Event, group: Group = ALONE):
        self.run, self.spec, self.stop = run, run.spec, stop
        self.group = group
        self.device = pick_device(run.spec.execute.device)
        set_numerics(self.device, run.spec.train)
        if self.device.type == "cpu":
            keep_freed_memory()
        self.attempt = new_attempt()
        self._seed: int | None = None
        self._memory: dict[Any, Any] = {}
        self._graphs = Graphs() if run.spec.execute.cuda_graphs and self.device.type == "cuda" else None
        self._slots: list[Trainee] = []  # captured steps, which later tickets board

    @property
    def dataset(self) -> Dataset | Shards:
        """Returns the data set; raises RunError where it is not the one the run was started on."""
        return self._shape.dataset

    @cached_property
    def channels_last(self) -> bool:
        """Returns whether images and weights lie with their channels last."""
        return channels_last(self._shape.model, self.spec.train)

    @cached_property
    def numerics(self) -> dict[str, str | int | float | bool]:
        """Returns the numerics class of all that is trained here."""
        return numerics_class(self.device, self.spec.train, channels_last=self.channels_last, world=self.group.world)

    @cached_property
    def costs(self) -> dict[str, int]:
        """Returns the multiply-adds of every layer that could be pruned, by parameter name."""
        return multiply_adds(self._shape.model, self._shape.input_shape)

    @cached_property
    def room(self) -> Room:
        """Returns how many tickets are expected to fit in memory together, beside the data that are in it now."""
        resident = self._memory["resident"]
        states = len(self.spec.grid.rewind) + bool(self.spec.grid.controls)
        return room(self._shape.model, resident, self.spec.train, states=states, sharers=workers_here(self.run))

    @cached_property
    def _shape(self) -> Shape:
        found = shape(self.spec)
        facts = {
            "dataset_id": found.dataset.dataset_id,
            "dataset": found.dataset.name,
            "train_examples": found.train_examples,
            "test_examples": len(found.dataset.test_labels),
            "classes": found.classes,
            "input_shape": list(found.input_shape),
            "steps_per_epoch": found.train_examples // self.spec.data.batch_size,
            "parameters": found.parameters,
            "prunable": sum(layer.size for layer in layers(found.model, self.spec.prune) if layer.excluded is None),
            "multiply_adds": sum(multiply_adds(found.model, found.input_shape).values()),
        }
        self.run.settle_facts(facts)
        return found

    def resident(self, seed: int) -> Images:
        """Returns the seed's split of the data: in memory on the device, or read from shards."""
        self._turn_to(seed)
        make = partial(images_of, self.dataset, self.spec.data, seed, self.device, channels_last=self.channels_last)
        return self._once("resident", make)

    def order(self, unit: Cell) -> str:
        """Returns the name of the unit's data stream: the dense run's, the tickets' (each level has one), or a copy's.

        A ticket and its controls share theirs.
        """
        fresh = "ticket" if self.spec.grid.order == "fresh" else "dense"
        name = "copy" if unit.control == "copy" else fresh
        return name if unit.level is None or name == "dense" else f"{name}-l{unit.level}"

    def stream(self, seed: int, name: str) -> Stream:
        """Returns the seed's batches of the stream `name`: "dense", or what `order` says of a cell."""
        seeds = stream_seed(seed, f"order-{name}"), stream_seed(seed, f"augment-{name}")
        return Stream(self.resident(seed), *seeds, self.group.rank, self.group.world)

    def model(self, seed: int, stream: str = "init", model: Model | None = None) -> nn.Module:
        """Returns the seed's freshly initialised network on the device; of another `model` than the spec's."""
        resident, one = self.resident(seed), model or self.spec.model
        return build(one, resident.input_shape, resident.classes, stream_seed(seed, stream)).to(self.device)

    def course(
        self, unit: Dense | Checkpoint | Cell, model: nn.Module,
        *, timing: Timing | None = None, mask: Mask | None = None, alone: bool = False,
    ) -> Course:  # fmt: skip
        """Returns the unit's training, about to start from the weights in `model`.

        A network of another size than the others' is `alone`: it shares no memory with them.
        """
        steps_per_epoch = self.resident(unit.seed).steps_per_epoch
        dropout = stream_seed(unit.seed, _dropout(unit))
        trainee = None if alone else next((slot for slot in self._slots if slot.step >= slot.last_step), None)
        if trainee is not None and mask is not None:
            trainee.board(unit.id, model.state_dict(), timing=timing, mask=mask, dropout_seed=dropout)
        else:
            trainee = Trainee(
                unit.id, model, self.spec.train, steps_per_epoch, timing=timing, mask=mask, dropout_seed=dropout,
                channels_last=self.channels_last, gradient=None if alone else self._memory.get("gradient"),
                group=self.group, graphs=None if alone else self._graphs,
            )  # fmt: skip
            if self._graphs is not None and mask is not None and not alone:
                self._slots.append(trainee)
        if not alone:  # of one ticket at a time, so one memory is enough for all
            self._memory["gradient"] = trainee.gradient
        key = unit_key(self.spec, self.dataset.dataset_id, unit.coordinates)
        if self.group.first:
            make_folder(self.folder(unit))
        return Course(
            trainee, key, self.numerics, self.run.layout.resume(unit.folder), self.folder(unit),
            allow_other_numerics=self.spec.execute.resume_other_numerics,
        )  # fmt: skip

    def release(self) -> None:
        """Returns nothing; lets go of the memory that is kept for later tickets."""
        self._slots.clear()
        self._memory.pop("gradient", None)
        self._graphs = None if self._graphs is None else Graphs()

    def folder(self, unit: Unit) -> Path:
        """Returns the folder of this worker's attempt at the unit."""
        return self.run.layout.attempt(unit.folder, self.attempt)

    def moments(self, seed: int) -> dict[int, Step]:
        """Returns the moments at which dense weights are kept, by step: 0, the rewind points, the end.

        Raises SpecError where a rewind point is not before the end of training.
        """
        steps_per_epoch = self.resident(seed).steps_per_epoch
        check_moments(self.spec, steps_per_epoch, self.run.layout.run)
        last = self.spec.train.length.index(steps_per_epoch)
        ranked = Step(0, self.spec.prune.mask_from.index(last, steps_per_epoch))
        kept = (Step(), *self.spec.grid.rewind, ranked, Step(0, last))
        return {moment.index(steps_per_epoch): moment.canonical(steps_per_epoch) for moment in kept}

    def dense_state(self, seed: int, step: Step) -> dict[str, Tensor]:
        """Returns the dense weights of the seed at `step`, checked against their recorded checksum."""
        self._turn_to(seed)
        return self._once(("state", step), lambda: self._read_state(seed, step))

    def fresh_state(self, seed: int) -> dict[str, Tensor]:
        """Returns the state dict of the seed's other initialisation, from which its reinitialised controls start."""
        self._turn_to(seed)
        return self._once("reinit", lambda: self.model(seed, "reinit").cpu().state_dict())

    def nearest_state(self, seed: int, step: Step) -> tuple[int, dict[str, Tensor], dict[str, Tensor]]:
        """Returns the nearest kept dense state not after `step`: its step, state dict and optimizer state."""
        dense = self.run.told.trained(Dense(seed).folder)
        kept = {Step.parse(text).index(dense.steps_per_epoch): text for text in dense.checkpoints}
        nearest = max(at for at in kept if at <= step.index(dense.steps_per_epoch))
        name = dense.checkpoints[kept[nearest]].replace(".safetensors", ".optimizer.safetensors")
        optimizer = load_state(self.run.artefact(dense, name)) if name in dense.files else {}
        return nearest, self.dense_state(seed, Step.parse(kept[nearest])), optimizer

    def final_state(self, seed: int) -> dict[str, Tensor]:
        """Returns the dense weights of the seed at the end of training."""
        return self.dense_state(seed, self.spec.train.length)

    def ranked_state(self, seed: int) -> dict[str, Tensor]:
        """Returns the dense weights that the masks of the seed are made from, those at `prune.mask_from`.

        The seed may be another one than that at work.
        """
        dense = self.run.told.trained(Dense(seed).folder)
        last = self.spec.train.length.index(dense.steps_per_epoch)
        moment = Step(0, self.spec.prune.mask_from.index(last, dense.steps_per_epoch))
        return self.dense_state(seed, moment) if seed == self._seed else self._read_state(seed, moment)

    @cached_property
    def prunable(self) -> dict[str, float]:
        """Returns the prunable parameters by name, each with its rate."""
        return prunable(self._shape.model, self.spec.prune)

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Returns how many parameters of the dense network are prunable, and how many it has."""
        sizes = {name: value.numel() for name, value in self._shape.model.named_parameters()}
        return sum(sizes[name] for name in self.prunable), sum(sizes.values())

    def masks(self, seed: int) -> dict[float, Mask]:
        """Returns the seed's mask at every sparsity of a one-shot grid: one sort of the dense weights gives them all.

        The seed may be another one than that at work.
        """
        return self._once(("masks", seed), lambda: self._rank(seed))

    def _rank(self, seed: int) -> dict[float, Mask]:
        weights, prune = self.ranked_state(seed), self.spec.prune
        scores = magnitude({name: weights[name] for name in self.prunable})
        ranked = masks(scores, self.spec.grid.sparsities, scope=prune.scope, rates=self.prunable, costs=self.costs)
        for sparsity, mask in ranked.items():
            path = self.run.layout.mask(seed, decimal(sparsity))
            if not path.exists():
                make_folder(path.parent)
                mask.save(path)
        return ranked

    def replayed_state(self, unit: Checkpoint) -> dict[str, Tensor]:
        """Returns the weights that a checkpoint unit has made, checked against their recorded checksum."""
        record = read_json(self.run.layout.result(unit.folder), DAMAGED)
        path = self.run.layout.attempt(unit.folder, record["attempt"]) / "weights.safetensors"
        return checked_state(path, record["files"]["weights.safetensors"])

    def _read_state(self, seed: int, step: Step) -> dict[str, Tensor]:
        dense = self.run.told.trained(Dense(seed).folder)
        name = dense.checkpoints.get(str(step.canonical(dense.steps_per_epoch)))
        if name is None:
            return self.replayed_state(Checkpoint(seed, step))
        return checked_state(self.run.artefact(dense, name), dense.files[name])

    def _turn_to(self, seed: int) -> None:
        """Forgets what was kept of another seed."""
        if seed != self._seed:
            self._seed, self._memory = seed, {}

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]


def _dropout(unit: Dense | Checkpoint | Cell) -> str:
    """The name of the stream that dropout draws from."""
    if not isinstance(unit, Cell):
        return "dropout"
    return "dropout-copy" if unit.control == "copy" else "dropout-ticket"
