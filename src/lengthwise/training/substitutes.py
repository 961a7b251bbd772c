"""What training reads in the place of strings that a language does not have, said before it begins."""

from __future__ import annotations

from collections.abc import Sequence

from lengthwise.tasks.language import Language
from lengthwise.training.config import TrainingConfig


def substitutes(task: Language, config: TrainingConfig) -> list[str]:
    """Return a sentence for the lengths that others take the place of, and for each part of the mixture at some length.

    Args:
        task: where the strings come from.
        config: the settings of training.

    Returns:
        Nothing where the task has all that is asked for.

    Raises:
        InputError: neither a length that may be drawn nor the one below has strings.
    """
    asked = range(config.lengths.minimum, config.lengths.maximum + 1)
    read = [task.nearest_length(length) for length in asked]
    sentences = list[str]()
    if missing := [length for length, nearest in zip(asked, read, strict=True) if nearest != length]:
        sentences.append(
            f"{task.name} has no strings of length {_listed(missing)}: "
            "training reads strings that are one symbol shorter in their place"
        )
    parts = {"accepted": task.has_accepted, "near_miss": task.has_near_misses}
    for part, exists in parts.items():
        if not config.mixture.get(part):
            continue
        if missing := [length for length in dict.fromkeys(read) if not exists(length)]:
            sentences.append(
                f"{task.name} has no strings of the mixture's part {part!r} of length {_listed(missing)}: "
                "training reads standard ones in their place"
            )
    return sentences


def _listed(lengths: Sequence[int]) -> str:
    if len(lengths) <= 4:
        return ", ".join(map(str, lengths))
    return f"{', '.join(map(str, lengths[:3]))}, ..., {lengths[-1]} ({len(lengths)} lengths)"
