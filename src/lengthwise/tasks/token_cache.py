"""The cache of symbols: what a tokenizer made of a text, for the next time; safe to delete at any time.

A file is called by the hash of all that decides about its contents: the documents, the tokenizer, the split. It takes
its name in one step when it is whole, and what was read from it must have the fingerprint that it was written with.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from lengthwise.errors import InputError, StoppedError
from lengthwise.files import cache_folder, make_folder, open_regular, write_atomically
from lengthwise.tasks.sources import SourceConfig
from lengthwise.tasks.splitting import Splitting, Text, fingerprint_of
from lengthwise.tasks.tokenizer import Tokenizer

_VERSION = "1"
_TYPES = {"U8": np.uint8, "U16": np.uint16, "I32": np.int32, "I64": np.int64}
_LONGEST_HEAD = 2**16


@dataclass(frozen=True)
class TokenCache:
    """The place of one split text in the cache: a safetensors file, which is mapped and not read into memory."""

    path: Path
    vocabulary: int

    @staticmethod
    def of(source: SourceConfig, tokenizer: Tokenizer, how: Splitting) -> TokenCache | None:
        """Return the place of a text; None where its symbols are made as fast as they are read, or no cache is wanted.

        Raises:
            InputError: the source cannot be read.
        """
        folder = cache_folder()
        if folder is None or tokenizer.identity is None:
            return None
        settings = [_VERSION, tokenizer.identity, *(getattr(how, each.name) for each in fields(how))]
        digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
        for document in source.documents():
            digest.update(json.dumps([document.name, len(document.text)]).encode() + document.text)
        return TokenCache(folder / "tokens" / f"{digest.hexdigest()}.safetensors", tokenizer.vocabulary)

    def read(self) -> tuple[tuple[Text, Text], str] | None:
        """Return both sides and their fingerprint; None where they are not kept, or not as they were written."""
        try:
            with open_regular(self.path) as file:
                length = int.from_bytes(file.read(8), "little")
                head = json.loads(file.read(min(length, _LONGEST_HEAD)))
                arrays: dict[str, Any] = {}
                for name, entry in head.items():
                    if name != "__metadata__":
                        start, end = entry["data_offsets"]
                        dtype = np.dtype(_TYPES[entry["dtype"]]).newbyteorder("<")
                        shape = ((end - start) // dtype.itemsize,)
                        arrays[name] = np.memmap(file, dtype, "r", offset=8 + length + start, shape=shape)
            train, validation = (Text(arrays[side], arrays[f"{side}_starts"]) for side in ("train", "validation"))
            fingerprint = fingerprint_of(self.vocabulary, (train, validation))
            return ((train, validation), fingerprint) if head["__metadata__"]["fingerprint"] == fingerprint else None
        # Whatever is wrong with it, it can be made anew.
        except (OSError, ValueError, TypeError, KeyError, RecursionError, InputError):
            return None

    def write(self, sides: tuple[Text, Text], fingerprint: str) -> None:
        """Keep both sides, unless there is no room for them or another process is writing: nothing depends on it."""
        arrays = {"train": sides[0].tokens_N, "validation": sides[1].tokens_N}
        # Larger numbers first, so that each array begins at a multiple of its size.
        arrays = {"train_starts": sides[0].starts_D, "validation_starts": sides[1].starts_D} | arrays
        head: dict[str, Any] = {"__metadata__": {"fingerprint": fingerprint}}
        end = 0
        for name, array in arrays.items():
            start, end = end, end + array.nbytes
            dtype = f"{'I' if array.dtype.kind == 'i' else 'U'}{8 * array.itemsize}"
            head[name] = {"dtype": dtype, "shape": [len(array)], "data_offsets": [start, end]}
        text = json.dumps(head).encode()
        text += b" " * (-len(text) % 8)
        parts = [len(text).to_bytes(8, "little"), text, *(array.data.cast("B") for array in arrays.values())]
        with contextlib.suppress(OSError, StoppedError, InputError, Timeout):
            make_folder(self.path.parent, "the cache")
            with FileLock(self.path.parent / ".lock", timeout=0):
                write_atomically(self.path, parts, "symbols of a text", to_disk=False)
