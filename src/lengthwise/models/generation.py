"""Generation: tokens one at a time, after a prompt or from a kept state; memory is that of one state and one token.

Shape letters: B batch rows, T tokens, C symbols.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from lengthwise.errors import InputError, RunError
from lengthwise.models.base import SequenceModel, largest, last_logits, read
from lengthwise.models.reading import check_tokens
from lengthwise.state import State

PROMPT = 1_024
"""Tokens of a prompt that are read at a time, over all rows: what their logits take does not grow with its length."""


_COLDEST = 1e-30
"""The lowest temperature by which a number in float32 can be divided."""


class Generation(Iterator[Tensor]):
    """Tokens [B] without an end, each drawn from the answer of the model to the ones before.

    What was generated last is not yet read: `state` together with `unread` is all that a later call needs to go on
    as if it had never stopped. Made by `generate`.

    Args:
        model: the model.
        unread: [B, T] the tokens that are read first.
        state: before them.
        choose: maps logits [B, C] to tokens [B].
    """

    def __init__(self, model: SequenceModel, unread: Tensor, state: State, choose: Callable[[Tensor], Tensor]) -> None:
        self.model, self.unread, self.state = model, unread, state
        self._choose = choose

    @torch.no_grad()
    def __next__(self) -> Tensor:
        """Read what is unread, and return the next tokens [B].

        Raises:
            InputError: a symbol is none that the model reads.
            RunError: the model answered with logits that are not finite.
        """
        chunk = max(1, PROMPT // len(self.unread))
        try:
            (piece,) = deque(read(self.model, self.unread, chunk, state=self.state), maxlen=1)
        except IndexError as error:
            raise InputError(
                f"the model reads no symbol {int(self.unread.max())}, which the prompt holds or it answered with; "
                f"one that generates has the same symbols for both ({error})"
            ) from error
        token_B = self._choose(last_logits(piece.output.logits))
        self.state, self.unread = piece.output.state, token_B[:, None]
        return token_B

    def take(self, count: int) -> Tensor:
        """Return the next tokens, [B, count]."""
        tokens_BT = self.unread.new_empty(len(self.unread), count)
        for place in range(count):
            tokens_BT[:, place] = next(self)
        return tokens_BT


def generate(
    model: SequenceModel,
    prompt: Tensor,
    state: State | None = None,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> Generation:
    """Generate tokens with a model that answers with the symbols that it reads, whatever it is.

    Args:
        model: in evaluation mode.
        prompt: [B, T] symbols, at least one: the prompt, or what a generation before had left unread.
        state: before them, of B rows; by default the initial one.
        temperature: divides the logits; at 0 the largest is taken.
        top_k: how many symbols can be drawn at most; all by default.
        top_p: only the most probable symbols are drawn, as few as have this probability together.
        generator: draws, on the device of the model; torch's own by default.

    Returns:
        An iterator without an end, over tokens [B]; ``itertools.islice`` or `Generation.take` stops it.

    Raises:
        InputError: the model is being trained, the prompt is none, the state has other rows, or a number is out of
            reach.

    Example:
        >>> from lengthwise import BackboneConfig
        >>> _ = torch.manual_seed(0)
        >>> model = BackboneConfig(width=16, layers=1).build(5, 5).eval()
        >>> prompt = torch.tensor([[1, 2, 3]])
        >>> first = generate(model, prompt)
        >>> begun = first.take(4)
        >>> rest = generate(model, first.unread, first.state).take(3)
        >>> torch.equal(torch.cat([begun, rest], 1), generate(model, prompt).take(7))
        True
    """
    if model.training:
        raise InputError("the model is in training mode, where dropout decides about its answers: call model.eval()")
    check_tokens(prompt, 1)
    if prompt.is_floating_point():
        raise InputError(f"a prompt is symbols, [rows, tokens] of integers, and not {prompt.dtype}")
    unread = prompt.to(next(model.parameters()).device, torch.int64)
    before = (model.initial_state(len(unread)) if state is None else state).of_rows(len(unread))
    if not 0 <= temperature < float("inf") or not 0 < top_p <= 1 or (top_k is not None and top_k < 1):
        raise InputError(
            f"a temperature is at least 0, top_k at least 1, and top_p above 0 and at most 1: not {temperature}, "
            f"{top_k} and {top_p}"
        )
    draw = partial(_drawn, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    return Generation(model, unread, before, draw if temperature else largest)


def _drawn(
    logits_BC: Tensor, *, temperature: float, top_k: int | None, top_p: float, generator: torch.Generator | None
) -> Tensor:
    """Draw a symbol [B] of each row.

    Raises:
        RunError: a logit is not a number, or the largest of a row is infinite.
    """
    best_B1 = logits_BC.float().gather(1, largest(logits_BC)[:, None])
    if bool(best_B1.isinf().any()):
        raise RunError("the largest logit is infinite, so that nothing can be drawn")
    # From the largest, so that a low temperature overflows to a probability of zero and not to infinity.
    scaled_BC = (logits_BC.float() - best_B1) / max(temperature, _COLDEST)
    if top_k is not None and top_k < scaled_BC.shape[1]:
        scaled_BC = scaled_BC.masked_fill(scaled_BC < scaled_BC.topk(top_k).values[:, -1:], -torch.inf)
    if top_p < 1:
        sorted_BC, order_BC = scaled_BC.softmax(1).sort(1, descending=True)
        beyond_BC = sorted_BC.cumsum(1) - sorted_BC >= top_p
        scaled_BC = scaled_BC.masked_fill(beyond_BC.gather(1, order_BC.argsort(1)), -torch.inf)
    return torch.multinomial(scaled_BC.softmax(1), 1, generator=generator)[:, 0]
