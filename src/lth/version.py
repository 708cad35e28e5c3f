"""The version of `lth`, stated once."""

__version__ = "0.1.0"
