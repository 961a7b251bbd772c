"""Migration of recipes: settings of format 1, with two kinds of recipe, to format 2, with one."""

from __future__ import annotations

from typing import Any, Literal

FORMAT: Literal[2] = 2

_TRAINING = ("lengths", "mixture", "supervision", "bracketing", "node_weight", "share_subtrees", "associativity")
_OLD_TRAINING = {*_TRAINING, "products", "counterexamples", "context"}
_OLD_EVALUATION = {
    *("longest", "every", "samples", "long_lengths", "long_samples", "curve_lengths", "curve_samples", "near_misses"),
    *("reach", "rows", "bins", "chunk", "remembrance_reach", "remembrance_starts", "state_rows", "curve_rows"),
}
TEXT_OPTIMISER = {"amsgrad": False, "betas": [0.9, 0.95], "warm_up": 0.1, "tail": "cosine", "centralise": False}
"""What language models had for defaults of their own, and pretrained ones have."""


def is_old(settings: dict[str, Any]) -> bool:
    """Return whether settings are those of a recipe of format 1."""
    if "format" in settings:
        return settings["format"] == 1
    training, evaluation = settings.get("training"), settings.get("evaluation")
    return (
        "text" in settings
        or (isinstance(training, dict) and bool(_OLD_TRAINING & set(training)))
        or (isinstance(evaluation, dict) and bool(_OLD_EVALUATION & set(evaluation)))
    )


def migrate(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings in the present format; those that are in it are returned as they are.

    Args:
        settings: nested mappings and lists, with defaults left out at will; not changed.
    """
    if not is_old(settings):
        return settings
    kept = {key: value for key, value in settings.items() if key not in {"format", "text", "task"}}
    training, evaluation = dict(settings.get("training") or {}), dict(settings.get("evaluation") or {})
    new = _language_modelling if "text" in settings else _regular
    parts = new(settings, training, evaluation)
    return {"format": FORMAT} | kept | parts


def _take(old: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: old.pop(name) for name in names if name in old}


def _renamed(old: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {new: old.pop(name) for name, new in names.items() if name in old}


def _regular(settings: dict[str, Any], training: dict[str, Any], evaluation: dict[str, Any]) -> dict[str, Any]:
    curriculum = dict(training.pop("lengths", None) or {})
    task: dict[str, Any] = {"name": "regular", "language": settings.get("task")} | _take(training, "mixture")
    if lengths := _take(curriculum, "minimum", "maximum"):
        task["train"] = lengths
    test = _take(evaluation, "longest", "every", "samples", "long_lengths", "long_samples", "near_misses")
    test |= _take(evaluation, "curve_lengths", "curve_samples")
    if test:
        task["test"] = test
    objective = _objective(training, dict(settings.get("model") or {}))
    if curriculum:
        training["curriculum"] = curriculum
    return {"task": task, "objective": objective, "training": training, "evaluation": evaluation}


def _objective(training: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    supervision = training.pop("supervision", "root")
    tree = _take(training, "bracketing", "node_weight", "share_subtrees", "associativity", "products")
    counterexamples = training.pop("counterexamples", None)
    if counterexamples:
        return {"name": "counterexamples"} | counterexamples
    if supervision == "prefixes":
        return {"name": "prefixes"}
    if model.get("name") != "ldru":
        return {"name": "asked"}
    if supervision == "root":
        tree["node_weight"] = 0.0
    return {"name": "tree"} | {name: value for name, value in tree.items() if value is not None}


def _language_modelling(
    settings: dict[str, Any], training: dict[str, Any], evaluation: dict[str, Any]
) -> dict[str, Any]:
    task = {"name": "language_modelling", "text": settings["text"]} | _take(training, "context")
    training = {"batch_size": 32} | training
    training["optimiser"] = TEXT_OPTIMISER | dict(training.get("optimiser") or {})
    rows, reach, chunk = _take(evaluation, "rows"), _take(evaluation, "reach"), _take(evaluation, "chunk")
    bins = _take(evaluation, "bins")
    perplexity = reach | rows | bins | chunk | _take(evaluation, "curve_rows")
    remembrance = _renamed(evaluation, {"remembrance_reach": "reach", "remembrance_starts": "starts"}) | rows
    state = reach | bins | chunk | _renamed(evaluation, {"state_rows": "rows"})
    measured = {"perplexity": perplexity, "remembrance": remembrance, "state_statistics": state}
    evaluation |= {name: section for name, section in measured.items() if section}
    parts = {"task": task, "objective": {"name": "asked"}, "training": training, "evaluation": evaluation}
    if isinstance(intervention := settings.get("intervention"), dict) and "tails" in intervention:
        parts["intervention"] = {("conv_states" if key == "tails" else key): v for key, v in intervention.items()}
    return parts
