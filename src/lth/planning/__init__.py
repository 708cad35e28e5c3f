"""What a run will take, before it is started."""

from lth.planning.cost import Plan, Stage, plan

__all__ = ["Plan", "Stage", "plan"]
