"""Sweeps: series that differ in one setting, and what that setting does to perplexity far beyond the context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import polars as pl

from lengthwise.report.axes import setting_axis
from lengthwise.report.panels import Panel
from lengthwise.report.parts import WORDS
from lengthwise.report.results import Results
from lengthwise.report.sections.by_position import OfPosition, ratio_panel
from lengthwise.report.sections.perplexity import TextSummary, summarise_text
from lengthwise.runs.table import Run

_UNRELATED = (
    *("format", "base", "name", "makes", "seeds", "device", "threads", "evaluation", "start"),
    *("training.checkpoint_every", "training.log_every"),
)
"""What does not decide what is trained; `start` names a recipe, whose own settings are compared."""
_MIXER = "model.mixer."
_CONTEXT, _STEPS, _REPAIR = "task.context", "training.steps", "post.training.steps"


@dataclass(frozen=True)
class Sweep:
    """What one setting does.

    Args:
        setting: its path in the recipe.
        points: with `kind`, `series`, `setting`, `mean`, `low`, `high` (ratios of perplexities).
    """

    setting: str
    points: pl.DataFrame


class Sweeps(OfPosition):
    """The ratio of perplexities in the last octave against each setting in which some series differ."""

    name: ClassVar[str] = "sweep"

    def panels(self, results: Results) -> list[Panel]:
        """Return a panel a setting."""
        return [_panel(sweep) for sweep in sweeps(results)]


@lru_cache(maxsize=4)
def sweeps(results: Results) -> list[Sweep]:
    """Return the sweeps that some series make together.

    Two series belong to a line where all settings that decide what is trained are the same but one: the training
    context (the batch size may go with it), the steps, those of post-training, or a number of the mixer. Where a series
    was post-trained, the settings of the run that it started from count as its own.

    Args:
        results: the runs.
    """
    summaries = summarise_text(results)
    runs = {run.head.recipe: run for run in results.runs}
    settings = {summary.series: _settings(summary.runs[0], runs) for summary in summaries}
    mixers = sorted({path for flat in settings.values() for path in flat if path.startswith(_MIXER)})
    found = [_sweep(path, settings, summaries) for path in (_CONTEXT, _STEPS, _REPAIR, *mixers)]
    return [sweep for sweep in found if sweep is not None]


def _panel(sweep: Sweep) -> Panel:
    """Return a panel: the ratio of perplexities against the setting, both logarithmic."""
    points, mixer = sweep.points, sweep.setting.removeprefix(_MIXER).replace("_", " ")
    heading = WORDS["swept-settings"].get(sweep.setting, f"{mixer} of the mixer")
    kinds = points["kind"].unique(maintain_order=True).to_list()
    x = setting_axis(heading, points["setting"].to_list())
    panel = ratio_panel(f"{heading[0].upper()}{heading[1:]}", kinds, x, points)
    panel.add_points(points)
    return panel


def _sweep(path: str, settings: Mapping[str, dict[str, Any]], summaries: Sequence[TextSummary]) -> Sweep | None:
    lines: dict[str, list[TextSummary]] = {}
    for summary in summaries:
        own = settings[summary.series]
        if type(own.get(path)) in {int, float} and own[path] > 0:
            lines.setdefault(_others(own, path), []).append(summary)
    swept = [line for line in lines.values() if len({settings[s.series][path] for s in line}) > 1]
    if not swept:
        return None
    rows = [
        {"line": number, "kind": kind, "series": kind, "setting": _along(path, settings[s.series])}
        | {"mean": s.last.value, "low": s.last.low, "high": s.last.high}
        for number, (line, kind) in enumerate(zip(swept, _kinds(swept), strict=True))
        for s in line
    ]
    return Sweep(path, pl.DataFrame(rows).sort("line", "setting").drop("line"))


def _along(path: str, settings: Mapping[str, Any]) -> float:
    windows = float(settings[_STEPS] * settings["training.batch_size"])
    if path == _REPAIR:
        return 100 * settings[_REPAIR] * settings["post.training.batch_size"] / windows
    return windows * settings[_CONTEXT] if path == _STEPS else float(settings[path])


def _kinds(lines: Sequence[Sequence[TextSummary]]) -> list[str]:
    """Return what tells lines apart: model and intervention, as far as they differ, otherwise the first series."""
    first = [line[0] for line in lines]
    models, interventions = [s.runs[0].head.model for s in first], [s.intervention for s in first]
    parts = [models, interventions, [f"T = {s.context:,}" for s in first]]
    differing = [part for part in parts if len(set(part)) > 1] or [interventions]
    kinds = [", ".join(words) for words in zip(*differing, strict=True)]
    return kinds if len(set(kinds)) == len(kinds) else [s.series for s in first]


def _others(settings: Mapping[str, Any], path: str) -> str:
    free = {path}
    if path == _CONTEXT:
        free = {f"{run}{name}" for run in ("", "post.") for name in (_CONTEXT, "training.batch_size")}
    return repr(sorted((name, repr(value)) for name, value in settings.items() if name not in free))


def _settings(run: Run, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Return path -> value of all that decides what is trained.

    A post-trained run has the context and steps of the run that it started from under their own names, since these are
    what is swept, and its own steps under ``post.``.
    """
    flat = {path: value for path, value in _flat(run.settings).items() if not path.endswith(".context")}
    flat[_CONTEXT] = run.head.training_length
    start = run.settings.get("start")
    if not start:
        return flat
    if start not in runs:
        return flat | {"post.start": "of a run that is not in the report"}
    own = [path for path in flat if path.startswith((_CONTEXT, "training.", "intervention."))]
    return _settings(runs[start], runs) | {f"post.{path}": flat[path] for path in own}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for path, value in ((f"{prefix}{key}", value) for key, value in settings.items()):
        if path not in _UNRELATED:
            flat |= _flat(value, f"{path}.") if isinstance(value, Mapping) else {path: value}
    return flat
