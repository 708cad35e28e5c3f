"""Data: image sources, splits, order, augmentation, and batches from memory; all pure functions of seeds and ids."""
