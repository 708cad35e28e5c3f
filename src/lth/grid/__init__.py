"""Units of work, what is ready next, the worker loop, and the launchers."""
