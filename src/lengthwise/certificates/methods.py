"""Methods of certification, and which of them fits a model."""

from __future__ import annotations

import numpy as np

from lengthwise.certificates.finding import Finding, Method
from lengthwise.certificates.limits import USUAL, Limits
from lengthwise.certificates.rounding import certify_stochastic
from lengthwise.certificates.stochastic import STATES, SoftAutomaton, read_unit
from lengthwise.errors import InputError
from lengthwise.models.base import SequenceModel, StringModel
from lengthwise.models.tree.ldru import LDRU
from lengthwise.models.tree.nested import Nested
from lengthwise.models.tree.stochastic import StochasticOperator
from lengthwise.tasks.base import Task
from lengthwise.tasks.capabilities import HasNesting
from lengthwise.tasks.regular.language import Language


def default_method(model: SequenceModel, task: Task) -> Method:
    """Return the method that can say most about a model of a task."""
    if isinstance(model, Nested) and isinstance(task, HasNesting):
        return "pushdown"
    if not isinstance(model, LDRU):
        return "black_box"
    return "raw" if is_row_stochastic(model) else "snapped"


def certify_raw(model: SequenceModel, task: Language, limits: Limits = USUAL) -> Finding:
    """Find out up to which length a unit with row-stochastic leaves is right as it is."""
    return certify_stochastic(soft_automaton(model), task.automaton, "raw", limits.states or STATES)


def certify_rounded(model: SequenceModel, task: Language, limits: Limits = USUAL) -> Finding:
    """Find out whether a unit with row-stochastic leaves is right once they are rounded; arguments as `certify_raw`."""
    return certify_stochastic(soft_automaton(model), task.automaton, "rounded", limits.states or STATES)


def soft_automaton(model: StringModel) -> SoftAutomaton:
    """Return the soft automaton of a unit."""
    if not isinstance(model, LDRU):
        raise InputError(
            f"a {type(model).__name__} has no rows that are proved as they are or rounded; "
            "--method black_box asks it questions"
        )
    tensors = {name: np.asarray(tensor.detach().cpu()) for name, tensor in model.state_dict().items()}
    return read_unit(tensors, model.config.model_dump(mode="json"))


def is_row_stochastic(model: LDRU) -> bool:
    """Return whether the values of a unit are plain products of row-stochastic matrices."""
    return isinstance(model.join.operator, StochasticOperator) and model.config.level == "plain"
