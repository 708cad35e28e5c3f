"""Masks: made from scores, checked, enforced; names and tensors only, whatever the network."""
