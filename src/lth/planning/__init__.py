"""What a run will take, before it is started."""

from lth.planning.cost import Plan, Stage, Training
from lth.planning.wall import WallTime

__all__ = ["Plan", "Stage", "Training", "WallTime"]
