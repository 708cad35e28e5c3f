"""The optional parts of lth (the extras of pyproject.toml), and what each blocks when it is missing."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass

from lth.cli.machine import Part

UNKNOWN = "(version unknown)"


@dataclass(frozen=True)
class Extra:
    """An optional part: importable module -> distribution on the package index, and what needs them."""

    modules: dict[str, str]
    blocks: str


EXTRAS: dict[str, Extra] = {
    "demo": Extra({"sklearn": "scikit-learn"}, 'the data source "digits", so examples/digits_lenet.toml'),
    "report": Extra(
        {"altair": "altair", "vl_convert": "vl-convert-python", "jinja2": "jinja2"},
        "the HTML page and PDF of lth report",
    ),
    "data": Extra(
        {"PIL": "Pillow", "google_crc32c": "google-crc32c", "numba": "numba", "pooch": "pooch", "scipy": "scipy"},
        "preparing and fast loading of image data",
    ),
    "spark": Extra({"pyspark": "pyspark", "pyarrow": "pyarrow", "pandas": "pandas"}, "work on Spark"),
    "mpi": Extra({"mpich": "mpich"}, 'execute.launcher = "mpi", where no other mpiexec is installed'),
    "gpu": Extra({"pynvml": "nvidia-ml-py"}, "figures of GPU use and power"),
    "onnx": Extra(
        {"onnx": "onnx", "onnxscript": "onnxscript", "onnxruntime": "onnxruntime"}, "export to ONNX and its check"
    ),
    "dev": Extra(
        {
            "pytest": "pytest",
            "xdist": "pytest-xdist",
            "hypothesis": "hypothesis",
            "coverage": "coverage",
            "ruff": "ruff",
            "pyright": "pyright",
            "importlinter": "import-linter",
        },
        "make test and benchmarks/",
    ),
}


def extra(name: str) -> Part:
    """Returns whether the modules of the extra `name` are there, found without importing them.

    A distribution of programs alone, without a module, is there where it is installed.
    """
    wanted = EXTRAS[name]
    missing = [package for module, package in wanted.modules.items() if not _there(module, package)]
    if missing:
        cure = f"Install it with: pip install 'lth[{name}]'"
        return Part(f"extra {name}", False, f"missing: {', '.join(missing)}", False, wanted.blocks, cure)
    return Part(f"extra {name}", True, ", ".join(f"{p} {_version(p)}" for p in wanted.modules.values()))


def _there(module: str, package: str) -> bool:
    return importlib.util.find_spec(module) is not None or _version(package) != UNKNOWN


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN
