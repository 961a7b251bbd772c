"""The selective scan of Mamba-1: a diagonal linear recurrence whose decay differs by channel, state and token.

Its decays do not factor into a product over tokens, so no chunk of it is a matrix product. What is left is to move few
bytes: a walk over time in buffers that hold one chunk and stay in cache, and a backward pass by hand that computes the
states of each chunk again from the state before it. Every exponential is of a number that is not positive.

Shape letters: B batch rows, T tokens, L tokens of a chunk, D channels, N states of a channel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.scans.checks import check_chunk, check_shapes
from lengthwise.scans.chunks import precision, smallest_logarithm

CHUNK = 16
"""Tokens at a time: 4 to 32 are about as fast on a CPU, and one state a chunk is kept for the backward pass."""


def selective_scan(
    u_BTD: Tensor,
    dt_BTD: Tensor,
    A_DN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    skip_D: Tensor | None = None,
    state_BDN: Tensor | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Run ``h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t`` and ``y_t = C_t h_t + skip u_t`` over time.

    Differentiable once in every argument, also through the final state; second derivatives are refused in the backward
    pass with an `InputError`. Sums and states are in float32 at least, whatever the inputs are in.

    Args:
        u_BTD: [B, T, D] inputs, T at least 1.
        dt_BTD: [B, T, D] step sizes, positive.
        A_DN: [D, N] rates, negative: a state falls by the factor ``exp(dt A)`` a token.
        B_BTN: [B, T, N] how an input is written to the states of its channel.
        C_BTN: [B, T, N] how the states of a channel are read.
        skip_D: [D] weight of the input in the output; none by default.
        state_BDN: [B, D, N] the state before the first token; zeros by default.
        chunk: L, tokens at a time; results differ by rounding only.

    Returns:
        [B, T, D] outputs in the dtype of the inputs, and the state [B, D, N] after the last token, in float32 at least.

    Raises:
        InputError: shapes do not go together, there are no tokens, or the chunk is empty.

    Source: Gu and Dao 2023, algorithm 2; rates and steps discretised as its released code does it, with an Euler step
    for the input.

    Example:
        >>> u, dt, B, C = torch.randn(2, 5, 3), torch.rand(2, 5, 3), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
        >>> y, state = selective_scan(u, dt, -torch.rand(3, 4), B, C)
        >>> y.shape, state.shape
        (torch.Size([2, 5, 3]), torch.Size([2, 3, 4]))
    """
    check_shapes(u_BTD=u_BTD, dt_BTD=dt_BTD, A_DN=A_DN, B_BTN=B_BTN, C_BTN=C_BTN, skip_D=skip_D, state_BDN=state_BDN)
    check_chunk(chunk)
    given = (u_BTD, dt_BTD, A_DN, B_BTN, C_BTN, skip_D, state_BDN)
    dtype = precision(*(x for x in given if x is not None))
    state_BDN = u_BTD.new_zeros(len(u_BTD), *A_DN.shape) if state_BDN is None else state_BDN
    # Time first, so that a chunk is one piece of memory; channels last, so that the fastest loops are long.
    u, dt, B, C = (x.to(dtype).transpose(0, 1).contiguous() for x in (u_BTD, dt_BTD, B_BTN, C_BTN))
    A_ND, start_BND = (x.to(dtype).mT.contiguous() for x in (A_DN, state_BDN))
    scan = _SelectiveScan.apply(dt, dt * u, A_ND, B, C, start_BND, chunk, torch.is_grad_enabled())
    y_TBD, last_BND = cast(tuple[Tensor, Tensor], scan)
    if skip_D is not None:
        y_TBD = torch.addcmul(y_TBD, u, skip_D.to(dtype))
    return y_TBD.transpose(0, 1).to(u_BTD.dtype), last_BND.mT


class _Inputs(NamedTuple):
    """What drives the recurrence; `x` is the input times the step."""

    dt_TBD: Tensor
    x_TBD: Tensor
    A_ND: Tensor
    B_TBN: Tensor
    C_TBN: Tensor

    def chunks(self, size: int) -> Iterator[_Inputs]:
        driven = (self.dt_TBD, self.x_TBD, self.B_TBN, self.C_TBN)
        for dt, x, B, C in zip(*(v.split(size) for v in driven), strict=True):
            yield _Inputs(dt, x, self.A_ND, B, C)

    def buffers(self, size: int, count: int) -> list[_Buffer]:
        tokens, rows, _ = self.dt_TBD.shape
        return [_Buffer(self.A_ND.new_empty(min(size, tokens), rows, *self.A_ND.shape)) for _ in range(count)]


class _Buffer:
    """Room for a chunk, and views of its tokens: made once, because for every chunk they would cost a tenth of it."""

    def __init__(self, whole_LBND: Tensor) -> None:
        self.whole_LBND = whole_LBND
        self.tokens = whole_LBND.unbind()

    def first(self, size: int) -> _Buffer:
        """Return the room for a shorter chunk."""
        return self if size == len(self.tokens) else _Buffer(self.whole_LBND[:size])


def _fill_states(inputs: _Inputs, start_BND: Tensor, decay: _Buffer, states: _Buffer) -> None:
    """Write the decay of every token of a chunk, and the states after it."""
    decay_LBND, states_LBND = decay.whole_LBND, states.whole_LBND
    smallest = smallest_logarithm(decay_LBND.dtype)
    torch.mul(inputs.dt_TBD[:, :, None], inputs.A_ND, out=decay_LBND).clamp_(min=smallest).exp_()
    torch.mul(inputs.B_TBN[..., None], inputs.x_TBD[:, :, None], out=states_LBND)
    before = start_BND
    for decay_BND, state_BND in zip(decay.tokens, states.tokens, strict=True):
        before = state_BND.addcmul_(decay_BND, before)


def _contract(weights_LBI: Tensor, values_LBIJ: Tensor, out_LBJ: Tensor) -> None:
    """Sum over I, token by token and row by row, as one batched product."""
    torch.bmm(weights_LBI.flatten(0, 1)[:, None], values_LBIJ.flatten(0, 1), out=out_LBJ.flatten(0, 1)[:, None])


class _SelectiveScan(torch.autograd.Function):
    """The scan with its gradients; between the passes only the inputs and one state a chunk are kept."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, Tensor]:
        *tensors, before_BND, chunk, differentiable = arguments
        inputs, starts = _Inputs(*tensors), list[Tensor]()
        y_TBD = torch.empty_like(inputs.x_TBD)
        decay, states = inputs.buffers(chunk, 2)
        for part, y_LBD in zip(inputs.chunks(chunk), y_TBD.split(chunk), strict=True):
            states = states.first(len(y_LBD))
            _fill_states(part, before_BND, decay.first(len(y_LBD)), states)
            _contract(part.C_TBN, states.whole_LBND, y_LBD)
            if differentiable:
                starts.append(before_BND)
            before_BND = states.tokens[-1].clone()
        ctx.save_for_backward(*tensors, *starts)
        ctx.chunk = chunk
        return y_TBD, before_BND

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad_y_TBD, grad_last_BND = grad_outputs
        if torch.is_grad_enabled():
            raise InputError("selective_scan has no second derivatives: differentiate it without create_graph")
        saved = cast(tuple[Tensor, ...], ctx.saved_tensors)
        inputs, starts = _Inputs(*saved[:5]), saved[5:]
        gradients = _Inputs(*(torch.empty_like(x) for x in inputs))
        gradients.A_ND.zero_()
        buffers = inputs.buffers(ctx.chunk, 3)
        carried_BND = grad_last_BND.clone()
        grad_y = grad_y_TBD.contiguous().split(ctx.chunk)
        parts = list(zip(inputs.chunks(ctx.chunk), gradients.chunks(ctx.chunk), starts, grad_y, strict=True))
        for part, gradient, start_BND, grad_y_LBD in reversed(parts):
            room = [buffer.first(len(grad_y_LBD)) for buffer in buffers]
            _chunk_backward(part, gradient, start_BND, grad_y_LBD, carried_BND, room)
        return *gradients, carried_BND, None, None


def _chunk_backward(
    inputs: _Inputs, gradient: _Inputs, start_BND: Tensor, grad_y_LBD: Tensor, carried_BND: Tensor, room: list[_Buffer]
) -> None:
    """Write the gradients of a chunk's inputs, and turn that of the state after it into that of the state before it."""
    _fill_states(inputs, start_BND, *room[:2])
    decay, states, grads = (buffer.whole_LBND for buffer in room)
    torch.mul(inputs.C_TBN[..., None], grad_y_LBD[:, :, None], out=grads)
    for decay_BND, grad_BND in zip(reversed(room[0].tokens), reversed(room[2].tokens), strict=True):
        grad_BND.add_(carried_BND)
        torch.mul(decay_BND, grad_BND, out=carried_BND)
    _contract(grad_y_LBD, states.mT, gradient.C_TBN)
    _contract(inputs.x_TBD, grads.mT, gradient.B_TBN)
    _contract(inputs.B_TBN, grads, gradient.x_TBD)

    decay[1:].mul_(states[:-1])
    decay[0].mul_(start_BND)
    grad_exponent = decay.mul_(grads)
    torch.mul(grad_exponent, inputs.A_ND, out=grads)
    torch.sum(grads, 2, out=gradient.dt_TBD)
    # A product with ones is faster than a sum over tokens and rows.
    of_A_LBND = grad_exponent.mul_(inputs.dt_TBD[:, :, None]).flatten(2).flatten(0, 1)
    gradient.A_ND.view(1, -1).addmm_(of_A_LBND.new_ones(1, len(of_A_LBND)), of_A_LBND)
