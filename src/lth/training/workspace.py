"""What a worker keeps in memory between units: device, data, dense states, masks."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from pathlib import Path
from threading import Event
from typing import Any

from torch import Tensor, nn

from lth.data.loader import Resident, Stream
from lth.data.order import stream_seed
from lth.data.sources import Dataset
from lth.errors import RunError
from lth.grid.unit import Cell, Checkpoint, Dense, Unit
from lth.grid.work import workers_here
from lth.models.prunable import layers, multiply_adds, prunable
from lth.models.registry import build
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude
from lth.pruning.threshold import masks
from lth.runs.files import make_folder, read_json, sha256_of
from lth.runs.run import DAMAGED, Run, new_attempt
from lth.spec.identity import unit_key
from lth.spec.rules import check_moments
from lth.spec.step import Step
from lth.spec.values import decimal
from lth.training.checkpoint import load_state
from lth.training.distributed import ALONE, Group
from lth.training.fit import Course
from lth.training.graph import Graphs
from lth.training.memory import Room, room
from lth.training.numerics import keep_freed_memory, numerics_class, pick_device, set_numerics
from lth.training.precision import channels_last
from lth.training.shape import Shape, shape
from lth.training.trainee import Trainee

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
    def dataset(self) -> Dataset:
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
        states = len(self.spec.grid.rewind) + ("reinit" in self.spec.grid.controls)
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

    def resident(self, seed: int) -> Resident:
        """Returns the seed's split of the data, in memory on the device."""
        self._turn_to(seed)
        make = partial(Resident, self.dataset, self.spec.data, seed, self.device, channels_last=self.channels_last)
        return self._once("resident", make)

    def stream(self, seed: int, order: str) -> Stream:
        """Returns the seed's batches: "dense" and "replay" are the dense run's own, "fresh" the tickets'."""
        name = "ticket" if order == "fresh" else "dense"
        seeds = stream_seed(seed, f"order-{name}"), stream_seed(seed, f"augment-{name}")
        return Stream(self.resident(seed), *seeds, self.group.rank, self.group.world)

    def model(self, seed: int, stream: str = "init") -> nn.Module:
        """Returns the seed's freshly initialised network on the device."""
        resident = self.resident(seed)
        return build(self.spec.model, resident.input_shape, resident.classes, stream_seed(seed, stream)).to(self.device)

    def course(
        self, unit: Dense | Checkpoint | Cell, model: nn.Module, *, step: int = 0, mask: Mask | None = None
    ) -> Course:
        """Returns the unit's training, about to start from the weights in `model` at `step`."""
        steps_per_epoch = self.resident(unit.seed).steps_per_epoch
        dropout = stream_seed(unit.seed, "dropout" if mask is None else "dropout-ticket")
        trainee = next((slot for slot in self._slots if slot.step >= slot.last_step), None)
        if trainee is not None and mask is not None:
            trainee.board(unit.id, model.state_dict(), step=step, mask=mask, dropout_seed=dropout)
        else:
            trainee = Trainee(
                unit.id, model, self.spec.train, steps_per_epoch, step=step, mask=mask, dropout_seed=dropout,
                channels_last=self.channels_last, gradient=self._memory.get("gradient"), group=self.group,
                graphs=self._graphs,
            )  # fmt: skip
            if self._graphs is not None and mask is not None:
                self._slots.append(trainee)
        self._memory["gradient"] = trainee.gradient  # of one ticket at a time, so one memory is enough for all
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
        kept = (Step(), *self.spec.grid.rewind, Step(self.spec.train.epochs))
        return {moment.index(steps_per_epoch): moment.canonical(steps_per_epoch) for moment in kept}

    def dense_state(self, seed: int, step: Step) -> dict[str, Tensor]:
        """Returns the dense weights of the seed at `step`, checked against their recorded checksum."""
        self._turn_to(seed)
        return self._once(("state", step), lambda: self._read_state(seed, step))

    def start_state(self, unit: Cell) -> dict[str, Tensor]:
        """Returns the whole state dict the unit starts from: dense weights at its rewind point, or fresh ones."""
        if unit.control != "reinit":
            return self.dense_state(unit.seed, unit.rewind)
        return self._once("reinit", lambda: self.model(unit.seed, "reinit").cpu().state_dict())

    def nearest_state(self, seed: int, step: Step) -> tuple[int, dict[str, Tensor], dict[str, Tensor]]:
        """Returns the nearest kept dense state not after `step`: its step, state dict and optimizer state."""
        dense = self.run.results().done[Dense(seed).id]
        kept = {Step.parse(text).index(dense.steps_per_epoch): text for text in dense.checkpoints}
        nearest = max(at for at in kept if at <= step.index(dense.steps_per_epoch))
        name = dense.checkpoints[kept[nearest]].replace(".safetensors", ".optimizer.safetensors")
        optimizer = load_state(self.run.artefact(dense, name)) if name in dense.files else {}
        return nearest, self.dense_state(seed, Step.parse(kept[nearest])), optimizer

    def final_state(self, seed: int) -> dict[str, Tensor]:
        """Returns the dense weights of the seed at the end of training."""
        return self.dense_state(seed, Step(self.spec.train.epochs))

    def prunable(self, seed: int) -> dict[str, float]:
        """Returns the prunable parameters by name, each with its rate."""
        self._turn_to(seed)
        return self._once("prunable", lambda: prunable(self.model(seed), self.spec.prune))

    def masks(self, seed: int) -> dict[float, Mask]:
        """Returns the seed's mask at every sparsity of the grid: one sort of the final dense weights gives them all."""
        self._turn_to(seed)
        return self._once("masks", lambda: self._rank(seed))

    def _rank(self, seed: int) -> dict[float, Mask]:
        rates, final, prune = self.prunable(seed), self.final_state(seed), self.spec.prune
        scores = magnitude({name: final[name] for name in rates})
        ranked = masks(scores, self.spec.grid.sparsities, scope=prune.scope, rates=rates, costs=self.costs)
        for sparsity, mask in ranked.items():
            path = self.run.layout.mask(seed, decimal(sparsity))
            if not path.exists():
                make_folder(path.parent)
                mask.save(path)
        return ranked

    def _read_state(self, seed: int, step: Step) -> dict[str, Tensor]:
        steps_per_epoch = self.resident(seed).steps_per_epoch
        dense = self.run.results().done[Dense(seed).id]
        name = dense.checkpoints.get(str(step.canonical(steps_per_epoch)))
        if name is not None:
            path, sha256 = self.run.artefact(dense, name), dense.files[name]
        else:
            unit = Checkpoint(seed, step)
            record = read_json(self.run.layout.result(unit.folder), DAMAGED)
            path = self.run.layout.attempt(unit.folder, record["attempt"]) / "weights.safetensors"
            sha256 = record["files"]["weights.safetensors"]
        if path.exists() and sha256_of(path.read_bytes()) != sha256:
            raise RunError("the file is not the one its result.json names (sha256 differs)", at=path, cure=DAMAGED)
        return load_state(path)

    def _turn_to(self, seed: int) -> None:
        """Forgets what was kept of another seed."""
        if seed != self._seed:
            self._seed, self._memory = seed, {}

    def _once(self, key: Any, make: Any) -> Any:
        if key not in self._memory:
            self._memory[key] = make()
        return self._memory[key]
