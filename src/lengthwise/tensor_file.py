"""Tensor files: tensors and plain values in one file of safetensors that is either whole or not there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import zlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.files import refuse_irregular, write_atomically

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


@dataclass(frozen=True)
class TensorFile:
    """A kind of file that holds tensors and values, with a checksum of both."""

    what: str
    """What such a file is, as the error messages say it."""
    format: str
    """What its metadata call it."""

    def save(self, path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, JSON]) -> None:
        """Write a file so that a reader finds the old one or the new one, whole, whatever happens.

        The bytes go to a hidden file beside it, reach the disk, and only then take its name.

        Args:
            path: the file to make or replace; its folder exists.
            tensors: name -> tensor of any shape, dtype and device.
            values: everything else, kept in the metadata of the same file; floats come back bit-equal.

        Raises:
            StoppedError: the file could not be written, as on a full disk; the previous one is intact.
        """
        # Safetensors refuses tensors that share memory, such as tied weights; copies do not.
        copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
        text = json.dumps(dict(values), allow_nan=False)
        metadata = {"format": self.format, "values": text, "checksum": _checksum(copies, text)}
        write_atomically(path, safetensors.torch.save(copies, metadata), self.what)

    def load(self, path: Path, most: int | None = None) -> tuple[dict[str, Tensor], dict[str, JSON]]:
        """Read a file and verify that it is the one that was written.

        Args:
            path: a file made by `save`.
            most: bytes that it may hold; any number by default.

        Returns:
            The tensors, on the CPU, and the values.

        Raises:
            InputError: the file is missing, a link, too large, truncated, corrupt or of another kind; the message
                names it and says which.
        """
        with self.opened(path, most) as (file, metadata):
            # Copies, because the file is mapped and may be replaced while they live.
            tensors: dict[str, Tensor] = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        text = metadata.get("values", "")
        if metadata.get("checksum") != _checksum(tensors, text):
            raise InputError(f"{self.what} {path} is corrupt: its contents do not match their checksum")
        return tensors, self._values(path, text)

    @contextlib.contextmanager
    def opened(self, path: Path, most: int | None = None) -> Generator[tuple[Any, dict[str, str]]]:
        """Open a file, whose size is then known to be that which its header says; arguments and errors as in `load`."""
        refuse_irregular(path)
        try:
            if most is not None and (size := path.stat().st_size) > most:
                raise InputError(
                    f"cannot read the {self.what} {path}: it has {size:,} bytes, and {most:,} are the most"
                )
            with safetensors.safe_open(path, framework="pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
                if metadata.get("format") != self.format:
                    raise InputError(f"{path} is a safetensors file, but not a {self.what} of lengthwise")
                yield file, metadata
        except FileNotFoundError:
            raise InputError(f"there is no {self.what} {path}") from None
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(f"{self.what} {path} is truncated, corrupt or not a {self.what}: {error}") from error

    def _values(self, path: Path, text: str) -> dict[str, JSON]:
        try:
            values: object = json.loads(text)
        # Whoever writes a file by hand can nest deeper than the parser goes.
        except (ValueError, RecursionError) as error:
            raise InputError(f"{self.what} {path} is corrupt: its values are not JSON ({error})") from error
        if not isinstance(values, dict):
            raise InputError(f"{self.what} {path} is corrupt: its values are not a JSON object")
        return values


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of the names, shapes, dtypes and contents of tensors, on whatever device they are."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(_description(name, tensors[name]).encode())
        found.update(_bytes(tensors[name]))
    return found.hexdigest()[:16]


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    checksum = zlib.crc32(text.encode())
    for name in sorted(tensors):
        checksum = zlib.crc32(_description(name, tensors[name]).encode(), checksum)
        checksum = zlib.crc32(_bytes(tensors[name]), checksum)
    return f"{checksum:08x}"


def _description(name: str, tensor: Tensor) -> str:
    return f"{name} {tensor.dtype} {list(tensor.shape)}"


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data
