"""Work on Spark: one session, and one function over many items."""
