"""Checkpoints: the tensors and plain values of a run, in one file that is either whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from lengthwise.tensor_file import JSON, TensorFile

_FILE = TensorFile("checkpoint", "lengthwise-checkpoint-1")


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, JSON]) -> None:
    """Write a checkpoint so that a reader finds the old one or the new one, whole, whatever happens.

    Args:
        path: the file to make or replace; its folder exists.
        tensors: name -> tensor of any shape, dtype and device.
        values: everything else; floats come back bit-equal.

    Raises:
        StoppedError: the file could not be written, as on a full disk; the previous checkpoint is intact.

    Example:
        >>> import tempfile, torch
        >>> folder = Path(tempfile.mkdtemp())
        >>> save_checkpoint(folder / "a.safetensors", {"weight": torch.ones(2)}, {"step": 3})
        >>> load_checkpoint(folder / "a.safetensors")
        ({'weight': tensor([1., 1.])}, {'step': 3})
    """
    _FILE.save(path, tensors, values)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, JSON]]:
    """Read a checkpoint and verify that it is the one that was written.

    Args:
        path: a file made by `save_checkpoint`.

    Returns:
        The tensors, on the CPU, and the values.

    Raises:
        InputError: the file is missing, truncated, corrupt or not one of ours; the message names it and says which.
    """
    return _FILE.load(path)


def check_checkpoint(path: Path) -> None:
    """Look at the header of a checkpoint and at its size, which is quick; its tensors are not read.

    Args:
        path: a file made by `save_checkpoint`.

    Raises:
        InputError: as `load_checkpoint`, but for contents that do not match their checksum.
    """
    with _FILE.opened(path):
        pass


def misfit(model: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Return the first tensor in which parameters do not fit a model, in words; empty where all of them fit.

    Args:
        model: name -> tensor, as the model has them.
        found: name -> tensor, as a checkpoint has them.
    """
    for name, tensor in model.items():
        if name not in found:
            return f"it has no tensor {name!r}"
        if found[name].shape != tensor.shape:
            return (
                f"its tensor {name!r} has the shape {list(found[name].shape)}, that of the model {list(tensor.shape)}"
            )
    beyond = next((name for name in found if name not in model), None)
    return f"the model has no tensor {beyond!r}" if beyond else ""
