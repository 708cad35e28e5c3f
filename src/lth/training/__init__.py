"""Training: recipe, loop, evaluation, checkpoints, numerics."""
