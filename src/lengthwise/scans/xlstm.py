"""The recurrences with exponential gates of xLSTM: scalar memories that mix, and matrix memories.

A memory holds sums of terms ``exp(log weight)``, whose logarithms have no bound. So it is stored divided by
``exp(stabiliser)``, where the stabiliser is the largest log weight of any term so far. Every factor is then at most
one, and the stored sums are those of the papers times a factor that cancels in the output.

Shape letters: B batch rows, T tokens, H heads, K key channels, V value channels or units of a head, G = 4 V
preactivations of a head: input gate, forget gate, cell input, output gate.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.scans.checks import check_shapes
from lengthwise.scans.chunks import carry, precision
from lengthwise.scans.mamba2 import CHUNK, linear_scan

EPSILON = 1e-6
"""Added to what divides the outputs of a matrix memory."""
NOTHING = -1e30
"""Log weight of a memory that holds nothing: no exponential of it, from any stabiliser, is more than zero."""


class MatrixMemory(NamedTuple):
    """State of `mlstm_scan`; all zeros hold nothing."""

    matrix_BHKV: Tensor
    normaliser_BHK: Tensor
    stabiliser_BH: Tensor


def mlstm_scan(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_input_BTH: Tensor,
    log_forget_BTH: Tensor,
    memory: MatrixMemory,
    *,
    chunk: int = CHUNK,
) -> tuple[Tensor, MatrixMemory]:
    """Run ``C_t = f_t C_{t-1} + i_t k_t^T v_t``, ``n_t = f_t n_{t-1} + i_t k_t`` and read ``q C / max(|q n|, 1)``.

    The stabilisers of all tokens come first; with them the rest is a linear recurrence with decays of at most
    one, which is computed in chunks. The outputs depend on a stabiliser only through `EPSILON`, so an empty memory may
    start with any, for instance zero.

    Args:
        q_BTHK: queries, scaled; T at least 1.
        k_BTHK: keys.
        v_BTHV: values.
        log_input_BTH: logarithms of the input gates i; minus infinity lets nothing in.
        log_forget_BTH: logarithms of the forget gates f; minus infinity clears the memory.
        memory: the memory before the first token.
        chunk: tokens computed together; it changes the speed, and results by rounding only.

    Returns:
        Outputs [B, T, H, V] in the dtype of the values, and the memory after the last token, in float32 at least.

    Raises:
        InputError: the shapes do not go together, or there are no tokens.
        RunError: a second derivative is asked for.

    Source: Beck et al. 2024, equations 19 to 27, stabilised as in appendix A.2; a small constant is added to the
    divisor as in their code.

    Example:
        >>> q_BTHK, k_BTHK, v_BTHV = torch.randn(2, 7, 3, 4), torch.randn(2, 7, 3, 4), torch.randn(2, 7, 3, 5)
        >>> memory = MatrixMemory(torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4), torch.zeros(2, 3))
        >>> y_BTHV, memory = mlstm_scan(q_BTHK, k_BTHK, v_BTHV, torch.randn(2, 7, 3), -torch.rand(2, 7, 3), memory)
        >>> y_BTHV.shape, memory.matrix_BHKV.shape
        (torch.Size([2, 7, 3, 5]), torch.Size([2, 3, 4, 5]))
    """
    dtype = precision(q_BTHK, k_BTHK, v_BTHV, *memory)
    log_input_BTH, log_forget_BTH = log_input_BTH.to(dtype), log_forget_BTH.to(dtype)
    # A memory that forgets all and is given nothing has no largest weight.
    stabiliser_BTH = running_maximum(log_input_BTH.clamp(min=NOTHING), log_forget_BTH, memory.stabiliser_BH.to(dtype))
    before_BTH = torch.cat([memory.stabiliser_BH.to(dtype)[:, None], stabiliser_BTH[:, :-1]], 1)
    k_BTHK = k_BTHK.to(dtype) * (log_input_BTH - stabiliser_BTH).exp()[..., None]
    log_decay_BTH = log_forget_BTH + before_BTH - stabiliser_BTH
    # A channel of ones more makes the normaliser one more column of the matrix.
    values_BTHX = F.pad(v_BTHV.to(dtype), (0, 1), value=1.0)
    start_BHKX = torch.cat([memory.matrix_BHKV, memory.normaliser_BHK[..., None]], -1)
    read_BTHX, after_BHKX = linear_scan(q_BTHK, k_BTHK, values_BTHX, log_decay_BTH, start_BHKX, chunk=chunk)
    # Where it is cut off, the memory is so faint that its outputs are zero either way.
    one_BTH = (-stabiliser_BTH).clamp(max=math.log(torch.finfo(dtype).max) / 2).exp()
    # Split, because the gradients of two slices are two tensors of the whole size.
    values_BTHV, sums_BTH1 = read_BTHX.split((v_BTHV.shape[-1], 1), -1)
    divisor_BTH1 = torch.maximum(sums_BTH1.abs(), one_BTH[..., None]) + EPSILON
    matrix_BHKV, normaliser_BHK1 = after_BHKX.split((v_BTHV.shape[-1], 1), -1)
    memory = MatrixMemory(matrix_BHKV, normaliser_BHK1[..., 0], stabiliser_BTH[:, -1])
    return (values_BTHV / divisor_BTH1).to(v_BTHV.dtype), memory


def running_maximum(log_input_BTH: Tensor, log_forget_BTH: Tensor, start_BH: Tensor) -> Tensor:
    """Return ``m_t = max(log_forget_t + m_{t-1}, log_input_t)`` for all tokens, [B, T, H], in logarithmic depth."""
    return cast(Tensor, _RunningMaximum.apply(log_input_BTH, log_forget_BTH, start_BH))


class _RunningMaximum(torch.autograd.Function):
    """The maxima by doubling: each step joins the maps ``m -> max(m + added, floor)`` of twice as many tokens.

    Backward, the gradient of a maximum goes back from token to token, until the one where an input was the larger.
    """

    @staticmethod
    def forward(ctx: Any, log_input_BTH: Tensor, log_forget_BTH: Tensor, start_BH: Tensor) -> Tensor:
        added_BTH, floor_BTH = log_forget_BTH.clone(), log_input_BTH.clone()
        floor_BTH[:, 0] = torch.maximum(floor_BTH[:, 0], added_BTH[:, 0] + start_BH)
        span = 1
        while span < floor_BTH.shape[1]:
            floor_BTH[:, span:] = torch.maximum(floor_BTH[:, span:], floor_BTH[:, :-span] + added_BTH[:, span:])
            added_BTH[:, span:] = added_BTH[:, span:] + added_BTH[:, :-span]
            span *= 2
        before_BTH = torch.cat([start_BH[:, None], floor_BTH[:, :-1]], 1)
        ctx.save_for_backward(before_BTH + log_forget_BTH > log_input_BTH)
        return floor_BTH

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad_BTH,) = grad_outputs
        (earlier_BTH,) = cast(tuple[Tensor], ctx.saved_tensors)
        passed_BTH = earlier_BTH.to(grad_BTH.dtype)
        added_BTH = torch.cat([torch.zeros_like(grad_BTH[:, :1]), grad_BTH[:, :-1]], 1)
        whole_BTH, of_start_BH = carry(passed_BTH, added_BTH, grad_BTH[:, -1], reverse=True)
        of_forget_BTH = whole_BTH * passed_BTH
        return whole_BTH - of_forget_BTH, of_forget_BTH, of_start_BH


class ScalarMemory(NamedTuple):
    """State of `slstm_scan`; all zeros hold nothing. A normaliser is zero, or at least one."""

    cell_BHV: Tensor
    normaliser_BHV: Tensor
    stabiliser_BHV: Tensor
    hidden_BHV: Tensor


def slstm_scan(
    x_BTHG: Tensor, recurrence_HVG: Tensor, memory: ScalarMemory, *, exponential_forget: bool = False
) -> tuple[Tensor, ScalarMemory]:
    """Run the scalar memories of xLSTM over time; the units of a head read each other's last outputs.

    With ``(i, f, z, o) = x_t + h_{t-1} R``: ``c_t = f' c_{t-1} + exp(i) tanh(z)``, ``n_t = f' n_{t-1} + exp(i)`` and
    ``h_t = sigmoid(o) c_t / n_t``, where f' is ``sigmoid(f)`` or ``exp(f)``. Where the normaliser of the start is not
    positive, a unit holds nothing and its first token sets the stabiliser.

    Args:
        x_BTHG: the input's share of the preactivations, T at least 1.
        recurrence_HVG: R, from the outputs of a head to its preactivations.
        memory: the memory before the first token.
        exponential_forget: whether forget gates are exponentials instead of sigmoids.

    Returns:
        Outputs [B, T, H, V] in the dtype of the inputs, and the memory after the last token, in float32 at least.

    Raises:
        InputError: the shapes do not go together, or there are no tokens.

    Source: Beck et al. 2024, equations 8 to 18.

    Example:
        >>> memory = ScalarMemory(*torch.zeros(4, 2, 3, 5))
        >>> y_BTHV, memory = slstm_scan(torch.randn(2, 7, 3, 20), torch.randn(3, 5, 20), memory)
        >>> y_BTHV.shape, memory.cell_BHV.shape
        (torch.Size([2, 7, 3, 5]), torch.Size([2, 3, 5]))
    """
    check_shapes(x_BTHG=x_BTHG, **memory._asdict(), recurrence_HVG=recurrence_HVG)
    if x_BTHG.shape[3] != 4 * memory.cell_BHV.shape[2]:
        raise InputError(f"x_BTHG {list(x_BTHG.shape)} must have four preactivations for each of the units of a head")
    dtype = precision(x_BTHG, recurrence_HVG, *memory)
    # Heads before rows.
    cell, normaliser, stabiliser, hidden = (entry.to(dtype).transpose(0, 1) for entry in memory)
    # What noise made of the normalisers of units that hold something must not divide by zero.
    blank = normaliser <= 0
    normaliser = torch.where(blank, 0, normaliser.clamp(min=1))
    cell, stabiliser = cell.masked_fill(blank, 0), stabiliser.masked_fill(blank, NOTHING)
    outputs = list[Tensor]()
    with torch.autocast(x_BTHG.device.type, enabled=False):
        x_THBG, recurrence_HVG = x_BTHG.to(dtype).permute(1, 2, 0, 3).contiguous(), recurrence_HVG.to(dtype)
        for x_HBG in x_THBG.unbind():
            enter, forget, value, out = torch.baddbmm(x_HBG, hidden, recurrence_HVG).chunk(4, -1)
            kept = (forget if exponential_forget else F.logsigmoid(forget)) + stabiliser
            stabiliser = torch.maximum(kept, enter)
            kept, enter = (kept - stabiliser).exp(), (enter - stabiliser).exp()
            cell = torch.addcmul(kept * cell, enter, value.tanh())
            normaliser = torch.addcmul(enter, kept, normaliser)
            hidden = out.sigmoid() * cell / normaliser
            outputs.append(hidden)
    y_BTHV = torch.stack(outputs).permute(2, 0, 1, 3).to(x_BTHG.dtype)
    return y_BTHV, ScalarMemory(*(entry.transpose(0, 1) for entry in (cell, normaliser, stabiliser, hidden)))
