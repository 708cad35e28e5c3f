"""What was trained, on what, and how to do it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lth.results.wording import count, share
from lth.runs.records import CellResult, Results
from lth.spec.schema import Spec
from lth.spec.variants import VARIANTS

HOSTS = 5


def facts(spec: Spec, results: Results, head: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns what the page says under "What was trained", as pairs of a name and a text."""
    done = list(results.done.values())
    found = [
        ("Data", _data(spec, done)),
        ("Model", _model(spec, done)),
        ("Training", _training(spec)),
        ("Pruning", _pruning(spec)),
        ("Seeds", _seeds(spec)),
        ("Units trained", _units(done, results)),
        ("Computing time", _time(done)),
        ("Numerics class", "; ".join(f"{name} ({count} units)" for name, count in numerics(done).items())),
        ("Hosts", _hosts(done)),
        ("Versions", ", ".join(f"{name} {version}" for name, version in dict(head.get("versions") or {}).items())),
        (
            "Started, last result",
            " – ".join(filter(None, [head.get("created_at"), max((r.finished_at for r in done), default="")])),
        ),
        ("Test data first shown", str(head.get("test_first_shown") or "")),
    ]
    return [(name, text) for name, text in found if text]


def numerics(done: Iterable[CellResult]) -> dict[str, int]:
    """Returns the numerics classes in words, the most frequent first, with their numbers of networks."""
    texts = [", ".join(f"{key} {_plain(value)}" for key, value in result.numerics.items()) for result in done]
    return dict(Counter(texts).most_common())


def _plain(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _data(spec: Spec, done: list[CellResult]) -> str:
    if not done:
        return spec.data.source
    one = done[0]
    sizes = f"{one.train_examples} training, {one.validation_examples} validation, {one.test_examples} test images"
    return f"{spec.data.source}: {sizes}; dataset_id {one.dataset_id[:12]}"


def _model(spec: Spec, done: list[CellResult]) -> str:
    given = "".join(f", {key} = {value}" for key, value in spec.model.arguments.items())
    sizes = (
        f"; {_thousands(done[0].parameters)} parameters, {_thousands(done[0].prunable)} of them prunable"
        if done
        else ""
    )
    return f"{spec.model.name}{given}, initialisation {spec.model.initialization}{sizes}"


def _training(spec: Spec) -> str:
    train, augment = spec.train, spec.data.augment
    parts = [
        count(train.epochs, "epoch") if train.epochs else count(train.iterations or 0, "iteration"),
        f"batch size {spec.data.batch_size}",
        _described(train.optimizer),
        f"schedule {_described(train.schedule)}",
    ]
    parts += [f"crop {augment.crop}"] if augment.crop else []
    parts += [f"cut to {spec.data.crop_size} pixels"] if spec.data.crop_size else []
    if augment.resized:
        (least, most), (narrow, wide) = augment.resized.scale, augment.resized.ratio
        parts.append(f"resized crop of {least:g} to {most:g} of the area, width {narrow:g} to {wide:g} of the height")
    parts += ["flip"] if augment.flip else []
    parts += [f"augmented by {augment.custom}"] if augment.custom else []
    return ", ".join([*parts, train.precision])


def _described(section: Any) -> str:
    given = section.model_dump(mode="json")
    name = given.pop("name")
    set_values = [f"{key} {_plain(value)}" for key, value in given.items() if value not in (0, 0.0, False)]
    return f"{name} ({', '.join(set_values)})" if set_values else str(name)


def _pruning(spec: Spec) -> str:
    prune = spec.prune
    parts = [f"{prune.method.replace('_', '-')} {prune.score}, {prune.scope}"]
    levels = count(len(spec.grid.sparsities), "level")
    parts += [f"{share(prune.rate)} of what is left at each of {levels}"] if prune.rate else []
    parts += [f"ranked at {prune.mask_from}"] if str(prune.mask_from) != "100%" else []
    parts += [f"not pruned: {', '.join(prune.exclude)}"] if prune.exclude else []
    parts += [f"rates: {', '.join(f'{name} {rate:g}' for name, rate in prune.rates.items())}"] if prune.rates else []
    return "; ".join([*parts, f"data order {spec.grid.order}"])


def _seeds(spec: Spec) -> str:
    fresh = spec.confirmation_seeds
    return ", ".join(map(str, spec.seeds)) + (f"; to confirm, fresh: {', '.join(map(str, fresh))}" if fresh else "")


def _units(done: list[CellResult], results: Results) -> str:
    kinds = Counter(_kind(result) for result in done)
    names = ("dense", "tickets", "controls", "arms", "methods")
    text = ", ".join(f"{kinds[kind]} {kind}" for kind in names if kinds[kind])
    failed = f", {len(results.failed)} failed" if results.failed else ""
    return f"{len(done)} ({text}){failed}" if done else f"0{failed}"


def _kind(result: CellResult) -> str:
    if result.kind == "dense":
        return "dense"
    return f"{VARIANTS[result.control].kind}s" if result.control in VARIANTS else "tickets"


def _time(done: list[CellResult]) -> str:
    seconds = sum(result.seconds for result in done)
    longer = f" ({seconds / 3600:.1f} h)" if seconds >= 3600 else f" ({seconds / 60:.1f} min)" if seconds >= 120 else ""
    return f"{seconds:.0f} s in all units together{longer}" if done else ""


def _hosts(done: list[CellResult]) -> str:
    names = list(dict.fromkeys(result.host for result in done))
    return ", ".join(names[:HOSTS]) + (f" and {len(names) - HOSTS} more" if len(names) > HOSTS else "")


def _thousands(number: int) -> str:
    return f"{number:,}".replace(",", " ")
