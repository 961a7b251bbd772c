"""What lies at the path of a checkpoint: settings, and tensors by name, none of which is read before it is asked for.

Weights may be safetensors or pickles. Pickles are opened with ``weights_only=True``, which runs nothing: what holds
more than tensors is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lengthwise.errors import InputError, reason_of
from lengthwise.files import refuse_irregular
from lengthwise.pretrained.folder import FLOATS, Stored, read_settings, shards_of, stored_tensors

if TYPE_CHECKING:
    from torch import Tensor

PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_WHOLE = ("model.safetensors", "pytorch_model.bin")
"""Weights in one file, or in the shards that an index of the same name lists."""


class Contents:
    """A file of weights, or a folder that holds such files and, of most formats, a config.json.

    Args:
        path: of either.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.folder = path if path.is_dir() else path.parent

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What config.json says; nothing where there is none."""
        file = self.path / "config.json"
        return read_settings(file) if file.is_file() else {}

    @cached_property
    def files(self) -> list[Path]:
        """The files of weights; none where it is not clear which those are."""
        if self.path.is_file():
            return [self.path]
        for name in _WHOLE:
            whole, index = self.path / name, self.path / f"{name}.index.json"
            if whole.is_file() or index.is_file():
                return [whole] if whole.is_file() else shards_of(index)
        # xLSTM as its package writes it numbers its parts; RWKV is a file of any name.
        parts = sorted(self.path.glob("model_*.safetensors"))
        single = [file for file in sorted(self.path.iterdir()) if file.suffix in (".pth", ".safetensors")]
        return parts or (single if len(single) == 1 else [])

    @cached_property
    def tensors(self) -> dict[str, Stored]:
        """Where each tensor lies, by its name.

        Raises:
            InputError: a file is damaged, holds what is no tensor, or a name for the second time.
        """
        found = dict[str, Stored]()
        for file in self.files:
            for stored in headers(file):
                if (other := found.setdefault(stored.name, stored)) is not stored:
                    raise InputError(f"{file} holds {stored.name} a second time, which {other.file} has already")
        return found

    @property
    def sizes(self) -> dict[str, list[int]]:
        """The shape of each tensor."""
        return {name: stored.shape for name, stored in self.tensors.items()}

    def read(self) -> dict[str, Tensor]:
        """Return all tensors."""
        from safetensors.torch import load_file

        read: dict[str, Tensor] = {}
        for file in self.files:
            read |= read_pickle(file) if file.suffix in PICKLED else load_file(file)
        return read

    def has(self, *names: str) -> bool:
        """Return whether there are tensors of these names."""
        return all(name in self.tensors for name in names)

    def layers(self, prefix: str) -> int:
        """Return how many layers there are whose tensors begin with a prefix and a number."""
        numbers = {name.removeprefix(prefix).split(".")[0] for name in self.tensors if name.startswith(prefix)}
        return max((int(number) + 1 for number in numbers if number.isdecimal()), default=0)

    def number(self, name: str, default: float | None = None) -> float:
        """Return a setting that is a positive number.

        Raises:
            InputError: it is none, or it is missing and has no default.
        """
        found = self.settings.get(name, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < 2**31:
            raise InputError(f"{self.path / 'config.json'}: {name} should be a positive number, not {found!r}")
        return found

    def shape(self, name: str) -> list[int]:
        """Return the shape of a tensor.

        Raises:
            InputError: there is no such tensor.
        """
        if name not in self.tensors:
            raise InputError(f"{self.path} has no tensor {name}, which this format has; is it whole?")
        return self.tensors[name].shape


def headers(file: Path) -> list[Stored]:
    """Return what a file of weights holds."""
    if file.suffix not in PICKLED:
        return list(stored_tensors([file]))
    types = {name: key for key, name in FLOATS.items()}

    def stored(name: str, tensor: Tensor) -> Stored:
        dtype = str(tensor.dtype).removeprefix("torch.")
        return Stored(name, file, types.get(dtype, dtype), list(tensor.shape), -1)

    return [stored(name, tensor) for name, tensor in read_pickle(file, on_disk=True).items()]


def read_pickle(file: Path, *, on_disk: bool = False) -> dict[str, Tensor]:
    """Return the tensors in a pickled file, without running anything that it says.

    Args:
        file: it.
        on_disk: whether values stay on the disk until they are asked for; they must not be changed then.

    Raises:
        InputError: it holds anything else than tensors by name, or is damaged.
    """
    import torch

    refuse_irregular(file, given=True)
    with file.open("rb") as opened:
        zipped = opened.read(2) == b"PK"
    try:
        held: object = torch.load(file, map_location="cpu", weights_only=True, mmap=on_disk and zipped)
    # Damage leads to errors of any kind; what would run code is an UnpicklingError.
    except Exception as error:
        raise InputError(
            f"{file} is no file of tensors alone, or it is damaged ({reason_of(error)[:200]}); what else a pickle "
            "holds can run code when it is opened, so it is not"
        ) from error
    if not (isinstance(held, Mapping) and held and all(isinstance(value, torch.Tensor) for value in held.values())):
        raise InputError(f"{file} holds no tensors by name, as the file of a model's weights does")
    return cast("dict[str, Tensor]", held)
