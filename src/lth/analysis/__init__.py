"""What trained networks have in common: linear mode connectivity, overlap of masks, agreement of signs."""
