"""Extras: libraries that only some parts need, and what installs each."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lengthwise.errors import InputError

_LIBRARIES = {
    "hf": ("accelerate", "datasets", "lightning_fabric", "tokenizers", "transformers"),
    "ray": ("ray",),
    "lines": ("sklearn",),
    "slurm": ("submitit",),
    "report": ("altair", "jinja2", "polars", "scipy", "vl_convert"),
    "trackers": ("mlflow", "tensorboard", "wandb"),
}
EXTRAS = {module: extra for extra, modules in _LIBRARIES.items() for module in modules}
"""Module -> the extra of this package that installs it."""


def import_extra(module: str, purpose: str) -> Any:
    """Import a library that the package does not need as such.

    Args:
        module: the library, one of `EXTRAS`.
        purpose: what needs it, as the error message says it.

    Raises:
        InputError: it, or what it needs itself, is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise missing_extra(error, purpose) or error from error


def missing_extra(error: ModuleNotFoundError, purpose: str) -> InputError | None:
    """Return what to say of a library that is not installed; None where no extra of this package installs it."""
    library = (error.name or "").partition(".")[0]
    if library not in EXTRAS:
        return None
    return InputError(f"{purpose} needs {library}, which is not installed: pip install 'lengthwise[{EXTRAS[library]}]'")
