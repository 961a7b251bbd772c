"""The slow twins of the recurrences with exponential gates: one token at a time, as the paper writes them.

Shape letters: B batch rows, T tokens, H heads, K key channels, V value channels or units of a head, G = 4 V.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lengthwise.scans.exponential import EPSILON, MatrixMemory


def mlstm_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_input_BTH: Tensor,
    log_forget_BTH: Tensor,
    memory: MatrixMemory,
) -> tuple[Tensor, MatrixMemory]:
    """Return what `mlstm_scan` does: outputs [B, T, H, V] and the memory after the last token."""
    matrix, normaliser, stabiliser = memory
    outputs = list[Tensor]()
    for t in range(q_BTHK.shape[1]):
        q, k, v, log_input, log_forget = (x[:, t] for x in (q_BTHK, k_BTHK, v_BTHV, log_input_BTH, log_forget_BTH))
        largest = torch.maximum(log_forget + stabiliser, log_input)
        forget, enter = (log_forget + stabiliser - largest).exp(), (log_input - largest).exp()
        matrix = forget[..., None, None] * matrix + enter[..., None, None] * k[..., :, None] * v[..., None, :]
        normaliser = forget[..., None] * normaliser + enter[..., None] * k
        stabiliser = largest
        divisor = torch.maximum((q * normaliser).sum(-1).abs(), (-stabiliser).exp()) + EPSILON
        outputs.append((q[..., :, None] * matrix).sum(-2) / divisor[..., None])
    return torch.stack(outputs, 1), MatrixMemory(matrix, normaliser, stabiliser)


def slstm_reference(
    x_BTHG: Tensor, recurrence_HVG: Tensor, *, exponential_forget: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the outputs of `slstm_scan` from an empty memory, and its cell and normaliser times exp(stabiliser).

    Nothing is stabilised: preactivations must be small.

    Returns:
        [B, T, H, V] outputs, [B, H, V] cells and normalisers after the last token.
    """
    cell = normaliser = hidden = x_BTHG.new_zeros(len(x_BTHG), *recurrence_HVG.shape[:2])
    outputs = list[Tensor]()
    for x_BHG in x_BTHG.unbind(1):
        enter, forget, value, out = (x_BHG + torch.einsum("bhv,hvg->bhg", hidden, recurrence_HVG)).chunk(4, -1)
        kept = forget.exp() if exponential_forget else forget.sigmoid()
        cell = kept * cell + enter.exp() * value.tanh()
        normaliser = kept * normaliser + enter.exp()
        hidden = out.sigmoid() * cell / normaliser
        outputs.append(hidden)
    return torch.stack(outputs, 1), cell, normaliser
