"""What the results say: statistics, the walk to the candidate, selection, comparisons, tables."""
