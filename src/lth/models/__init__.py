"""The networks `lth` knows, how they are initialised, and which of their weights are prunable."""
