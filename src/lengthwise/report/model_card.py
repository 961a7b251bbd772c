"""The section of a model card that says what post-training did, from the rows it left behind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lengthwise.report.comparison import ratio_in_words
from lengthwise.report.diagnosed import MULTIPLES, Diagnosed, as_perplexity
from lengthwise.report.parts import NONE
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import read_evaluation


def model_card(source: str, before: RunFolder, after: RunFolder, settings: Mapping[str, Any]) -> str:
    """Return the text of README.md for a post-trained checkpoint.

    Args:
        source: the text of its source's README.md, kept at the head; may be empty.
        before: the diagnosed run of the source.
        after: the diagnosed run of the post-training.
        settings: its resolved recipe.

    Raises:
        InputError: one of the runs was not diagnosed.
    """
    one, other = (Diagnosed(*read_evaluation(folder.evaluation)) for folder in (before, after))
    head = source.rstrip() or f"# {settings['name']}"
    title = "## Post-trained for length with lengthwise"
    return "\n".join([head, "", title, "", *_done(settings, other, after), *_table(one, other), ""])


def _done(settings: Mapping[str, Any], run: Diagnosed, after: RunFolder) -> list[str]:
    training, head = settings["training"], run.head
    intervention = dict(settings["intervention"])
    name = intervention.pop("name")
    environment = json.loads(after.environment.read_text(encoding="utf-8"))
    listed = ", ".join(f"{setting} {value}" for setting, value in intervention.items())
    return [
        f"{training['steps']:,} steps whose windows start from states as `{name}` gives them"
        f"{f' ({listed})' if listed else ''}; nothing else about the model was changed.",
        "",
        f"- Windows of {run.context:,} tokens (T): {training['batch_size']} a step, {head.sequences:,} in all",
        f"- Peak learning rate: {training['optimiser']['learning_rate']:g}; precision: "
        f"{training.get('precision', 'float32')}; seed: {head.seed}",
        f"- Text (source and fingerprint): {head.data}",
        f"- Command: `{environment['command']}`",
        f"- lengthwise {environment['lengthwise']}{f', commit {head.commit}' if head.commit else ''}",
        "",
        "Measured on held-out text, the state carried all along; a ratio is perplexity in the octave that ends there "
        "over that in the octave that ends at T, with its 95 % interval:",
        "",
    ]


def _table(before: Diagnosed, after: Diagnosed) -> list[str]:
    lines = ["| | before | after |", "|---|---|---|"]
    columns = [_cells(before), _cells(after)]
    for (name, one), (_, other) in zip(*columns, strict=True):
        if {one, other} != {NONE}:
            lines.append(f"| {name} | {one} | {other} |")
    return lines


def _cells(run: Diagnosed) -> list[tuple[str, str]]:
    last = run.ratios[-1].end if run.ratios else run.context
    return [
        ("perplexity within T", as_perplexity(run.inside)),
        ("perplexity in the octave to T", as_perplexity(run.at_context)),
        *((f"ratio at {multiple} T", ratio_in_words(run.ratio(multiple))) for multiple in MULTIPLES),
        (f"perplexity in the octave to {last:,}", as_perplexity(run.loss(last // 2, last))),
        ("verdict", run.verdict[0]),
    ]
