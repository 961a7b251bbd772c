"""Tokenizers: documents to symbols.

Shape letters: N symbols of one document.
"""

from __future__ import annotations

import codecs
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.files import read_text
from lengthwise.registry import nearest_name
from lengthwise.tasks.records import not_utf8
from lengthwise.tasks.sources import Document

Symbols = NDArray[np.integer]


class Tokenizer(ABC):
    """Maps documents to symbols."""

    vocabulary: int
    """The number of different symbols, with the separator."""
    separator: int
    """The symbol that opens every document."""
    identity: str | None = None
    """What decides about the symbols of a text; None where they are made as fast as they are read."""

    @property
    def dtype(self) -> np.dtype[np.integer]:
        """The smallest type that holds every symbol: uint8, uint16 or int32."""
        fitting = (t for t in (np.uint8, np.uint16) if self.vocabulary - 1 <= np.iinfo(t).max)
        return np.dtype(next(fitting, np.int32))

    @abstractmethod
    def encode(self, documents: Sequence[Document]) -> list[Symbols]:
        """Return the symbols of each document, [N], without the separator.

        Raises:
            InputError: a document is not text that this tokenizer reads.
        """

    @abstractmethod
    def bytes_of(self, symbols: Symbols) -> int:
        """Return how many bytes of text symbols stand for, [N]; separators stand for none."""

    @abstractmethod
    def stream(self, symbols: Iterable[int]) -> Iterator[str]:
        """Yield the text of symbols as soon as it is known; symbols without text yield nothing."""


class ByteTokenizer(Tokenizer):
    """Each byte is a symbol; 256 is the separator. Takes any file."""

    vocabulary = 257
    separator = 256

    def encode(self, documents: Sequence[Document]) -> list[Symbols]:
        """Return the bytes of each document, [N]."""
        return [np.frombuffer(document.text, dtype=np.uint8) for document in documents]

    def bytes_of(self, symbols: Symbols) -> int:
        """Return how many symbols are bytes."""
        return int((symbols != self.separator).sum())

    def stream(self, symbols: Iterable[int]) -> Iterator[str]:
        """Yield the text of bytes, with a sign in place of those that are no UTF-8."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for symbol in symbols:
            yield decoder.decode(bytes([symbol]) if symbol < self.separator else b"")
        yield decoder.decode(b"", final=True)


class FileTokenizer(Tokenizer):
    """A JSON file of the ``tokenizers`` library, such as the ``tokenizer.json`` of a Hugging Face checkpoint.

    Args:
        path: the file.
        separator: the token that opens every document, such as ``<|endoftext|>``; a symbol of its own by default.

    Raises:
        InputError: the library or the file is missing, the file does not parse, or it does not know the separator.
    """

    def __init__(self, path: Path, separator: str | None = None) -> None:
        self._path = path
        library = import_extra("tokenizers", "a tokenizer file")
        content = read_text(path, "tokenizer file", given=True)
        try:
            self._tokenizer = library.Tokenizer.from_str(content)
        # The library raises plain exceptions.
        except Exception as error:
            raise InputError(f"{path} is not a tokenizer file of the 'tokenizers' library: {error}") from error
        self.identity = hashlib.sha256(f"{library.__version__} {separator} {content}".encode()).hexdigest()
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        known: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        if separator is not None and separator not in known:
            raise InputError(f"{path} has no token {separator!r} to separate documents; {_nearest(separator, known)}")
        largest = max(known.values(), default=-1)
        self.separator = largest + 1 if separator is None else known[separator]
        self.vocabulary = max(largest, self.separator) + 1

    def encode(self, documents: Sequence[Document]) -> list[Symbols]:
        """Return the tokens of each document, [N].

        Raises:
            InputError: a document is not UTF-8, or holds what the tokenizer has no token for.
        """
        texts = [_decode(document) for document in documents]
        try:
            encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        # The library raises plain exceptions.
        except Exception as error:
            raise InputError(f"{self._path} cannot read the text: {error}") from error
        return [np.asarray(encoding.ids, dtype=self.dtype) for encoding in encodings]

    def bytes_of(self, symbols: Symbols) -> int:
        """Return the length of the text that tokens [N] stand for, in UTF-8."""
        text: str = self._tokenizer.decode(symbols[symbols != self.separator].tolist(), skip_special_tokens=False)
        return len(text.encode())

    def stream(self, symbols: Iterable[int]) -> Iterator[str]:
        """Yield the text of tokens."""
        stream = import_extra("tokenizers.decoders", "a tokenizer file").DecodeStream(skip_special_tokens=False)
        for symbol in symbols:
            yield stream.step(self._tokenizer, symbol) or ""


def load_tokenizer(name: str, separator: str | None = None) -> Tokenizer:
    """Return a tokenizer.

    Args:
        name: ``bytes``, or the path of a JSON file of the ``tokenizers`` library.
        separator: as in `FileTokenizer`.

    Raises:
        InputError: as in `FileTokenizer`, or bytes were given a separator.

    Example:
        >>> load_tokenizer("bytes").encode([Document("greeting", b"hi")])
        [array([104, 105], dtype=uint8)]
    """
    if name != "bytes":
        return FileTokenizer(Path(name).expanduser(), separator)
    if separator is not None:
        raise InputError(f"the tokenizer 'bytes' separates documents by symbol 256, not by {separator!r}")
    return ByteTokenizer()


def _nearest(separator: str, known: dict[str, int]) -> str:
    special = [token for token in known if token.startswith("<") and token.endswith(">")]
    return nearest_name(separator, special[:20]) if special else "leave the setting out to add a symbol"


def _decode(document: Document) -> str:
    try:
        return document.text.decode()
    except UnicodeDecodeError as error:
        raise not_utf8(f"document {document.name}", error) from error
