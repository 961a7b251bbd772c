"""A small setting of every registered task, with the files that some of them need."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lengthwise.tasks import TASKS
from lengthwise.tasks.base import Task

_BABI = "1 mary went to the {0}.\n2 john moved to the garden.\n3 where is mary? \t{0}\t1\n"

NUMBERS: dict[str, dict[str, Any]] = {
    "regular": {
        "language": "dyck_2",
        "train": {"minimum": 2, "maximum": 8},
        "test": {"longest": 9, "samples": 5, "near_misses": [8], "long_lengths": [20], "curve_lengths": [8, 12]},
    },
    "listops": {"train": {"maximum": 9}, "lengths": [9, 5], "samples": 5},
    "brackets": {"kinds": 2, "neutral": 1, "train": {"maximum": 9}, "lengths": [12, 5], "samples": 5},
    "copying": {"symbols": 4, "train": {"maximum": 5}, "lengths": [6, 2], "samples": 5},
    "passkey": {"digits": 2, "train": {"minimum": 14, "maximum": 18}, "lengths": [30, 16], "samples": 5},
    "babilong": {"facts": 2, "train": {"minimum": 18, "maximum": 20}, "lengths": [50, 40], "samples": 5},
    "mqar": {
        "keys": 6,
        "values": 4,
        "pairs": 3,
        "train": {"minimum": 9, "maximum": 12},
        "lengths": [20, 9],
        "test_pairs": [2, 4],
        "samples": 5,
    },
    "selective_copying": {
        "symbols": 4,
        "letters": 3,
        "train": {"minimum": 5, "maximum": 8},
        "lengths": [12, 6],
        "samples": 5,
    },
    "signals": {"size": 2, "train": {"minimum": 6, "maximum": 8}, "lengths": [20, 8], "samples": 5},
    "language_modelling": {"context": 8},
}


def small_task(name: str, folder: Path) -> Task:
    """Return a registered task that is quick to sample; one that has no entry above has its default settings."""
    if name == "classification":
        return TASKS.load(name)(source=str(labelled(folder)), longest=9)
    settings = NUMBERS.get(name, {})
    if name == "language_modelling":
        settings = settings | {"text": {"source": {"name": "files", "paths": [str(prose(folder))]}, "held_out": 0.4}}
    return TASKS.load(name).model_validate(settings)


def labelled(folder: Path, better: str = "good") -> Path:
    """Write texts of very different lengths with one label each."""
    path = folder / "labelled.tsv"
    rows = [(better, "a fine film " * (1 + n % 4)) if n % 2 else ("bad", "dull " * (1 + n % 7)) for n in range(60)]
    path.write_text("".join(f"{label}\t{n} {text.strip()}\n" for n, (label, text) in enumerate(rows)))
    return path


def prose(folder: Path, word: str = "hills") -> Path:
    """Write a folder of prose."""
    texts = folder / "prose"
    texts.mkdir(exist_ok=True)
    for number in range(6):
        (texts / f"{number}.txt").write_text(f"the {word} are green , and the sea is far away {number} . " * 9)
    return texts


Content = Callable[[Path, str], dict[str, Any]]


def _classification(folder: Path, word: str) -> dict[str, Any]:
    return {"name": "classification", "source": str(labelled(folder, word))}


def _passkey(folder: Path, word: str) -> dict[str, Any]:
    return {"name": "passkey", "filler": str(prose(folder, word) / "0.txt")}


def _babilong(folder: Path, word: str) -> dict[str, Any]:
    path = folder / "qa1.txt"
    path.write_text(_BABI.format(word) * 10)
    return {"name": "babilong", "story": str(path), "test_facts": [2]}


def _language_modelling(folder: Path, word: str) -> dict[str, Any]:
    text = {"source": {"name": "files", "paths": [str(prose(folder, word))]}, "held_out": 0.4}
    return {"name": "language_modelling", "text": text}


WITH_CONTENT: dict[str, Content] = {
    "classification": _classification,
    "passkey": _passkey,
    "babilong": _babilong,
    "language_modelling": _language_modelling,
}
"""Task -> settings that name files, in which a word is what is said."""
