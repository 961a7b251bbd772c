"""Exactly right operators on vectors, made from the transition monoid of a task."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lengthwise.certificates.algebra import Algebra, extract_algebra
from lengthwise.certificates.certificate import Certificate, Training
from lengthwise.certificates.of_run import complete
from lengthwise.certificates.reading import Reading
from lengthwise.certificates.snapped import SnappedUnit, judge
from lengthwise.tasks.base import IGNORE
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.language import Language, Sampling

SUMS = Automaton(
    np.array([[1, 2, 5], [5, 5, 3], [5, 5, 4], [1, 2, 5], [2, 1, 5], [5, 5, 5]]),
    0,
    np.array([IGNORE, 0, 1, IGNORE, IGNORE, IGNORE]),
)
"""Bits (0 and 1) joined by plus signs (2), mod 2; strings that are no such sum have no class."""


def sums() -> Language:
    """Return sums of bits as a task: its strings have odd lengths, and not every two pieces fit together."""
    return Language("sums", "the sum mod 2", {"121": 0, "1": 1}, SUMS, Sampling.UNIFORM)


def exact_reading(task: Language, width: int = 16, noise: float = 0.0, seed: int = 0) -> Reading:
    """Return an operator that multiplies as the task's transition monoid does, on random codes.

    Args:
        task: the task.
        width: of the codes.
        noise: standard deviation of what is added to every product.
        seed: of codes and noise.
    """
    generator = torch.Generator().manual_seed(seed)
    monoid = task.automaton.transition_monoid()
    codes_MD = torch.nn.functional.normalize(torch.randn(monoid.size, width, generator=generator), dim=1)
    product = torch.tensor(monoid.product)
    outputs_M = torch.tensor(task.automaton.outputs_S[monoid.elements_MS[:, task.automaton.start]]).clamp(min=0)

    def decode(values: Tensor) -> Tensor:
        return (values @ codes_MD.T).argmax(-1)

    def join(left: Tensor, right: Tensor) -> Tensor:
        joined = codes_MD[product[decode(left), decode(right)]]
        return joined + noise * torch.randn(joined.shape, generator=generator)

    def readout(values: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(outputs_M[decode(values)], task.classes).float()

    return Reading(join, codes_MD[torch.tensor(monoid.generators)], readout)


TRAINING = Training(recipe="exact", digest="0", seed=0, step=1, sequences=1, seconds=0.0, longest=1)


def exact_certificate(task: Language, algebra: Algebra | None = None) -> Certificate:
    """Return the certificate of the snapped unit of an algebra, of an exact one by default."""
    algebra = algebra or extract_algebra(exact_reading(task), task.automaton)
    network = Network(SnappedUnit(algebra))
    found = complete(judge(algebra, network, task), network, task, TRAINING)
    return found.model_copy(update={"operator": "mlp", "weights": "0" * 64}).sealed()


class Network(torch.nn.Module):
    """A snapped unit as the network itself: one has buffers only, the other parameters, which say where it is."""

    def __init__(self, unit: SnappedUnit) -> None:
        super().__init__()
        self.unit = unit
        self.place = torch.nn.Parameter(torch.zeros(1))

    def string_logits(self, tokens: Tensor) -> Tensor:
        return self.unit.string_logits(tokens)
