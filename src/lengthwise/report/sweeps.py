"""Sweeps: series that differ in one setting, and what that setting does to perplexity far beyond the context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lengthwise.diagnostics.verdict import FAILS_ABOVE
from lengthwise.report.axes import setting_axis, value_axis
from lengthwise.report.panels import Panel
from lengthwise.report.rows import Run, TextResults
from lengthwise.report.text_charts import HEIGHT, add_thresholds
from lengthwise.report.text_summary import TextSummary

_UNRELATED = ("name", "makes", "seeds", "device", "threads", "evaluation", "start")
"""Sections that do not decide what is trained; `start` names a recipe, whose own settings are compared."""
_UNRELATED_TRAINING = ("training.checkpoint_every", "training.log_every")
_MIXER = "model.mixer."
_HEADINGS = {"training.context": "training context T in symbols", "training.steps": "training symbols seen"}


@dataclass(frozen=True)
class Sweep:
    """What one setting does.

    Args:
        setting: its path in the recipe.
        heading: the setting in words, with its unit.
        points: with `kind`, `series`, `setting`, `mean`, `low`, `high` (ratios of perplexities).
    """

    setting: str
    heading: str
    points: pl.DataFrame


def sweeps(results: TextResults, summaries: Sequence[TextSummary]) -> list[Sweep]:
    """Return the sweeps that some series make together.

    Two series belong to a line where all settings that decide what is trained are the same but one: the training
    context (the batch size may go with it), the steps, or a number of the mixer. Where a series was post-trained, the
    settings of the run that it started from count as its own.

    Args:
        results: the runs.
        summaries: of all series.
    """
    runs = {run.recipe: run for run in results.runs}
    by_digest = {run.digest: run for run in results.runs}
    named = results.diagnosis.select("series", "digest").unique().iter_rows()
    settings = {series: _settings(by_digest[digest], runs) for series, digest in named}
    candidates = ["training.context", "training.steps"]
    candidates += sorted({path for flat in settings.values() for path in flat if path.startswith(_MIXER)})
    found = [_sweep(path, settings, summaries) for path in candidates]
    return [sweep for sweep in found if sweep is not None]


def sweep_panel(sweep: Sweep) -> Panel:
    """Return a panel: the ratio of perplexities against the setting, both logarithmic."""
    points = sweep.points
    kinds = points["kind"].unique(maintain_order=True).to_list()
    x = setting_axis(sweep.heading, points["setting"].to_list())
    y = value_axis([*points["low"], *points["high"]], include=(0.93, FAILS_ABOVE))
    title = f"{sweep.heading[0].upper()}{sweep.heading[1:]}"
    panel = Panel(title, kinds, "setting", x, y, quantity="ratio of perplexities", number=",.4~g", height=HEIGHT)
    add_thresholds(panel)
    panel.add_series(points)
    panel.add_points(points, hollow=False)
    return panel


def _sweep(path: str, settings: Mapping[str, dict[str, Any]], summaries: Sequence[TextSummary]) -> Sweep | None:
    lines: dict[str, list[TextSummary]] = {}
    for summary in summaries:
        value = settings[summary.series].get(path)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            lines.setdefault(_others(settings[summary.series], path), []).append(summary)
    swept = [line for line in lines.values() if len({settings[s.series][path] for s in line}) > 1]
    if not swept:
        return None
    rows = [
        {"line": number, "kind": kind, "series": kind, "setting": _along(path, settings[s.series])}
        | {"mean": s.last.mean, "low": s.last.low, "high": s.last.high}
        for number, (line, kind) in enumerate(zip(swept, _kinds(swept), strict=True))
        for s in line
    ]
    mixer = path.removeprefix(_MIXER).replace("_", " ")
    return Sweep(
        path, _HEADINGS.get(path, f"{mixer} of the mixer"), pl.DataFrame(rows).sort("line", "setting").drop("line")
    )


def _along(path: str, settings: Mapping[str, Any]) -> float:
    if path != "training.steps":
        return float(settings[path])
    return float(settings["training.steps"] * settings["training.batch_size"] * settings["training.context"])


def _kinds(lines: Sequence[Sequence[TextSummary]]) -> list[str]:
    """Return what tells lines apart: model and intervention, as far as they differ, otherwise the first series."""
    first = [line[0] for line in lines]
    parts = [[s.model for s in first], [s.intervention for s in first], [f"T = {s.context:,}" for s in first]]
    differing = [part for part in parts if len(set(part)) > 1] or [parts[1]]
    kinds = [", ".join(words) for words in zip(*differing, strict=True)]
    return kinds if len(set(kinds)) == len(kinds) else [s.series for s in first]


def _others(settings: Mapping[str, Any], path: str) -> str:
    free = {path}
    if path == "training.context":
        free = {f"{run}training.{name}" for run in ("", "post.") for name in ("context", "batch_size")}
    return repr(sorted((name, repr(value)) for name, value in settings.items() if name not in free))


def _settings(run: Run, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Return path -> value of all that decides what is trained.

    A post-trained run has the context and steps of the run that it started from under their own names, since these are
    what is swept, and its own steps under ``post.``.
    """
    flat = _flat({key: value for key, value in run.settings.items() if key not in _UNRELATED})
    flat = {path: value for path, value in flat.items() if path not in _UNRELATED_TRAINING}
    start = run.settings.get("start")
    if not start:
        return flat
    if start not in runs:
        return flat | {"post.start": "of a run that is not in the report"}
    post = {f"post.{path}": value for path, value in flat.items() if path.startswith(("training.", "intervention."))}
    return _settings(runs[start], runs) | post


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
