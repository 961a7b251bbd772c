from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_units import Network, exact_reading, sums
from forging import changed

from lengthwise.certificates.algebra import extract_algebra
from lengthwise.certificates.methods import certify_raw, certify_rounded
from lengthwise.certificates.snapped import SnappedUnit, certify_snapped, judge
from lengthwise.certificates.verification import Verified, problems_of, verify_all
from lengthwise.errors import InputError
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.mixers.recurrent import GRUConfig
from lengthwise.models.tree.ldru import LDRUConfig
from lengthwise.models.tree.stochastic import StochasticOperatorConfig
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.language import Language

RAW = Path(__file__).parents[2] / "results/raw"


@pytest.mark.parametrize("task", [get_language("tomita_3"), get_language("cycle_navigation"), sums()])
def test_a_snapped_unit_answers_as_its_task_at_every_length(task: Language) -> None:
    unit = SnappedUnit(extract_algebra(exact_reading(task, noise=0.01), task.automaton))
    rng = np.random.default_rng(0)
    for length in (1, 2, 3, 7, 64, 1_001):
        batch = task.sample(rng, 8, task.nearest_length(length))
        tokens = torch.from_numpy(batch.tokens)
        for logits in (unit.string_logits(tokens, chunk=16), unit.string_logits(tokens)):
            assert np.array_equal(logits.argmax(-1).numpy(), batch.targets)


def test_prefixes_and_pieces_give_the_same_answers() -> None:
    task = get_language("tomita_3")
    unit = SnappedUnit(extract_algebra(exact_reading(task)))
    tokens = torch.randint(2, (5, 37), generator=torch.Generator().manual_seed(0))
    lengths = [1, 2, 5, 16, 17, 37]
    prefixes = unit.prefix_logits(tokens, lengths)
    for place, length in enumerate(lengths):
        assert torch.equal(prefixes[:, place], unit.string_logits(tokens[:, :length]))


def test_a_million_symbols_are_read() -> None:
    task = get_language("parity")
    unit = SnappedUnit(extract_algebra(exact_reading(task)))
    tokens = torch.randint(2, (1, 1_000_000), generator=torch.Generator().manual_seed(0))
    assert int(unit.string_logits(tokens, chunk=1 << 16).argmax()) == int(tokens.sum()) % 2


def test_a_string_outside_the_domain_is_refused() -> None:
    task = sums()
    unit = SnappedUnit(extract_algebra(exact_reading(task), task.automaton))
    with pytest.raises(InputError, match="string 1 is outside"):
        unit.string_logits(torch.tensor([[1, 2, 0], [1, 0, 1]]))


def test_right_tables_are_certified_and_wrong_ones_yield_a_string() -> None:
    task = get_language("tomita_7")
    algebra = extract_algebra(exact_reading(task))
    unit = SnappedUnit(algebra)
    found = judge(algebra, Network(unit), task)
    assert found.verdict == "every_length_snapped"
    products = algebra.table.products_EE.copy()
    products[:] = algebra.table.leaves_V[0]
    spoilt = replace(algebra, table=replace(algebra.table, products_EE=products))
    wrong = judge(spoilt, Network(SnappedUnit(spoilt)), task)
    assert wrong.verdict == "wrong"
    assert wrong.counterexample is not None
    assert task.label(np.array([wrong.counterexample.symbols]))[0] == wrong.counterexample.truth


def test_an_untrained_unit_is_wrong_on_a_string_that_is_given() -> None:
    torch.manual_seed(0)
    unit = LDRUConfig(width=8).build(2, 2).eval()
    found = certify_snapped(unit, get_language("parity"))
    assert found.verdict == "wrong"


def test_models_without_an_operator_are_refused() -> None:
    model = BackboneConfig(mixer=GRUConfig(hidden_size=4), width=4, layers=1).build(2, 2)
    with pytest.raises(InputError, match="black_box"):
        certify_snapped(model, get_language("parity"))


def test_row_stochastic_products_are_not_snapped() -> None:
    unit = LDRUConfig(width=16, operator=StochasticOperatorConfig(heads=1), level="plain").build(2, 2).eval()
    with pytest.raises(InputError, match="--method raw or rounded"):
        certify_snapped(unit, get_language("parity"))


@pytest.mark.parametrize("certify", [certify_raw, certify_rounded])
def test_other_operators_are_not_proved_as_they_are(certify: Callable[..., object]) -> None:
    unit = LDRUConfig(width=4).build(2, 2).eval()
    with pytest.raises(InputError, match="not 'mlp'; --method snapped"):
        certify(unit, get_language("parity"))


def test_kept_certificates_of_a_method_that_is_gone_hold() -> None:
    found = [one for _, one in verify_all(RAW)]
    assert len(found) == 6
    for one in found:
        assert isinstance(one, Verified), one
        assert one.certificate.statement.startswith("right on every string of at most")
        changes = {"verdict": "every_length", "statement": "right at every length", "length": None}
        assert problems_of(changed(one.certificate, **changes))
