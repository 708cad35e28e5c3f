"""The run directory: layout, records, atomic files, claims."""
