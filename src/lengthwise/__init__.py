"""Train short, run long: length generalisation for sequence models."""

__version__ = "0.1.0"
