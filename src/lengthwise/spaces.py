"""Spaces: what a model reads at each position, and what it answers there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from lengthwise.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Loss: TypeAlias = Literal["squared_error", "binary_cross_entropy"]


@dataclass(frozen=True)
class Tokens:
    """Symbols ``0 .. size - 1``: read as tokens, answered as classes.

    Args:
        size: the number of different symbols, or of classes.
        kinds: of each word, where symbols are words of several kinds: symbol ``kind * words + word``. Its embedding is
            the sum of that of the word and that of the kind.
    """

    size: int
    kinds: int = 1


@dataclass(frozen=True)
class Values:
    """Vectors of real numbers.

    Args:
        size: F, the numbers of each vector.
        loss: of what is answered: ``squared_error``; ``binary_cross_entropy`` of logits, where each number is a
            probability; or a function of your own, ``(answers, targets) -> losses``, [N, F] each and [N].
    """

    size: int
    loss: Loss | Callable[[Tensor, Tensor], Tensor] = "squared_error"

    def __post_init__(self) -> None:
        if not callable(self.loss) and self.loss not in get_args(Loss):
            raise InputError(f"the loss of values is {' or '.join(get_args(Loss))} or a function, not {self.loss!r}")


Space: TypeAlias = Tokens | Values


def as_space(given: Space | int) -> Space:
    """Return a space; a plain number is that of the symbols or classes."""
    return Tokens(given) if isinstance(given, int) else given
