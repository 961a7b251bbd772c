"""Patches of what transformers does to a carried state, for the length of a call.

Two things go wrong in the families that keep their state in a `DynamicCache`: the state is written in place, which
breaks the backward pass, and which code reads it depends on the number of tokens, on some paths not at all. Here the
cache assigns instead of copying, tells the layer that it has no state, and hands the state to the scan over a chunk,
which then is the only path for any number of tokens.

The scans that read the state are ours where we have them: equal to the library's but for rounding, and faster than what
it does without kernels. Where tensors are on another device than the CPU the library may have a kernel, and keeps it.

Shape letters: B batch rows, T tokens, D channels, N states of a channel, H heads, K taps of a convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from threading import RLock
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import DynamicCache

from lengthwise.errors import InputError, RunError
from lengthwise.scans.delta import delta_scan
from lengthwise.scans.mamba1 import selective_scan
from lengthwise.scans.mamba2 import linear_scan

SEEN_RIGHT = ("5.23.0",)
"""Versions of transformers on which all families were seen to keep the contract; on others the check decides."""

CHUNK = 32
"""Tokens of a chunk where every head has queries and keys of its own: faster on a CPU than 64, the scan's default."""

Scan = Callable[..., Any]

Owner = ModuleType | nn.Module

_patching = RLock()


def check_present(owner: Owner, name: str) -> None:
    """Refuse a version of the library that lacks what a patch replaces."""
    if not hasattr(owner, name):
        raise InputError(
            f"{getattr(owner, '__name__', type(owner).__name__)} has no {name}, which its patch replaces; "
            f"the patches were seen right with transformers {', '.join(SEEN_RIGHT)}"
        )


@contextmanager
def replaced(replacements: Iterable[tuple[Owner, str, Any]]) -> Generator[None]:
    """Give modules attributes of their own while the context lasts, for one thread at a time."""
    with _patching:
        before = list[tuple[dict[str, Any], str, dict[str, Any]]]()
        try:
            for owner, name, replacement in replacements:
                check_present(owner, name)
                own = vars(owner)
                before.append((own, name, {name: own[name]} if name in own else {}))
                own[name] = replacement
            yield
        finally:
            for own, name, kept in reversed(before):
                del own[name]
                own.update(kept)


class PatchedCache(DynamicCache):
    """A cache that keeps the tensors it is given, with their gradient history, and hands recurrent states to scans.

    Args:
        config: of the model.
        mask_BT: [B, T] ones for tokens and zeros for padding.
    """

    def __init__(self, config: Any, mask_BT: Tensor | None = None) -> None:
        super().__init__(config=config)
        self._mask_BT = mask_BT
        self._waiting: list[Tensor] = []

    def update_conv_state(self, conv_states: Tensor, layer_idx: int, state_idx: int = 0, **_: Any) -> Tensor:
        """Put the inputs of a convolution behind those before, and keep the last of them."""
        layer: Any = self.layers[layer_idx]
        before = _set(layer.conv_states[state_idx])
        if self._mask_BT is not None:
            # The library hides padding before the projection, whose bias comes after that.
            conv_states = conv_states * self._mask_BT[:, None].to(conv_states.dtype)
        full = torch.cat([before, conv_states], dim=-1)
        # A copy, because a view would keep the inputs of the whole call alive.
        layer.conv_states[state_idx] = full[..., -before.shape[-1] :].clone()
        return full

    def update_recurrent_state(self, recurrent_states: Tensor, layer_idx: int, state_idx: int = 0, **_: Any) -> Tensor:
        """Keep the state after a call."""
        layer: Any = self.layers[layer_idx]
        layer.recurrent_states[state_idx] = recurrent_states
        return recurrent_states

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> None:
        """Return nothing: with a state, a layer takes another path for a single token, and writes in place."""
        del layer_idx, state_idx

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> None:
        """Return nothing, and hold the state of the layer for the scan that it is about to call."""
        self.check_all_taken()
        layer: Any = self.layers[layer_idx]
        self._waiting = [_set(layer.recurrent_states[state_idx])]

    def take(self) -> Tensor:
        """Return the state that the scan which runs now starts from."""
        if not self._waiting:
            raise RunError("a scan of the model starts without a state although one is carried")
        return self._waiting.pop(0)

    def take_head(self) -> Tensor:
        """Return the state of the next head, for layers that scan [B, H, D, N] head by head."""
        state = self.take()
        if state.ndim == 4:
            state, *self._waiting = state.unbind(1)
        return state

    def check_all_taken(self) -> None:
        """Refuse a call that dropped a state."""
        if self._waiting:
            raise RunError(
                "a layer of the model did not read its carried state: it calls another scan than the one that the "
                f"patch replaces; the patches were seen right with transformers {', '.join(SEEN_RIGHT)}"
            )


def _set(state: Tensor | None) -> Tensor:
    if state is None:
        raise RunError("a layer of the model updates a state that its initial state does not have")
    return state


def _selective(_: Scan, cache: PatchedCache) -> Scan:
    """Run our own scan: the library's has no initial state and, without its kernels, is many times slower."""

    def scan(
        hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *, z: Tensor | None = None, **options: Any
    ) -> Tensor | tuple[Tensor, Tensor]:
        bias = options.get("delta_bias")
        dt = _step_sizes(dt, None if bias is None else bias[:, None], options.get("delta_softplus", False))
        skip = options.get("D")
        y_BTD, last_BDN = selective_scan(hidden_states.mT, dt.mT, A, B.mT, C.mT, skip, cache.take_head())
        y_BDT = y_BTD.mT if z is None else y_BTD.mT * F.silu(z)
        return (y_BDT, last_BDN) if options.get("return_last_state") else y_BDT

    return scan


def _chunked(original: Scan, cache: PatchedCache) -> Scan:
    def scan(hidden_states: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, **options: Any) -> Any:
        state_BHDN = options["initial_states"] = cache.take()
        if hidden_states.device.type != "cpu":
            # The library pads to whole chunks: a few tokens would cost as much as a whole one.
            needed = max(16, 1 << (hidden_states.shape[1] - 1).bit_length())
            return original(hidden_states, dt, A, B, C, **options | {"chunk_size": min(options["chunk_size"], needed)})
        dt = _step_sizes(dt, options.get("dt_bias"), options.get("dt_softplus", False))
        dt, x_BTHD = dt.clamp(*options.get("dt_limit", (0.0, float("inf")))).float(), hidden_states.float()
        y_BTHD, last_BHND = linear_scan(C, B, x_BTHD * dt[..., None], A.float() * dt, state_BHDN.mT)
        if (skip := options.get("D")) is not None:
            y_BTHD = torch.addcmul(y_BTHD, x_BTHD, skip.float()[:, None])
        # Callers take views of the outputs.
        return y_BTHD.contiguous(), last_BHND.mT

    return scan


def _step_sizes(dt: Tensor, bias: Tensor | None, softplus: bool) -> Tensor:
    dt = dt if bias is None else dt + bias.to(dt.dtype)
    return F.softplus(dt) if softplus else dt


def _delta(original: Scan, cache: PatchedCache) -> Scan:
    def scan(query: Tensor, key: Tensor, value: Tensor, *, g: Tensor, beta: Tensor, **options: Any) -> Any:
        state = options["initial_state"] = cache.take()
        if query.device.type != "cpu":
            return original(query, key, value, g=g, beta=beta, **options)
        q, k = query.float(), key.float()
        if options.get("use_qk_l2norm_in_kernel"):
            q, k = _of_length_one(q), _of_length_one(k)
        # Grouped values: each key serves neighbouring heads of values.
        shared = value.shape[2] // key.shape[2]
        q, k = ((x if shared == 1 else x.repeat_interleave(shared, 2)) for x in (q * q.shape[-1] ** -0.5, k))
        y, last = delta_scan(q, k, value.float(), beta.float(), g.float(), state.float())
        return y.to(query.dtype), last

    return scan


def _of_length_one(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def _kimi_delta(original: Scan, cache: PatchedCache) -> Scan:
    """Take short chunks: within one the library forms the decay of every channel between every two tokens."""

    def scan(*arguments: Any, **options: Any) -> Any:
        short = {"chunk_size": 16} if arguments[0].device.type == "cpu" else {}
        return original(*arguments, **options | short | {"initial_state": cache.take()})

    return scan


SCANS: dict[str, Callable[[Scan, PatchedCache], Scan]] = {
    "mamba_selective_scan": _selective,
    "mamba2_chunk_scan": _chunked,
    "torch_chunk_gated_delta_rule": _delta,
    "chunk_kimi_delta_attention": _kimi_delta,
}
"""Name of a scan of the library -> what makes, of it and of the cache that is read, what stands in for it."""
