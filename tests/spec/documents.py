"""Spec documents for tests: the smallest, and any that is valid."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

_SMALLEST: Document = {
    "name": "small",
    "data": {"source": "digits", "batch_size": 64},
    "model": {"name": "lenet_300_100"},
    "train": {"epochs": 10, "optimizer": {"name": "sgd", "lr": 0.1}},
    "grid": {"sparsities": [0.8, 0.9]},
}


def smallest(**changes: Any) -> Document:
    """Returns a valid document; `changes` are dotted keys with "__" for the dots."""
    document = copy.deepcopy(_SMALLEST)
    for key, value in changes.items():
        *above, name = key.split("__")
        table = document
        for part in above:
            table = table.setdefault(part, {})
        table[name] = value
    return document


def _table(required: Document, optional: Document) -> st.SearchStrategy[Document]:
    return st.fixed_dictionaries(required, optional=optional)


def _moments(last_epoch: int) -> st.SearchStrategy[str]:
    epochs = st.integers(0, last_epoch)
    return st.one_of(
        st.just("0"), epochs.map("{}ep".format), st.integers(0, 999).map("{}it".format), epochs.map("{}ep7it".format)
    )


shares = st.floats(0, 1, exclude_max=True)
rates = st.floats(0, 1)
rises = st.floats(0, 1e6, exclude_min=True)
seeds = st.integers(0, 2**31 - 1)
texts = st.text(min_size=1, max_size=12)


def _optimizers() -> st.SearchStrategy[Document]:
    common = {"lr": rises | st.integers(1, 9)}
    decay = {"weight_decay": rates, "decay_norm_and_bias": st.booleans()}
    sgd = _table(
        {"name": st.just("sgd"), "momentum": st.floats(0.1, 0.99), **common},
        {"nesterov": st.booleans(), **decay},
    )
    betas = st.tuples(shares, shares).map(list)
    adam = _table({"name": st.sampled_from(["adam", "adamw"]), **common}, {"betas": betas, "eps": rises, **decay})
    return sgd | adam


def _schedules(epochs: int) -> st.SearchStrategy[Document]:
    warmup = {"warmup_epochs": st.integers(0, epochs - 1)}
    milestones = st.lists(st.integers(0, epochs - 1), min_size=1, max_size=3, unique=True)
    step = _table(
        {"name": st.just("step"), "milestones": milestones.map(lambda found: [f"{one}ep" for one in sorted(found)])},
        {**warmup, "gamma": st.floats(0.01, 0.99)},
    )
    cosine = _table({"name": st.just("cosine")}, {**warmup, "final_lr": rates})
    return step | cosine | _table({"name": st.just("constant")}, warmup)


def _data(batch_size: int) -> st.SearchStrategy[Document]:
    validation = st.one_of(
        st.floats(0.01, 0.99).map(lambda part: {"fraction": part}),
        st.integers(1, 10**6).map(lambda count: {"count": count}),
        st.integers(2, 20).map(lambda folds: {"folds": folds}),
    )
    optional = {
        "split_seed": seeds,
        "validation": validation,
        "augment": _augmentations(),
    }
    batch = {"batch_size": st.just(batch_size)}
    folder = _table(
        {"source": texts.map("imagefolder:{}".format), **batch}, {"image_size": st.integers(1, 512), **optional}
    )
    return _table({"source": texts, **batch}, optional) | folder


def _augmentations() -> st.SearchStrategy[Document]:
    other = {"flip": st.booleans(), "custom": st.just("mine.images:augment")}
    pairs = {"scale": (0.01, 0.5, 0.5, 1.0), "ratio": (0.1, 1.0, 1.5, 9.0)}
    resized = {
        name: st.tuples(st.floats(low, middle), st.floats(above, high)).map(list)
        for name, (low, middle, above, high) in pairs.items()
    }
    return _table({}, {"crop": st.integers(0, 8), **other}) | _table({}, {"resized": _table({}, resized), **other})


def _training(epochs: int, micro_batch: int) -> st.SearchStrategy[Document]:
    return _table(
        {"epochs": st.just(epochs), "optimizer": _optimizers()},
        {
            "schedule": _schedules(epochs),
            "label_smoothing": shares,
            "clip_norm": rises,
            "ema": st.floats(0, 1, exclude_min=True, exclude_max=True),
            "micro_batch": st.just(micro_batch),
            "precision": st.sampled_from(["fp32", "bf16", "tf32"]),
            "layout": st.sampled_from(["auto", "channels_last", "contiguous"]),
            "compile": st.booleans(),
            "deterministic": st.booleans(),
            "entry": st.just("mine.training:train"),
            "evaluate_every": st.integers(1, 9).map("{}it".format),
            "guard_epochs": st.integers(0, 9),
        },
    )


def _execution(train: Document, parts: int) -> st.SearchStrategy[Document]:
    """The execution of `train`, whose steps have so many `parts` where it names a micro-batch."""
    optional: dict[str, st.SearchStrategy[Any]] = {
        "workers": st.just("auto") | st.integers(1, 99),
        "tickets_per_worker": st.integers(1, 99),
        "checkpoint_seconds": rises,
        "checkpoint_epochs": st.integers(0, 9),
    }
    devices = ["auto", "cuda"] if train.get("precision") == "tf32" else ["auto", "cpu", "cuda"]
    device = {"device": st.sampled_from(devices)}
    if "entry" in train:
        return _table({}, {**optional, **device, "entry_minutes": rises})
    if "micro_batch" in train:
        optional["data_parallel"] = st.sampled_from([one for one in range(1, parts + 1) if parts % one == 0])
    capturable = not (train.get("compile") or train.get("micro_batch"))
    graphs = {"device": st.sampled_from(["auto", "cuda"]), "cuda_graphs": st.just(capturable)}
    return _table({}, {**optional, **device}) | _table(graphs, optional)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Returns any valid document, as tomllib or json would read it."""
    epochs = draw(st.integers(1, 200))
    scalars = st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | texts
    micro, parts = draw(st.integers(1, 1000)), draw(st.integers(1, 1000))
    train = draw(_training(epochs, micro))
    controls = st.permutations(["reinit", "shuffled_mask", "random_mask"]).map(list)
    rewind = st.lists(_moments(epochs - 1), min_size=1, max_size=4)
    tables = {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        "data": _data(micro * parts),
        "model": _table(
            {"name": st.sampled_from(["lenet_300_100", "conv_2", "vgg_16", "mobilenet_v2", "mine.models:Net"])},
            {"arguments": st.dictionaries(texts, scalars, max_size=3), "initialization": st.sampled_from(["default"])},
        ),
        "train": st.just(train),
        "grid": _table(
            {
                "sparsities": st.lists(shares, min_size=1, max_size=5, unique=True),
                "controls": controls,
                "rewind": rewind.filter(_distinct),
            },
            {"controls_at": st.sampled_from(["knee", "all"]), "order": st.sampled_from(["fresh", "replay"])},
        ),
    }
    optional = {
        "seeds": st.lists(seeds, min_size=1, max_size=5, unique=True),
        "prune": _table(
            {},
            {
                "scope": st.sampled_from(["global", "layerwise", "erk", "flops"]),
                "exclude": st.lists(texts, max_size=2),
                "rates": st.dictionaries(texts, rates, max_size=2),
            },
        ),
        "select": _table({}, {"tolerance": shares, "confirm_seeds": st.sampled_from([0, 2, 3])}),
        "execute": _execution(train, parts),
    }
    return draw(_table(tables, optional))


def _distinct(moments: list[str]) -> bool:
    from lth.spec import Step

    return len({Step.parse(moment) for moment in moments}) == len(moments)
