from __future__ import annotations

import copy

import pytest
import torch
from exact_units import exact_reading
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lengthwise.certificates.affine import image_radius
from lengthwise.certificates.algebra import extract_algebra
from lengthwise.certificates.answers import verify_exhaustively
from lengthwise.certificates.bounds import CellBudget, bound_cells, certify_bounded
from lengthwise.errors import InputError, RunError
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.operators import SumOperatorConfig
from lengthwise.tasks import get_language

WIDTH = 6


def make_unit(seed: int, contraction: float = 1.0) -> LDRU:
    torch.manual_seed(seed)
    unit = LDRUConfig(width=WIDTH).build(2, 2).eval()
    with torch.no_grad():
        for parameter in unit.join.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        unit.join.norm.weight.mul_(contraction)
        unit.join.norm.bias.add_(torch.randn(WIDTH))
    return unit


def on_sphere(count: int, generator: torch.Generator) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(count, WIDTH, generator=generator, dtype=torch.float64), dim=1)


@given(st.integers(0, 30), st.sampled_from([1e-4, 1e-2, 0.1, 0.4]), st.sampled_from([0.0, 1e-3, 0.2]))
@settings(max_examples=30, deadline=None)
def test_no_point_of_two_balls_is_joined_beyond_the_bound(seed: int, left: float, right: float) -> None:
    unit = make_unit(seed)
    exact = copy.deepcopy(unit).double()
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(2, 1, WIDTH, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        target = exact.join(centres[0], centres[1])
        radii = torch.tensor([left], dtype=torch.float64), torch.tensor([right], dtype=torch.float64)
        bound = float(image_radius(unit.join, centres[0], radii[0], centres[1], radii[1], target))
        points = [centre + radius * on_sphere(400, generator) for centre, radius in zip(centres, radii, strict=True)]
        for network, dtype in ((exact, torch.float64), (unit, torch.float32)):
            joined = network.join(points[0].to(dtype), points[1].to(dtype)).double()
            assert float((joined - target).norm(dim=1).max()) <= bound


def test_the_bound_of_points_is_no_more_than_rounding() -> None:
    unit = make_unit(0)
    point = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    with torch.no_grad():
        target = copy.deepcopy(unit).double().join(point, point)
        assert float(image_radius(unit.join, point, zero, point, zero, target)) < 1e-2


def test_cells_of_a_contracting_unit_close_and_hold_the_values_of_long_strings() -> None:
    unit = make_unit(1, contraction=0.02)
    table = extract_algebra(unit).table
    closure = bound_cells(unit, table, CellBudget(cells=12))
    assert closure.closed
    assert closure.margin > 0
    tokens = torch.randint(2, (64, 300), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        roots = unit.roots(tokens).double()
    away = torch.cdist(roots, closure.cells.centres_PD) - closure.cells.radii_P
    assert bool((away.min(1).values <= 0).all())


def test_cells_that_do_not_close_leave_the_length_that_was_read() -> None:
    torch.manual_seed(0)
    unit = make_unit(3)
    task = get_language("parity")
    found = certify_bounded(unit, task)
    assert found.verdict in ("wrong", "up_to_length")
    example, length = verify_exhaustively(unit, task, 1_000)
    if example is not None:
        tokens = torch.tensor([example.symbols])
        assert int(unit.string_logits(tokens).argmax()) == example.answer != example.truth
        assert length == len(example.symbols) - 1


def test_other_operators_are_refused() -> None:
    unit = LDRUConfig(width=4, operator=SumOperatorConfig()).build(2, 2).eval()
    with pytest.raises(InputError, match="snapped"):
        bound_cells(unit, extract_algebra(exact_reading(get_language("parity"))).table)


def test_a_network_that_answers_nan_is_neither_right_nor_certain() -> None:
    """NaN is the largest of any logits, so that its class would count as the answer, and no comparison finds it."""
    unit = make_unit(1, contraction=0.02)
    table = extract_algebra(unit).table
    with torch.no_grad():
        unit.classifier.bias[0] = float("nan")
    closure = bound_cells(unit, table, CellBudget(cells=12))
    assert not closure.closed
    assert closure.depth == 0
    with pytest.raises(RunError, match="answers hold logits that are not a number"):
        certify_bounded(unit, get_language("parity"))
    with pytest.raises(RunError, match="answers hold logits that are not a number"):
        extract_algebra(unit)
