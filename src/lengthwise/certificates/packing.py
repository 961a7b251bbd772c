"""Tables of whole numbers as text: small ones as lists that people read, large ones packed.

A packed table names its type and shape, then its bytes, compressed by LZMA, in base 85. What it may grow to when it is
read is bounded by `MOST_BYTES`, whatever it claims.
"""

from __future__ import annotations

import base64
import lzma
import math
from typing import Any

import numpy as np

from lengthwise.errors import RunError
from lengthwise.tasks.base import Ints

MOST_BYTES = 2**26
"""Of the numbers of a packed table: the products of 5,700 elements."""
_PLAIN = 256
"""Numbers of a table, at most, that is written as lists."""
_MEMORY = 2**24
"""Bytes that the decompressor may take."""
_TYPES = ("int8", "int16", "int32")


def write_table(table: Ints) -> str | list[Any]:
    """Return a table in the form in which a file holds it.

    Raises:
        RunError: it is too large to be kept.
    """
    if table.size <= _PLAIN:
        return table.tolist()
    kind = next(name for name in _TYPES if table.max() <= np.iinfo(name).max)
    data = table.astype(f"<{np.dtype(kind).str[1:]}").tobytes()
    if len(data) > MOST_BYTES:
        raise RunError(
            f"a table of {table.size:,} numbers is too large to be kept as a proof: {MOST_BYTES:,} bytes are"
        )
    shape = "x".join(map(str, table.shape))
    return f"{kind} {shape} {base64.b85encode(lzma.compress(data)).decode()}"


def read_table(written: object) -> Ints:
    """Return the table that was written, or that lists of numbers make up; each number is -1 or more.

    Raises:
        ValueError: it is no such table, or would be too large.
    """
    table = _unpacked(written) if isinstance(written, str) else np.array(written)
    if table.size and table.dtype.kind != "i":
        raise ValueError("a table needs whole numbers, all rows of the same length")
    if table.size and not (table.min() >= -1 and table.max() < 2**31):
        raise ValueError("the numbers of a table are -1 or more, and below 2^31")
    return table.astype(np.int64)


def _unpacked(text: str) -> Ints:
    kind, _, rest = text.partition(" ")
    sizes, _, packed = rest.partition(" ")
    if kind not in _TYPES:
        raise ValueError(f"a packed table has numbers of one of the types {', '.join(_TYPES)}, not {kind[:20]!r}")
    shape = [int(size) for size in sizes.split("x")]
    expected = math.prod(shape) * np.dtype(kind).itemsize
    if min(shape) < 0 or expected > MOST_BYTES:
        raise ValueError(f"a packed table has at most {MOST_BYTES:,} bytes, and not {expected:,}")
    try:
        reader = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
        data = reader.decompress(base64.b85decode(packed), expected + 1)
    except lzma.LZMAError as error:
        raise ValueError(f"a packed table cannot be read: {error}") from error
    if len(data) != expected:
        raise ValueError(f"a packed table of {sizes} numbers needs {expected:,} bytes, and has others")
    return np.frombuffer(data, f"<{np.dtype(kind).str[1:]}").reshape(shape)
