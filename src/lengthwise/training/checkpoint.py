"""Checkpoints: tensors and plain values in one file that is either whole or not there."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.files import refuse_irregular, write_atomically

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

_FORMAT = "lengthwise-checkpoint-1"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, JSON]) -> None:
    """Write a checkpoint so that a reader finds the old one or the new one, whole, whatever happens.

    The bytes go to a hidden file beside the checkpoint, reach the disk, and only then take its name.

    Args:
        path: the file to make or replace; its folder exists.
        tensors: name -> tensor of any shape, dtype and device.
        values: everything else, kept in the metadata of the same file; floats come back bit-equal.

    Raises:
        StoppedError: the file could not be written, as on a full disk; the previous checkpoint is intact.

    Example:
        >>> import tempfile, torch
        >>> folder = Path(tempfile.mkdtemp())
        >>> save_checkpoint(folder / "a.safetensors", {"weight": torch.ones(2)}, {"step": 3})
        >>> load_checkpoint(folder / "a.safetensors")
        ({'weight': tensor([1., 1.])}, {'step': 3})
    """
    # Safetensors refuses tensors that share memory, such as tied weights; copies do not.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(dict(values), allow_nan=False)
    metadata = {"format": _FORMAT, "values": text, "checksum": _checksum(copies, text)}
    write_atomically(path, safetensors.torch.save(copies, metadata), "checkpoint")


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, JSON]]:
    """Read a checkpoint and verify that it is the one that was written.

    Args:
        path: a file made by `save_checkpoint`.

    Returns:
        The tensors, on the CPU, and the values.

    Raises:
        InputError: the file is missing, truncated, corrupt or not one of ours; the message names it and says which.
    """
    with _opened(path) as (file, metadata):
        # Copies, because the file is mapped and may be replaced while they live.
        tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    text = metadata.get("values", "")
    if metadata.get("checksum") != _checksum(tensors, text):
        raise InputError(f"checkpoint {path} is corrupt: its contents do not match their checksum")
    return tensors, json.loads(text)


def check_checkpoint(path: Path) -> None:
    """Look at the header of a checkpoint and at its size, which is quick; its tensors are not read.

    Args:
        path: a file made by `save_checkpoint`.

    Raises:
        InputError: as `load_checkpoint`, but for contents that do not match their checksum.
    """
    with _opened(path):
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


@contextlib.contextmanager
def _opened(path: Path) -> Generator[tuple[Any, dict[str, str]]]:
    """Open a checkpoint, whose size is then known to be that which its header says."""
    refuse_irregular(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise InputError(f"{path} is a safetensors file, but not a checkpoint of lengthwise")
            yield file, metadata
    except FileNotFoundError:
        raise InputError(f"there is no checkpoint {path}") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"checkpoint {path} is truncated, corrupt or not a checkpoint: {error}") from error


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        description = f"{name} {tensor.dtype} {list(tensor.shape)}"
        checksum = zlib.crc32(description.encode(), checksum)
        checksum = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, checksum)
    return f"{checksum:08x}"
