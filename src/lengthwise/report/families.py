"""Families: recipes of the same model on different tasks, and which of them a page compares with each other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lengthwise.report.rows import Results, Run


@dataclass(frozen=True)
class Section:
    """Families that are compared with each other.

    Args:
        name: of its files and elements; empty for the models.
        heading: what is compared.
        results: the runs, whose families go by short names.
        ablation: whether it varies one model, and has a row a variant and a column a task.
    """

    name: str
    heading: str
    results: Results
    ablation: bool


def sections(results: Results) -> list[Section]:
    """Return the models, then each ablation.

    An ablation is a folder of recipes with two families or more, all of one model: its variants. All other families
    are models, the log-depth units first.

    Args:
        results: the runs.
    """
    folders: dict[str, list[str]] = {}
    for family in results.families:
        folders.setdefault(_folder(family), []).append(family)
    variants = {
        folder: names for folder, names in folders.items() if len(names) > 1 and len(_models(results, names)) == 1
    }
    models = [name for folder, names in folders.items() if folder not in variants for name in names]
    found: list[Section] = []
    if models:
        models.sort(key=lambda name: _models(results, [name]) != {"ldru"})
        found.append(Section("", "Models", results.of(_short(models)), ablation=False))
    for folder, names in variants.items():
        only = len(variants) == 1 and not models
        slug = "" if only else re.sub(r"[^A-Za-z0-9_.-]+", "-", folder)
        found.append(Section(slug, f"Variants in {folder}", results.of(_short(names)), ablation=True))
    return found


def model_name(run: Run) -> str:
    """Return the name of the mixer, or of the model where it has none."""
    model = run.settings.get("model", {})
    return str((model.get("mixer") or model).get("name", ""))


def operator_name(run: Run) -> str:
    """Return the name of the operator of a log-depth unit; empty for other models."""
    return str((run.settings.get("model", {}).get("operator") or {}).get("name", ""))


def _models(results: Results, families: list[str]) -> set[str]:
    return {model_name(run) for run in results.runs if run.family in families}


def _folder(family: str) -> str:
    return family.rpartition("/")[0] or family


def _short(families: list[str]) -> Mapping[str, str]:
    """Return family -> its last part, where that alone tells it from the others."""
    counts = Counter(family.rpartition("/")[2] for family in families)
    return {family: last if counts[last := family.rpartition("/")[2]] == 1 else family for family in families}
