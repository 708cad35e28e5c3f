"""The spec of an experiment: its records, its reader, its identity."""

from lth.spec.schema import Spec
from lth.spec.step import Step

__all__ = ["Spec", "Step"]
