"""The section of a model card that says what post-training did, from the rows it left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lengthwise.files import read_object
from lengthwise.report.comparison import side_by_side
from lengthwise.report.words import template
from lengthwise.runs.folder import RunFolder
from lengthwise.runs.rows import read_evaluation


def model_card(
    source: str, before: RunFolder, after: RunFolder, settings: Mapping[str, Any], unread: Sequence[str]
) -> str:
    """Return the text of README.md for a post-trained checkpoint.

    Args:
        source: the text of its source's README.md, kept at the head; may be empty.
        before: the diagnosed run of the source.
        after: the diagnosed run of the post-training.
        settings: its resolved recipe.
        unread: the tensors of the source that are not of the model that was trained.

    Raises:
        InputError: one of the runs was not diagnosed.
    """
    first, second = (read_evaluation(folder.evaluation) for folder in (before, after))
    intervention = dict(settings["intervention"])
    name = intervention.pop("name")
    return template("model_card.md.j2").render(
        title=source.rstrip() or f"# {settings['name']}",
        name=name,
        listed=", ".join(f"{setting} {value}" for setting, value in intervention.items()),
        training={"precision": "float32"} | dict(settings["training"]),
        head=second[0],
        environment=read_object(after.environment, "environment"),
        rows=side_by_side(first, second),
        unread=len(unread),
        parts=list(dict.fromkeys(".".join(name.split(".")[:2]) for name in unread)),
    )
