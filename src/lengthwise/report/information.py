"""Information: what a recipe was told about its training strings, and who chose them; read off its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lengthwise.report.results import setting

STANDARD = "standard"
"""The part of a mixture that is drawn as what is measured."""
_CHOSEN = {
    "near_miss": "near misses",
    "hard": "hard ones",
    "runs": "long runs",
    "walk": "walks",
    "accepted": "accepted ones",
    "uniform": "uniform ones",
}
_EVERYWHERE = ("language_modelling", "signals", "copying", "passkey", "mqar", "selective_copying")
"""Tasks that ask at several places, or everywhere."""


def labels_of(settings: Mapping[str, Any]) -> str:
    """Return how many labels a training string comes with, in words.

    Args:
        settings: those of a recipe.
    """
    name, weight = setting(settings, "objective.name"), setting(settings, "objective.node_weight")
    if name in (None, "asked"):
        return "where the task asks" if setting(settings, "task.name") in _EVERYWHERE else "1"
    if name == "tree":
        products = ", and products of a teacher" if setting(settings, "objective.products") else ""
        return ("1" if weight == 0 else "every node") + products
    return {"prefixes": "every prefix", "counterexamples": "every prefix"}.get(str(name), f"{name}")


def chosen_by(settings: Mapping[str, Any]) -> str:
    """Return which strings were trained on, in words: as those that are measured, or chosen otherwise.

    Args:
        settings: those of a recipe.
    """
    mixture = setting(settings, "task.mixture") or {STANDARD: 1}
    others = [name for name, share in mixture.items() if share and name != STANDARD]
    parts = ["as measured"] if mixture.get(STANDARD) or not others else []
    parts += [_CHOSEN.get(name, name) for name in others]
    if setting(settings, "objective.name") == "counterexamples":
        parts.append("counterexamples of a teacher")
    curriculum = setting(settings, "training.curriculum.name") or "uniform"
    lengths = {"uniform": "", "growing": "; short ones first", "log_uniform": "; short ones more often"}
    brackets = setting(settings, "model.brackets.opening")
    return ", ".join(parts) + lengths.get(curriculum, f"; {curriculum}") + ("; brackets told" if brackets else "")
