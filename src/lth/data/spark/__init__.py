"""Spark: sessions, one function over many items, TFRecords as a data source."""
