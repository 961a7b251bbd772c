"""Filler: prose with nothing to be remembered in it, around the few words that a task asks for.

Shape letters: B rows, T words, N words of the whole text.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from lengthwise.errors import InputError
from lengthwise.files import read_text
from lengthwise.tasks.base import Ints

_SENTENCES = (
    *("the grass is green .", "the sky is blue .", "the sun is yellow .", "here we go .", "there and back again ."),
    *("a river runs down to the sea .", "snow falls on the old town .", "nobody came to the door all day ."),
    *("the cat sleeps by the fire .", "some roads are long , others are short .", "it rained again last night ."),
    *(
        "birds sing before the light comes .",
        "he read a book and said nothing .",
        "we wait , as ever , for the train .",
    ),
)
UNKNOWN = "<unk>"
PYDOC = "pydoc"
"""The help of Python, by topics: half a megabyte of English prose that is on every machine."""


class Filler:
    """A text as symbols, of which the last fifth is kept for measurement.

    Args:
        path: a text file, lower-cased, whose numbers are left out; `PYDOC` for the prose of Python's own help, which
            differs among versions of Python; sentences of our own where it is empty.
        common: how many words it has symbols for; the others are one symbol, number 0.

    Raises:
        InputError: the file cannot be read, or holds no words.
    """

    def __init__(self, path: str, common: int = 400) -> None:
        text = _text(path)
        words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*|[.,;:?!]", text.lower())
        if not words:
            raise InputError(f"the filler {path} holds no words")
        self.words = (UNKNOWN, *most_common(words, common))
        """The words that have symbols, by their number."""
        numbers = numbered(self.words)
        self.text_N: Ints = np.array([numbers.get(word, 0) for word in words], dtype=np.int64)
        """The whole text."""
        self.identity = hashlib.sha256(text.encode()).hexdigest()[:16] if path else ""
        """Of the file that it was read from."""

    def cut(self, rng: np.random.Generator, rows: int, length: int, *, held_out: bool) -> Ints:
        """Return stretches [B, T] that begin anywhere in one part of the text; at its end it begins anew."""
        kept = len(self.text_N) - len(self.text_N) // 5
        part_N = self.text_N[kept:] if held_out and kept < len(self.text_N) else self.text_N[:kept]
        starts_B = rng.integers(len(part_N), size=rows)
        return part_N[(starts_B[:, None] + np.arange(length)) % len(part_N)]


def _text(path: str) -> str:
    if path == PYDOC:
        return "\n".join(topics.values())
    return read_text(Path(path), "filler", given=True) if path else _own()


def _own() -> str:
    """Return the sentences in an order that is always the same."""
    drawn = np.random.default_rng(0).integers(len(_SENTENCES), size=4000)
    return " ".join(_SENTENCES[number] for number in drawn)


def most_common(words: Iterable[str], most: int) -> list[str]:
    """Return the words that occur most often, those that occur as often in the order of the alphabet."""
    counts = Counter(words)
    return sorted(counts, key=lambda word: (-counts[word], word))[:most]


def numbered(words: Iterable[str]) -> dict[str, int]:
    """Return the number of each word, in the order in which they first occur."""
    return {word: number for number, word in enumerate(dict.fromkeys(words))}
