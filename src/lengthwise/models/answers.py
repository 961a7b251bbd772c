"""Answers: the loss of each of them, and how far apart two of them are, for classes and for values.

Shape letters: N answers, C classes, F numbers of a vector.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.spaces import Space, Tokens, Values, as_space


def space_of(inputs: Tensor, given: Space | int | None, answers: Tensor) -> Space:
    """Return what a model answers: as it is said, or else what it reads, as models do that predict what comes next."""
    if given is not None:
        return as_space(given)
    return Values(answers.shape[-1]) if inputs.is_floating_point() else Tokens(answers.shape[-1])


def widened(answers: Tensor) -> Tensor:
    """Return answers in float32 or better: a loss is not taken in less."""
    return answers.to(torch.promote_types(answers.dtype, torch.float32))


def answer_losses(outputs: Space, answers: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of each answer [N], in float32 or better.

    Args:
        outputs: what is answered.
        answers: [N, C] logits, or [N, F] values.
        targets: [N] classes, or [N, F] values.

    Raises:
        InputError: targets do not belong to the answers, or a loss of the user's own is not one number an answer.
    """
    wide = widened(answers)
    if isinstance(outputs, Tokens):
        return F.cross_entropy(wide, targets, reduction="none")
    if targets.shape != wide.shape:
        raise InputError(f"targets of values have the shape of the answers, {list(wide.shape)}: {list(targets.shape)}")
    targets = targets.to(wide)
    if callable(outputs.loss):
        losses = outputs.loss(wide, targets)
        if losses.shape != wide.shape[:1]:
            raise InputError(
                f"a loss of your own gives one number an answer, [{len(wide)}] of answers {list(wide.shape)}, not "
                f"{list(losses.shape)}: leave out the mean over answers"
            )
        return losses
    if outputs.loss == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(wide, targets, reduction="none").mean(-1)
    return (wide - targets).square().mean(-1)


def divergences(outputs: Space, answers: Tensor, reference: Tensor) -> Tensor:
    """Return how far answers are from those that they should have been, one number each, as a loss to be descended.

    Of classes it is the Kullback-Leibler divergence from the reference's distribution, in nats; of probabilities
    (binary cross-entropy) the mean of theirs. Of other values it is the mean squared difference, in their own units.

    Args:
        outputs: what is answered.
        answers: [N, C] logits, or [N, F] values.
        reference: of the same shape.
    """
    one, other = widened(answers), widened(reference)
    if isinstance(outputs, Tokens):
        return F.kl_div(one.log_softmax(-1), other.log_softmax(-1), reduction="none", log_target=True).sum(-1)
    if outputs.loss == "binary_cross_entropy":
        crossed, own = (F.binary_cross_entropy_with_logits(x, other.sigmoid(), reduction="none") for x in (one, other))
        return (crossed - own).mean(-1)
    return (one - other).square().mean(-1)


def distances(outputs: Space, answers: Tensor, reference: Tensor) -> Tensor:
    """Return how far answers are from those that they are compared with, one number each.

    Of classes it is the total variation of their distributions, in 0..1. Of values it is the L2 norm of the difference
    over that of the reference; of probabilities (binary cross-entropy) their mean absolute difference, in 0..1.

    Args:
        outputs: what is answered.
        answers: [..., C] logits, or [..., F] values.
        reference: logits or values of a shape that goes with it.
    """
    one, other = answers.double(), reference.double()
    if isinstance(outputs, Tokens):
        return (one.softmax(-1) - other.softmax(-1)).abs().sum(-1) / 2
    if outputs.loss == "binary_cross_entropy":
        return (one.sigmoid() - other.sigmoid()).abs().mean(-1)
    # Where the reference is zero, all that differs is infinitely far, and what does not is not.
    apart, size = (one - other).norm(dim=-1), other.norm(dim=-1).expand(one.shape[:-1])
    return torch.where(apart == 0, apart, apart / size)
