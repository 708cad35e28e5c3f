"""Every key a spec may hold, with an example of each, and the known key nearest to an unknown one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from lth.spec.schema import Spec
from lth.spec.toml import dotted

# What a cure shows, and what stands in for a faulty value while the rest of the file is checked.
EXAMPLES: dict[str, Any] = {
    "name": "my-experiment",
    "seeds": [0, 1, 2, 3, 4],
    "data.source": "digits",
    "data.batch_size": 64,
    "data.image_size": 96,
    "data.crop_size": 224,
    "data.split_seed": 0,
    "data.validation.fraction": 0.1,
    "data.validation.count": 5000,
    "data.validation.folds": 5,
    "data.augment.crop": 4,
    "data.augment.flip": True,
    "data.augment.resized.scale": [0.08, 1.0],
    "data.augment.resized.ratio": [0.75, 1.3333],
    "data.augment.custom": "my_package.images:augment",
    "model.name": "lenet_300_100",
    "model.arguments": {"width_multiplier": 0.5},
    "model.initialization": "kaiming_normal",
    "train.epochs": 40,
    "train.iterations": 20_000,
    "train.optimizer.name": "sgd",
    "train.optimizer.lr": 0.1,
    "train.optimizer.momentum": 0.9,
    "train.optimizer.nesterov": True,
    "train.optimizer.betas": [0.9, 0.999],
    "train.optimizer.eps": 1e-8,
    "train.optimizer.weight_decay": 1e-4,
    "train.optimizer.decay_norm_and_bias": False,
    "train.schedule.name": "constant",
    "train.schedule.warmup_epochs": 1,
    "train.schedule.milestones": ["20ep", "30ep"],
    "train.schedule.gamma": 0.1,
    "train.schedule.final_lr": 0.001,
    "train.label_smoothing": 0.1,
    "train.clip_norm": 1.0,
    "train.ema": 0.999,
    "train.micro_batch": 64,
    "train.precision": "fp32",
    "train.layout": "channels_last",
    "train.compile": False,
    "train.deterministic": True,
    "train.entry": "my_package.training:train",
    "train.evaluate_every": "1ep",
    "train.test_every": "500it",
    "train.guard_epochs": 5,
    "prune.method": "one_shot",
    "prune.rate": 0.2,
    "prune.mask_from": "50%",
    "prune.score": "magnitude",
    "prune.scope": "layerwise",
    "prune.exclude": ["output"],
    "prune.rates": {"output": 0.5},
    "grid.sparsities": [0.8, 0.9, 0.95],
    "grid.thresholds": [0.01, 0.02],
    "grid.levels": 15,
    "grid.min_density": 0.035,
    "grid.min_accuracy": 0.9,
    "grid.rewind": ["0", "2ep"],
    "grid.arms": ["lrr"],
    "grid.methods": ["snip"],
    "grid.controls": ["reinit"],
    "grid.controls_at": "knee",
    "grid.order": "fresh",
    "grid.search": "adaptive",
    "select.tolerance": 0.005,
    "select.confidence": 0.95,
    "select.confirm_seeds": 3,
    "execute.launcher": "processes",
    "execute.workers": 2,
    "execute.tickets_per_worker": 16,
    "execute.device": "cpu",
    "execute.data_parallel": 1,
    "execute.cuda_graphs": False,
    "execute.checkpoint_seconds": 60.0,
    "execute.checkpoint_epochs": 1,
    "execute.entry_minutes": 60.0,
    "execute.attempts": 3,
    "execute.resume_other_numerics": False,
    "execute.loader": "pread",
    "execute.slurm.partition": "gpu",
    "execute.slurm.account": "my-project",
    "execute.slurm.qos": "normal",
    "execute.slurm.constraint": "a100",
    "execute.slurm.gres": "gpu:1",
    "execute.slurm.mem": "16G",
    "execute.slurm.time": "4:00:00",
    "execute.slurm.cpus_per_task": 4,
    "execute.slurm.workers_per_task": 4,
    "execute.slurm.setup": ["module load cuda"],
    "execute.slurm.prefix": "apptainer exec --nv image.sif",
    "execute.slurm.extra": ["--mail-type=END"],
    "execute.slurm.requeue": 20,
    "execute.mpi.command": "mpiexec -n {workers}",
    "execute.spark.master": "local[4]",
    "execute.template.file": "submit.pbs",
    "execute.template.submit": "qsub {script}",
    "execute.template.cancel": "qdel {id}",
    "execute.template.wait": False,
}


@dataclass(frozen=True)
class Key:
    """A key of the spec; `variants` are the optimizers or schedules that have it, () where it depends on none."""

    path: tuple[str, ...]
    required: bool
    default: Any
    table: bool
    variants: tuple[str, ...]


def _walk(section: type[BaseModel], above: tuple[str, ...], variants: tuple[str, ...]) -> Iterator[Key]:
    for name, field in section.model_fields.items():
        path = (*above, name)
        kinds = get_args(field.annotation) or (field.annotation,)
        tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        yield Key(path, field.is_required(), field.get_default(call_default_factory=True), bool(tables), variants)
        for table in tables:
            yield from _walk(table, path, get_args(table.model_fields["name"].annotation) if len(tables) > 1 else ())


def _index() -> dict[tuple[str, ...], Key]:
    keys: dict[tuple[str, ...], Key] = {}
    for key in _walk(Spec, (), ()):
        before = keys.get(key.path)
        both = (*before.variants, *key.variants) if before else key.variants
        keys[key.path] = Key(key.path, key.required, key.default, key.table, both)
    return keys


KEYS = _index()
# Tables whose other keys depend on their `name`, and free tables whose keys are the user's own.
CHOSEN = {key.path[:-1] for key in KEYS.values() if key.variants}
LENGTH = ("train", "epochs")  # not required, for "iterations" may stand in its place
FREE = {("model", "arguments"), ("prune", "rates")}


def example(path: Sequence[str]) -> Any:
    """Returns a value that key `path` may hold; of a table, its required keys."""
    if ".".join(path) in EXAMPLES:
        return EXAMPLES[".".join(path)]
    below = children(path)
    wanted = [key for key in below if key.required or key.path == LENGTH]
    needed = [key for key in wanted if key.variants in ((), _variants(path, "name"))]
    return {key.path[-1]: example(key.path) for key in needed or below[:1]}


def children(path: Sequence[str]) -> list[Key]:
    """Returns the keys that stand directly in table `path`."""
    return [key for key in KEYS.values() if key.path[:-1] == tuple(path)]


def _variants(path: Sequence[str], name: str) -> tuple[str, ...]:
    key = KEYS.get((*path, name))
    return key.variants if key else ()


def nearest(path: tuple[str, ...], variant: object) -> str:
    """Returns the cure for the unknown key `path`, whose table has the name `variant` (as far as it has one)."""
    here, name = path[:-1], path[-1]
    elsewhere = KEYS.get(path)
    if elsewhere is not None:
        owners = " or ".join(f'"{one}"' for one in elsewhere.variants)
        return f"It belongs to {dotted(here)}.name = {owners}"
    known = [key.path[-1] for key in children(here) if not key.variants or variant in key.variants]
    if close := get_close_matches(name, known, 1):
        return f"Did you mean {dotted((*here, close[0]))}?"
    others = [key.path for key in KEYS.values() if key.path[-1] == name]
    if others:
        return f"Did you mean {' or '.join(dotted(other) for other in others[:3])}?"
    if close := get_close_matches(name, [key.path[-1] for key in KEYS.values()], 1, 0.75):
        return f"Did you mean {next(dotted(key.path) for key in KEYS.values() if key.path[-1] == close[0])}?"
    return f"Known keys {'in ' + dotted(here) if here else 'here'} are {', '.join(known)}"
