"""Slow twins of the scans: the definitions themselves, one token or one node at a time, as the papers write them.

They share no code with the fast paths, which are compared with them in value and in gradient.

Shape letters: B batch rows, T tokens or elements in time, N lengths asked for or states of a channel, D... channels or
any shape of one element, H heads, G groups of heads or, in xLSTM, preactivations of a head, K key channels or matrices
of a dictionary, V value channels, P states.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lengthwise.scans.rwkv4 import WeightedMemory
from lengthwise.scans.tree import Odd, Operator
from lengthwise.scans.xlstm import EPSILON, NOTHING, MatrixMemory


def reduce_reference(
    operator: Operator,
    x_BTD: Tensor,
    *,
    odd: Odd = "carry",
    pad_D: Tensor | None = None,
    carry_first: Sequence[bool] = (),
) -> Tensor:
    """Reduce each row as `tree_reduce` does, by recursion over levels, one application at a time."""

    def ascend(nodes: list[Tensor], pad: Tensor | None, flags: Sequence[bool]) -> Tensor:
        if len(nodes) == 1:
            return nodes[0]
        above = [nodes.pop(0)] if flags and flags[0] and len(nodes) > 2 else []
        while len(nodes) > 1:
            above.append(operator(nodes.pop(0), nodes.pop(0)))
        for lone in nodes:
            if odd == "zero":
                lone = operator(torch.zeros_like(lone), lone)
            above.append(lone if pad is None else operator(lone, pad))
        return ascend(above, None if pad is None else operator(pad, pad), flags[1:])

    pad = None if pad_D is None else pad_D.expand_as(x_BTD[:, 0])[:, None]
    return ascend(list(x_BTD.split(1, 1)), pad, carry_first)[:, 0]


def reduce_prefixes_reference(
    operator: Operator,
    x_BTD: Tensor,
    lengths: Sequence[int],
    *,
    odd: Odd = "carry",
    pad_D: Tensor | None = None,
) -> Tensor:
    """Reduce each prefix on its own, as `tree_reduce_prefixes` does for all of them together: [B, N, D...]."""
    return torch.stack([reduce_reference(operator, x_BTD[:, :n], odd=odd, pad_D=pad_D) for n in lengths], 1)


def scan_reference(operator: Operator, x_BTD: Tensor, *, initial_BD: Tensor | None = None) -> Tensor:
    """Return the value of every prefix as `tree_scan` does: a left fold of the prefix's dyadic blocks."""

    def block(start: int, size: int) -> Tensor:
        if size == 1:
            return x_BTD[:, start : start + 1]
        return operator(block(start, size // 2), block(start + size // 2, size // 2))

    def prefix(length: int) -> Tensor:
        value = None if initial_BD is None else initial_BD[:, None]
        start = 0
        for level in reversed(range(length.bit_length())):
            if length >> level & 1:
                part = block(start, 1 << level)
                value = part if value is None else operator(value, part)
                start += 1 << level
        assert value is not None  # a positive length has a set bit
        return value

    return torch.cat([prefix(t + 1) for t in range(x_BTD.shape[1])], 1)


def linear_reference(
    q_BTGK: Tensor, k_BTGK: Tensor, v_BTHV: Tensor, log_decay_BTH: Tensor, state_BHKV: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return what `linear_scan` does: outputs [B, T, H, V] and the final state [B, H, K, V]."""
    heads = v_BTHV.shape[2]
    return gated_linear_reference(
        q_BTGK.repeat_interleave(heads // q_BTGK.shape[2], 2),
        k_BTGK.repeat_interleave(heads // k_BTGK.shape[2], 2),
        v_BTHV,
        log_decay_BTH[..., None].expand(*log_decay_BTH.shape, q_BTGK.shape[-1]),
        state_BHKV,
    )


def gated_linear_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTHK: Tensor,
    state_BHKV: Tensor | None = None,
    *,
    bonus_HK: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `gated_linear_scan` does: outputs [B, T, H, V] and the final state [B, H, K, V]."""
    batch_size, length, heads, keys = q_BTHK.shape
    state = v_BTHV.new_zeros(batch_size, heads, keys, v_BTHV.shape[-1]) if state_BHKV is None else state_BHKV
    outputs = list[Tensor]()
    for t in range(length):
        written = k_BTHK[:, t, :, :, None] * v_BTHV[:, t, :, None, :]
        decayed = log_decay_BTHK[:, t, :, :, None].exp() * state
        read = decayed + written if bonus_HK is None else state + bonus_HK[..., None] * written
        outputs.append((q_BTHK[:, t, :, :, None] * read).sum(2))
        state = decayed + written
    return torch.stack(outputs, 1), state


def low_rank_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTHK: Tensor,
    read_BTHK: Tensor,
    write_BTHK: Tensor,
    state_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `low_rank_scan` returns: read the state, decay it, write what was read and the value, query."""
    B, T, H, K = k_BTHK.shape
    state = v_BTHV.new_zeros(B, H, K, v_BTHV.shape[-1]) if state_BHKV is None else state_BHKV
    outputs: list[Tensor] = []
    for t in range(T):
        held = torch.einsum("bhk,bhkv->bhv", read_BTHK[:, t], state)
        written = torch.einsum("bhk,bhv->bhkv", write_BTHK[:, t], held)
        written = written + torch.einsum("bhk,bhv->bhkv", k_BTHK[:, t], v_BTHV[:, t])
        state = log_decay_BTHK[:, t, :, :, None].exp() * state + written
        outputs.append(torch.einsum("bhk,bhkv->bhv", q_BTHK[:, t], state))
    return torch.stack(outputs, 1), state


def delta_scan_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    log_decay_BTH: Tensor | None = None,
    state_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `delta_scan` returns: decay the state, read what the key holds, write the difference, query."""
    B, T, H, K = k_BTHK.shape
    state = v_BTHV.new_zeros(B, H, K, v_BTHV.shape[-1]) if state_BHKV is None else state_BHKV
    outputs: list[Tensor] = []
    for t in range(T):
        q, k, v, beta = q_BTHK[:, t], k_BTHK[:, t], v_BTHV[:, t], beta_BTH[:, t]
        if log_decay_BTH is not None:
            state = state * log_decay_BTH[:, t, :, None, None].exp()
        held = torch.einsum("bhk,bhkv->bhv", k, state)
        state = state + torch.einsum("bh,bhk,bhv->bhkv", beta, k, v - held)
        outputs.append(torch.einsum("bhk,bhkv->bhv", q, state))
    return torch.stack(outputs, 1), state


def selective_scan_reference(
    u_BTD: Tensor,
    dt_BTD: Tensor,
    A_DN: Tensor,
    B_BTN: Tensor,
    C_BTN: Tensor,
    skip_D: Tensor | None = None,
    state_BDN: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `selective_scan` returns: decay the state, write the input, read."""
    state = u_BTD.new_zeros(len(u_BTD), *A_DN.shape) if state_BDN is None else state_BDN
    outputs: list[Tensor] = []
    for u_BD, dt_BD, B_BN, C_BN in zip(*(x.unbind(1) for x in (u_BTD, dt_BTD, B_BTN, C_BTN)), strict=True):
        state = (dt_BD[..., None] * A_DN).exp() * state + (dt_BD * u_BD)[..., None] * B_BN[:, None]
        outputs.append((state @ C_BN[..., None])[..., 0] + (0 if skip_D is None else skip_D * u_BD))
    return torch.stack(outputs, 1), state


def diagonal_reference(decay_P: Tensor, x_BTP: Tensor, state_BP: Tensor) -> Tensor:
    """Return what `diagonal_scan` does: the states [B, T, P] after each token."""
    states = list[Tensor]()
    for x_BP in x_BTP.unbind(1):
        state_BP = decay_P * state_BP + x_BP
        states.append(state_BP)
    return torch.stack(states, 1)


def elementwise_reference(decay_BTD: Tensor, x_BTD: Tensor, state_BD: Tensor) -> Tensor:
    """Return what `elementwise_scan` does: the states [B, T, D] after each token."""
    states = list[Tensor]()
    for decay_BD, x_BD in zip(decay_BTD.unbind(1), x_BTD.unbind(1), strict=True):
        state_BD = decay_BD * state_BD + x_BD
        states.append(state_BD)
    return torch.stack(states, 1)


def weighted_reference(
    k_BTD: Tensor, v_BTD: Tensor, log_decay_D: Tensor, bonus_D: Tensor, memory: WeightedMemory
) -> tuple[Tensor, WeightedMemory]:
    """Return what `weighted_scan` does, with the sums divided anew by the largest term after each token."""
    numerator, denominator, maximum = memory
    outputs = list[Tensor]()
    for k_BD, v_BD in zip(k_BTD.unbind(1), v_BTD.unbind(1), strict=True):
        top = torch.maximum(maximum, k_BD + bonus_D)
        old, own = (maximum - top).exp(), (k_BD + bonus_D - top).exp()
        outputs.append((old * numerator + own * v_BD) / (old * denominator + own))
        top = torch.maximum(maximum + log_decay_D, k_BD)
        old, own = (maximum + log_decay_D - top).exp(), (k_BD - top).exp()
        numerator, denominator, maximum = old * numerator + own * v_BD, old * denominator + own, top
    return torch.stack(outputs, 1), WeightedMemory(numerator, denominator, maximum)


def selected_reference(
    dictionary_KNN: Tensor, weight_BTK: Tensor, x_BTN: Tensor, state_BN: Tensor, *, norm: float = 1.2
) -> Tensor:
    """Return what `selected_scan` does: the states [B, T, N] after each token."""
    states = list[Tensor]()
    for weight_BK, x_BN in zip(weight_BTK.unbind(1), x_BTN.unbind(1), strict=True):
        blend_BNN = torch.einsum("bk,kij->bij", weight_BK, dictionary_KNN)
        transition_BNN = blend_BNN / blend_BNN.abs().pow(norm).sum(1, keepdim=True).pow(1 / norm)
        state_BN = torch.einsum("bij,bj->bi", transition_BNN, state_BN) + x_BN
        states.append(state_BN)
    return torch.stack(states, 1)


def mlstm_reference(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_input_BTH: Tensor,
    log_forget_BTH: Tensor,
    memory: MatrixMemory,
) -> tuple[Tensor, MatrixMemory]:
    """Return what `mlstm_scan` does: outputs [B, T, H, V] and the memory after the last token.

    A memory fainter than exp(-350) is not told from none.
    """
    matrix, normaliser, stabiliser = memory
    outputs = list[Tensor]()
    for t in range(q_BTHK.shape[1]):
        q, k, v, log_input, log_forget = (x[:, t] for x in (q_BTHK, k_BTHK, v_BTHV, log_input_BTH, log_forget_BTH))
        largest = torch.maximum(log_forget + stabiliser, log_input).clamp(min=NOTHING)
        forget, enter = (log_forget + stabiliser - largest).exp(), (log_input - largest).exp()
        matrix = forget[..., None, None] * matrix + enter[..., None, None] * k[..., :, None] * v[..., None, :]
        normaliser = forget[..., None] * normaliser + enter[..., None] * k
        stabiliser = largest
        divisor = torch.maximum((q * normaliser).sum(-1).abs(), (-stabiliser).clamp(max=350).exp()) + EPSILON
        outputs.append((q[..., :, None] * matrix).sum(-2) / divisor[..., None])
    return torch.stack(outputs, 1), MatrixMemory(matrix, normaliser, stabiliser)


def slstm_reference(
    x_BTHG: Tensor, recurrence_HVG: Tensor, *, exponential_forget: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `slstm_scan` does from an empty memory, its cell and normaliser times exp(stabiliser).

    Nothing is stabilised: preactivations must be small.
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


def nested_reference(operator: Operator, x_BTD: Tensor, turn_BT: Tensor, inside: str) -> Tensor:
    """Reduce each row as `nested_reduce` does: a stack of lists of items, one element at a time."""

    def join(items: list[Tensor]) -> Tensor:
        while len(items) > 1:
            if inside == "left":
                items = [operator(items[0], items[1]), *items[2:]]
            else:
                pairs = [items[place : place + 2] for place in range(0, len(items), 2)]
                items = [operator(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
        return items[0]

    def reduce(elements: Tensor, turns: list[int]) -> Tensor:
        stack: list[list[Tensor]] = [[]]
        for element, turn in zip(elements, turns, strict=True):
            if turn == 1:
                stack.append([])
            stack[-1].append(element[None])
            if turn == -1 and len(stack) > 1:
                pair = stack.pop()
                stack[-1].append(join(pair))
        while len(stack) > 1:
            pair = stack.pop()
            stack[-1].append(join(pair))
        return join(stack[0])[0]

    return torch.stack([reduce(row, turns) for row, turns in zip(x_BTD, turn_BT.tolist(), strict=True)])
