"""The linear recurrence whose dense transition matrix is blended from a dictionary by every token (SD-SSM).

Tokens of equal weights share one transition matrix: over a small alphabet a first layer needs one a symbol, and one
product with all of them takes the whole batch a token further. The backward pass is by hand: it gives each token the
gradient of its own weights, which autograd would credit to whichever token the shared matrix was computed from.

Shape letters: B batch rows, T tokens, N states, K matrices of the dictionary, M tokens of all rows, U distinct weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

import torch
from torch import Tensor

from lengthwise.errors import RunError
from lengthwise.scans.checks import check_shapes
from lengthwise.scans.online import tree_scan

Method = Literal["loop", "tree"]
"""How time is walked: ``loop`` takes T steps of N x N work, ``tree`` about 2 log2 T steps of N x N x N a token."""

FEW = 16
"""Up to so many distinct matrices are shared; with more, every token gets its own."""


def selected_scan(
    dictionary_KNN: Tensor,
    weight_BTK: Tensor,
    x_BTN: Tensor,
    state_BN: Tensor,
    *,
    norm: float = 1.2,
    method: Method = "loop",
) -> Tensor:
    """Run ``h_t = A_t h_{t-1} + x_t`` over time, A_t being ``sum_k weight_tk D_k`` with columns scaled to unit norm.

    Args:
        dictionary_KNN: the matrices D, in the dtype of all other arguments.
        weight_BTK: how much of each a token takes.
        x_BTN: what each token adds, T at least 1.
        state_BN: the state before the first token.
        norm: p of the Lp norm of the columns.
        method: how time is walked; results differ by rounding only. A tree holds B x T x N x N numbers.

    Returns:
        [B, T, N] the states after each token.

    Raises:
        InputError: the shapes do not go together, or there are no tokens.
        RunError: a second derivative is asked for; a tree has them.

    Source: Terzic et al. 2025, section 4.

    Example:
        >>> weight_BTK = torch.randn(2, 5, 4).softmax(-1)
        >>> selected_scan(torch.randn(4, 3, 3), weight_BTK, torch.randn(2, 5, 3), torch.zeros(2, 3)).shape
        torch.Size([2, 5, 3])
    """
    check_shapes(x_BTN=x_BTN, dictionary_KNN=dictionary_KNN, weight_BTK=weight_BTK, state_BN=state_BN)
    with torch.autocast(x_BTN.device.type, enabled=False):
        if method == "tree":
            return _tree(transitions(dictionary_KNN, weight_BTK, norm)[0], x_BTN, state_BN)
        return cast(Tensor, _Loop.apply(dictionary_KNN, weight_BTK, x_BTN, state_BN, norm))


def transitions(dictionary_KNN: Tensor, weight_K: Tensor, norm: float) -> tuple[Tensor, Tensor]:
    """Return the transition matrices [..., N, N] of weights [..., K], and the norms [..., 1, N] divided out of them."""
    blend_NN = (weight_K @ dictionary_KNN.flatten(1)).unflatten(-1, dictionary_KNN.shape[1:])
    norm_1N = torch.linalg.vector_norm(blend_NN, norm, -2, keepdim=True)
    return blend_NN / norm_1N, norm_1N


def distinct_rows(x_MD: Tensor) -> tuple[Tensor, Tensor]:
    """Return places [U] of the distinct rows of a floating-point matrix, and for each row [M] which of them it equals.

    Rows are told apart by their bits. With more than `FEW` of them, or in the rare case that different ones share a
    hash, all M count as distinct.
    """
    bits_MD = x_MD.detach().contiguous().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x_MD.element_size()])
    generator = torch.Generator().manual_seed(0)
    keys_D = torch.randint(-(2**63), 2**63 - 1, x_MD.shape[1:], generator=generator).to(x_MD.device)
    hashes_U, index_M = torch.unique((bits_MD.long() * keys_D).sum(1), return_inverse=True)
    place_M = torch.arange(len(x_MD), device=x_MD.device)
    place_U = place_M.new_zeros(len(hashes_U)).scatter_(0, index_M, place_M)
    if len(place_U) > FEW or not torch.equal(bits_MD[place_U][index_M], bits_MD):
        return place_M, place_M
    return place_U, index_M


def _tree(transition_BTNN: Tensor, x_BTN: Tensor, state_BN: Tensor) -> Tensor:
    """Compose the maps ``h -> A h + x``, written as [A x]; the start is the map that always gives it."""
    maps_BTNX = torch.cat([transition_BTNN, x_BTN[..., None]], -1)
    start_BNX = torch.cat([torch.zeros_like(transition_BTNN[:, 0]), state_BN[..., None]], -1)
    return tree_scan(_compose, maps_BTNX, initial_BD=start_BNX)[..., -1]


def _compose(first: Tensor, second: Tensor) -> Tensor:
    transition, added = second[..., :-1], second[..., -1:]
    product = transition @ first
    return torch.cat([product[..., :-1], product[..., -1:] + added], -1)


def _products(table_UNN: Tensor, index_BT: Tensor) -> Callable[[Tensor, int], Tensor]:
    """Return what multiplies a vector a row, [B, N], with the matrices that a token asks for."""
    if len(table_UNN) > FEW:
        return lambda vector_BN, t: (table_UNN[index_BT[:, t]] @ vector_BN[..., None])[..., 0]
    all_NX = table_UNN.flatten(0, 1).t()
    place_BT = index_BT + len(table_UNN) * torch.arange(len(index_BT), device=index_BT.device)[:, None]
    # The U products of a row lie one after another: all of them cost less than a copy of a matrix for each row.
    return lambda vector_BN, t: (vector_BN @ all_NX).view(-1, vector_BN.shape[1])[place_BT[:, t]]


class _Loop(torch.autograd.Function):
    """The walk over time with its gradients."""

    @staticmethod
    def forward(
        ctx: Any, dictionary_KNN: Tensor, weight_BTK: Tensor, x_BTN: Tensor, state_BN: Tensor, norm: float
    ) -> Tensor:
        place_U, index_M = distinct_rows(weight_BTK.flatten(0, 1))
        weight_UK, index_BT = weight_BTK.flatten(0, 1)[place_U], index_M.view(x_BTN.shape[:2])
        table_UNN, norm_U1N = transitions(dictionary_KNN, weight_UK, norm)
        times, states_BTN = _products(table_UNN, index_BT), torch.empty_like(x_BTN)
        before_BN = state_BN
        for t in range(x_BTN.shape[1]):
            before_BN = torch.add(times(before_BN, t), x_BTN[:, t])
            states_BTN[:, t] = before_BN
        ctx.save_for_backward(dictionary_KNN, weight_UK, index_BT, table_UNN, norm_U1N, states_BTN, state_BN)
        ctx.norm = norm
        return states_BTN

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad_BTN,) = grad_outputs
        if torch.is_grad_enabled():
            raise RunError("the selected scan has no second derivatives in a loop: use a tree")
        saved = cast(tuple[Tensor, ...], ctx.saved_tensors)
        dictionary_KNN, weight_UK, index_BT, table_UNN, norm_U1N, states_BTN, state_BN = saved
        grad_x_BTN, back_BTN = _walk_back(_products(table_UNN.mT, index_BT), grad_BTN)
        before_BTN = torch.cat([state_BN[:, None], states_BTN[:, :-1]], 1)
        grad_MN, before_MN, back_MN = (x.flatten(0, 1) for x in (grad_x_BTN, before_BTN, back_BTN))
        index_M = index_BT.flatten()
        # How the norm of a column changes with its entries.
        smallest = torch.finfo(table_UNN.dtype).tiny
        slope_UNN = table_UNN.abs().clamp_(min=smallest).log_().mul_(ctx.norm - 1).exp_().mul_(table_UNN.sign())

        grad_table_UNN = _outer_sums(grad_MN, before_MN, index_M, len(table_UNN))
        along_U1N = (grad_table_UNN * table_UNN).sum(1, keepdim=True)
        grad_blend_UNN = grad_table_UNN.addcmul_(slope_UNN, along_U1N, value=-1).div_(norm_U1N)
        grad_dictionary_KNN = (weight_UK.t() @ grad_blend_UNN.flatten(1)).view_as(dictionary_KNN)
        if len(table_UNN) == len(index_M):
            grad_weight_MK = (grad_blend_UNN.flatten(1) @ dictionary_KNN.flatten(1).t())[index_M]
        else:
            scaled_MN = before_MN / norm_U1N[index_M, 0]
            slope_UKN = torch.einsum("kij,uij->ukj", dictionary_KNN, slope_UNN)
            # Without the gradient of each token's matrix.
            through_MKN = (grad_MN @ dictionary_KNN.transpose(0, 1).flatten(1)).unflatten(1, (len(dictionary_KNN), -1))
            through_MKN.addcmul_(slope_UKN[index_M], back_MN[:, None], value=-1)
            grad_weight_MK = (through_MKN @ scaled_MN[..., None])[..., 0]
        return grad_dictionary_KNN, grad_weight_MK.unflatten(0, index_BT.shape), grad_x_BTN, back_BTN[:, 0], None


def _walk_back(transposed: Callable[[Tensor, int], Tensor], grad_BTN: Tensor) -> tuple[Tensor, Tensor]:
    """Return the whole gradients of the states after each token, and of those before it through the token's matrix."""
    whole_BTN, back_BTN = torch.empty_like(grad_BTN), torch.empty_like(grad_BTN)
    whole_BN = grad_BTN[:, -1]
    for t in reversed(range(grad_BTN.shape[1])):
        whole_BTN[:, t] = whole_BN
        back_BTN[:, t] = transposed(whole_BN, t)
        if t:
            whole_BN = back_BTN[:, t] + grad_BTN[:, t - 1]
    return whole_BTN, back_BTN


def _outer_sums(left_MN: Tensor, right_MN: Tensor, index_M: Tensor, count: int) -> Tensor:
    """Return for each distinct matrix the sum of the outer products of the tokens that apply it, [U, N, N]."""
    if count == len(index_M):
        return (left_MN[..., None] * right_MN[:, None])[index_M.argsort()]
    chosen = [(index_M == u).nonzero()[:, 0] for u in range(count)]
    return torch.stack([left_MN[rows].t() @ right_MN[rows] for rows in chosen])
