"""The linear recurrence with a diagonal and a low-rank part, computed in chunks (RWKV-7, Kimi delta attention).

What each token reads of the state before it, and writes elsewhere, solves a triangular system within a chunk, as in the
delta rule; the decays between tokens, a channel of the keys each, are factored as in gated linear attention.

Shape letters: B batch rows, T tokens, H heads, K key channels, V value channels, N chunks, C tokens of a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lengthwise.scans.checks import check_chunk, check_shapes
from lengthwise.scans.chunks import in_chunks, precision
from lengthwise.scans.gla import weigh_within

CHUNK = 32
"""Tokens of a chunk: the fastest of 8, 16, 32 and 64 on a CPU for 256 tokens."""


def low_rank_scan(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    log_decay_BTHK: Tensor,
    read_BTHK: Tensor,
    write_BTHK: Tensor,
    state_BHKV: Tensor | None = None,
    *,
    chunk: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Run ``S_t = diag(exp(log_decay_t)) S_{t-1} + write_t (read_t S_{t-1}) + k_t^T v_t`` and ``y_t = q_t S_t``.

    With ``read = -kk`` and ``write = a * kk`` this is RWKV-7; with ``read = k exp(log_decay)``, ``write = -beta k`` and
    ``beta k`` for the key it is the delta rule with a decay a channel (Kimi delta attention).

    Args:
        q_BTHK: queries (RWKV's receptance).
        k_BTHK: keys.
        v_BTHV: values.
        log_decay_BTHK: logarithms of the decays, at most 0; minus infinity clears a channel.
        read_BTHK: what is read of the state before the token decays it.
        write_BTHK: where what was read is added.
        state_BHKV: the state before the first token; zeros by default.
        chunk: tokens computed together, a power of two; it changes the speed, and results by rounding only.

    Returns:
        Outputs [B, T, H, V] in the dtype of the values, and the state [B, H, K, V] after the last token, in float32
        where the inputs are of lower precision. Differentiable any number of times.

    Raises:
        InputError: the shapes do not go together, there are no tokens, or the chunk is not a power of two.

    Source: Peng et al. 2025 (RWKV-7), equation 17; Kimi team 2025 (Kimi Linear), section 3.

    Example:
        >>> one_BTHK = torch.ones(1, 3, 1, 1)
        >>> y_BTHV, _ = low_rank_scan(one_BTHK, one_BTHK, one_BTHK, 0 * one_BTHK, one_BTHK, one_BTHK)
        >>> y_BTHV.flatten().tolist()
        [1.0, 3.0, 7.0]
    """
    given = {"q_BTHK": q_BTHK, "k_BTHK": k_BTHK, "v_BTHV": v_BTHV, "log_decay_BTHK": log_decay_BTHK}
    check_shapes(**given, read_BTHK=read_BTHK, write_BTHK=write_BTHK, state_BHKV=state_BHKV)
    check_chunk(chunk, halved=True)
    B, T, H, K = q_BTHK.shape
    dtype, size = precision(q_BTHK, k_BTHK, v_BTHV), min(chunk, 1 << (T - 1).bit_length())
    state = v_BTHV.new_zeros(B, H, K, v_BTHV.shape[3]) if state_BHKV is None else state_BHKV
    with torch.autocast(v_BTHV.device.type, enabled=False):
        q, k, v, log, read, write = (
            in_chunks(x, size, dtype).transpose(2, 3)
            for x in (q_BTHK, k_BTHK, v_BTHV, log_decay_BTHK, read_BTHK, write_BTHK)
        )
        # A token reads twice: before it decays the state, what it writes elsewhere; and with its query afterwards.
        keys = torch.stack([k, write], -2)
        own = torch.stack([(q[..., None, :] * keys).sum(-1), torch.zeros_like(keys[..., 0])], -2)
        weights, reading, writing, decay = weigh_within(own, torch.stack([q * log.exp(), read], -2), keys, log)
        # [B, N, H, 2, 2, C, C]: of queries and reads, for keys and writes.
        of = weights.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).movedim((-3, -1), (3, 4))
        (q, read), (k, write) = (x.unflatten(-2, (-1, 2)).unbind(-2) for x in (reading, writing))
        identity = torch.eye(size, dtype=dtype, device=v.device)
        solved = torch.linalg.solve_triangular(
            identity - of[..., 1, 1, :, :],
            torch.cat([of[..., 1, 0, :, :] @ v, read], -1),
            upper=False,
            unitriangular=True,
        )
        known, asked = solved.split([v.shape[-1], K], -1)
        within, of_read = of[..., 0, 0, :, :] @ v, of[..., 0, 1, :, :]
        written, decay = k.mT @ v, decay.exp()[..., None]
        state, outputs = state.to(dtype), list[Tensor]()
        for n in range(v.shape[1]):
            read_CV = known[:, n] + asked[:, n] @ state
            outputs.append(within[:, n] + q[:, n] @ state + of_read[:, n] @ read_CV)
            state = decay[:, n] * state + written[:, n] + write[:, n].mT @ read_CV
    y_BTHV = torch.stack(outputs, 1).transpose(2, 3).flatten(1, 2)
    return y_BTHV[:, :T].to(v_BTHV.dtype), state
