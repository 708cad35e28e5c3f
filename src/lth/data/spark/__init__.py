"""Spark in the data layer: preparation, and TFRecords as a data source."""
