"""Checks of what a scan is given: shapes and dtypes that go together, and a chunk that holds something."""

from __future__ import annotations

from torch import Tensor

from lengthwise.errors import InputError


def check_shapes(**tensors: Tensor | None) -> None:
    """Refuse tensors, each named by the letters of its shape, where a letter is not the same size in all of them.

    Args:
        **tensors: the first has the time T in its shape, and at least one token; those that are none are left out.

    Raises:
        InputError: a tensor does not go with those before it; the message says which shape would.
    """
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    lead, first = next(iter(given.items()))
    sizes = dict[str, int]()
    for name, tensor in given.items():
        if tensor.ndim == len(_letters(name)):
            sizes = dict(zip(_letters(name), tensor.shape, strict=True)) | sizes
    if first.ndim != len(_letters(lead)) or not sizes["T"]:
        shape = ", ".join(_letters(lead))
        raise InputError(f"expected {lead} [{shape}] with at least one token, got {list(first.shape)}")
    for name, tensor in given.items():
        shape = [sizes.get(letter, letter) for letter in _letters(name)]
        if list(tensor.shape) != shape:
            raise InputError(f"{name} must be {shape} beside {lead} {list(first.shape)}, not {list(tensor.shape)}")


def check_dtypes(**tensors: Tensor) -> None:
    """Refuse tensors that are not all in the dtype of the first."""
    lead, first = next(iter(tensors.items()))
    for name, tensor in tensors.items():
        if tensor.dtype != first.dtype:
            raise InputError(f"{name} is in {tensor.dtype} and {lead} in {first.dtype}; they must be in the same dtype")


def check_chunk(chunk: int, *, halved: bool = False) -> None:
    """Refuse a chunk that holds no token, or where it is halved again and again one that is no power of two."""
    if chunk < 1:
        raise InputError(f"a chunk has at least one token, not {chunk}")
    if halved and chunk & (chunk - 1):
        raise InputError(f"the chunk must be a power of two, not {chunk}: {1 << chunk.bit_length() - 1} would do")


def _letters(name: str) -> str:
    return name.rpartition("_")[2]
