"""Images made to shards, once for all trainings."""
