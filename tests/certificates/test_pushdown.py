"""Proofs at every depth: against all short strings, on units that are exactly right, and on wrong ones."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exact_units import TRAINING
from forging import changed, renewed
from nested_units import exact_unit
from pydantic import ValidationError
from typer.testing import CliRunner

from lengthwise.certificates.answers import answers_to
from lengthwise.certificates.certificate import FILE_NAME, Certificate
from lengthwise.certificates.limits import Limits
from lengthwise.certificates.nested import certify_nested
from lengthwise.certificates.of_run import certify_run, complete
from lengthwise.certificates.pushdown import whole_strings
from lengthwise.certificates.verification import problems_of
from lengthwise.cli.main import app
from lengthwise.errors import InputError
from lengthwise.models.tree.nested import Given, Nested, NestedConfig
from lengthwise.runs.recipe import validate_recipe
from lengthwise.runs.run import train_run
from lengthwise.tasks.base import Task
from lengthwise.tasks.brackets import Brackets
from lengthwise.tasks.listops import ListOps
from lengthwise.tasks.nesting import Nesting

TASKS: dict[str, tuple[Task, int]] = {
    "one kind": (Brackets(kinds=1), 8),
    "two kinds": (Brackets(kinds=2), 6),
    "neutral": (Brackets(kinds=1, neutral=2), 6),
}
"""Tasks, and the length up to which all strings are read."""


def first_wrong(unit: Nested, task: Task, longest: int) -> list[int] | None:
    """Return the first string on which a unit is wrong, by the sampler's own rule."""
    for length in range(1, longest + 1):
        tokens_BT = np.array(list(product(range(task.inputs.size), repeat=length)))
        truth_B = task._match(tokens_BT).astype(np.int64)  # type: ignore[attr-defined]
        wrong = np.flatnonzero(answers_to(unit, tokens_BT) != truth_B)
        if len(wrong):
            return tokens_BT[wrong[0]].tolist()
    return None


def certified(task: Task, unit: Nested, **limits: int) -> Certificate:
    found = complete(certify_nested(unit, task, Limits(**limits)), unit, task, TRAINING)
    return found.model_copy(update={"operator": "mlp", "weights": "0" * 64}).sealed()


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("name", TASKS)
def test_a_unit_that_joins_as_its_task_does_is_proved(name: str, copies: int) -> None:
    task, longest = TASKS[name]
    unit = exact_unit(task, copies=copies)
    found = certify_nested(unit, task)
    assert (found.verdict, found.counterexample) == ("every_length_snapped", None)
    assert found.statement.startswith("right at every depth and every length, each node")
    assert first_wrong(unit, task, longest) is None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", TASKS)
def test_a_wrong_unit_is_shown_wrong_on_its_shortest_string(name: str, seed: int) -> None:
    task, longest = TASKS[name]
    unit = exact_unit(task, changes=1 + seed % 3, seed=seed)
    found, wrong = certify_nested(unit, task), first_wrong(unit, task, longest)
    if found.counterexample is None:
        assert wrong is None
        assert found.verdict == "every_length_snapped"
        return
    symbols = found.counterexample.symbols
    assert found.verdict == "wrong"
    assert found.counterexample.fails
    assert symbols == wrong or (wrong is None and len(symbols) > longest)
    assert answers_to(unit, [symbols])[0] == found.counterexample.answer != found.counterexample.truth


def test_an_error_that_only_deep_strings_show_is_found() -> None:
    task, deepest = Brackets(kinds=1), 7
    told = task.nesting()

    def join(left: Any, right: Any) -> Any:
        """Join as the task does, but count how deep pairs are nested, and take the deepest for broken."""
        height = max(left[1], right[1]) + (left[0] == 0 and right[0] == 1)
        return (told.join(left[0], right[0]) if height <= deepest else "broken", min(height, deepest))

    counting = replace(
        told, leaf=lambda symbol: (told.leaf(symbol), 0), join=join, answer=lambda value: told.answer(value[0])
    )
    unit = exact_unit(task, nesting=counting)
    example = certify_nested(unit, task).counterexample
    assert example is not None
    assert example.symbols == [0] * (deepest + 1) + [1] * (deepest + 1)
    assert (example.answer, example.truth, example.fails) == (0, 1, True)


@pytest.mark.parametrize("operation", ["max", "min", "sum"])
def test_lists_without_medians_are_proved_for_any_number_of_arguments(operation: Any) -> None:
    task = ListOps(operations=(operation,))
    found = certify_nested(exact_unit(task), task)
    assert found.verdict == "every_length_snapped"
    assert "argument" not in found.statement


def test_medians_are_proved_up_to_a_number_of_arguments() -> None:
    task = ListOps(operations=("median", "max"), arguments=2)
    unit = exact_unit(task)
    found = certify_nested(unit, task)
    assert found.verdict == "every_length_snapped"
    assert "of at most 2 arguments of a median" in found.statement
    # The unit knows two digits at most.
    wrong = certify_nested(unit, task, Limits(arguments=3))
    assert wrong.counterexample is not None
    assert wrong.counterexample.fails
    assert len(wrong.counterexample.symbols) == 5


def test_a_sum_that_is_wrong_for_one_pair_of_digits_is_found() -> None:
    task = ListOps(operations=("sum",))
    unit = exact_unit(task, changes=1, seed=3)
    example = certify_nested(unit, task).counterexample
    assert example is not None
    assert example.fails
    assert task.nesting().label(example.symbols) == example.truth


def test_many_symbols_that_stand_for_the_same_are_told_apart_by_the_task() -> None:
    task = Brackets(kinds=1, neutral=100)
    unit = exact_unit(task)
    leaves, values = unit.encoder.leaves_VD, len(unit.encoder.leaves_VD[0])
    unit.encoder.leaves_VD = leaves + 0.1 * torch.randn(leaves.shape, generator=torch.Generator().manual_seed(0))
    found = certify_nested(unit, task)
    assert found.verdict == "every_length_snapped"
    assert found.table is not None
    assert found.table.size < values


def test_noisy_values_are_told_apart_by_the_task() -> None:
    task = Brackets(kinds=2)
    unit = exact_unit(task)
    join, generator = unit.join, torch.Generator().manual_seed(0)

    class Noisy(type(join)):  # type: ignore[misc]
        def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
            joined = super().forward(left, right)
            return joined + 0.1 * torch.randn(joined.shape, generator=generator)

    unit.join = Noisy(join.products_EE)
    found = certify_nested(unit, task, Limits(elements=6))
    assert found.verdict == "every_length_snapped"
    assert found.table is not None
    assert found.table.size == 6
    assert found.statement.endswith("6 elements, told apart by the task")


def test_values_that_do_not_close_are_not_proved() -> None:
    task = Brackets(kinds=2)
    found = certify_nested(exact_unit(task), task, Limits(elements=3))
    assert found.verdict == "not_proved"
    assert "within 3 values" in found.statement
    assert problems_of(certified(task, exact_unit(task), elements=3)) == []


def nesting(**changes: Any) -> Nesting:
    """Return parity of the ones, of strings without brackets."""
    own = {"opening": (), "closing": (), "symbols": 1, "leaf": lambda _: 1, "answer": lambda value: value}
    return Nesting(**(own | {"join": lambda left, right: (left + right) % 2} | changes))


def test_strings_of_one_symbol_and_without_brackets_are_gone_through() -> None:
    found = whole_strings(nesting(), [1], lambda pairs: [(left + right) % 2 for left, right in pairs])
    assert [(piece.word, piece.element) for piece in found] == [((0,), 1), ((0, 0), 0)]


def test_pairs_that_are_never_closed_and_closings_that_nothing_opened_are_met() -> None:
    # Values spell how a string is joined, up to three symbols.
    told = nesting(
        opening=(0,),
        closing=(1,),
        symbols=2,
        leaf="ab".__getitem__,
        join=lambda left, right: f"({left}{right})" if len(left + right) < 6 else None,
        answer=lambda value: value,
    )
    met = {piece.word: piece.value for piece in whole_strings(told, [0, 0], lambda pairs: [0] * len(pairs))}
    assert met == {word: told.label(word) for word in chain(*(product(range(2), repeat=n) for n in (1, 2, 3)))}
    assert (met[0, 1, 1], met[0, 0, 1], met[1, 0, 1], met[0, 0, 0]) == ("((ab)b)", "(a(ab))", "(b(ab))", "(a(aa))")


def test_a_task_without_a_class_proves_nothing() -> None:
    task = ListOps(operations=("median",), arguments=2)
    with pytest.raises(InputError, match="gives no string a class"):
        certify_nested(exact_unit(task), task, Limits(arguments=1))


def test_what_cannot_be_proved_is_refused_in_words() -> None:
    task = Brackets(kinds=1)
    balanced = NestedConfig(width=4, brackets=Given(opening=(0,), closing=(1,)), inside="balanced").build(2, 2)
    for unit, message in (
        (balanced.eval(), "from the left"),
        (exact_unit(task).train(), "training mode"),
        (NestedConfig(width=4, brackets=Given(opening=(1,), closing=(0,))).build(2, 2).eval(), "symbol 0 closes one"),
        (torch.nn.Linear(1, 1), "Linear"),
    ):
        with pytest.raises(InputError, match=message):
            certify_nested(unit, task)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def right() -> Certificate:
    task = Brackets(kinds=2)
    return certified(task, exact_unit(task))


@pytest.fixture(scope="module")
def wrong() -> Certificate:
    task = Brackets(kinds=2)
    return certified(task, exact_unit(task, changes=3, seed=1))


@pytest.fixture(scope="module")
def bounded() -> Certificate:
    task = ListOps(operations=("median",), arguments=2)
    return certified(task, exact_unit(task))


def test_untouched_certificates_hold(right: Certificate, wrong: Certificate, bounded: Certificate) -> None:
    assert (right.verdict, wrong.verdict, bounded.verdict) == ("every_length_snapped", "wrong", "every_length_snapped")
    for one in (right, wrong, bounded):
        assert problems_of(one) == []
        assert problems_of(Certificate.model_validate_json(one.to_json())) == []


def test_forged_claims_are_refused(right: Certificate, wrong: Certificate, bounded: Certificate) -> None:
    example = wrong.counterexample
    assert example is not None
    assert right.nested is not None
    assert bounded.nested is not None
    shown = example.model_dump()
    settings, told = right.nested.settings, bounded.nested.model_dump()
    forged = {
        "what it holds gives every_length_snapped": changed(right, verdict="every_length"),
        "what it holds gives wrong": changed(wrong, verdict=right.verdict, statement=right.statement),
        "wrong on the string": renewed(wrong, counterexample=None),
        "leaves|has no value": changed(right, nested={"settings": settings | {"kinds": 3}}),
        "its settings are those": changed(right, task="parity"),
        "version 9": changed(right, task_version=9),
        "of which there is no value": changed(bounded, nested=told | {"arguments": 3}),
        "is not the number of elements": changed(right, monoid=99),
        "it states length": changed(right, length=5),
        "it states states": changed(right, states=5),
        "the task gives its counterexample": changed(wrong, counterexample=shown | {"truth": 1 - example.truth}),
        "its table gives its counterexample": changed(wrong, counterexample=shown | {"answer": example.truth}),
        "has the symbol 9": changed(wrong, counterexample=shown | {"symbols": [9]}),
        "was not run": changed(wrong, counterexample={k: v for k, v in shown.items() if k != "model_answer"}),
        "its table has none": changed(right, counterexample=shown),
        "seal": right.model_copy(update={"seconds": 5.0}),
        "about no task": changed(right, nested={"settings": settings | {"kinds": -1}}),
    }
    unseen = {
        message: found for message, one in forged.items() if not re.search(message, "".join(found := problems_of(one)))
    }
    assert unseen == {}


def test_a_product_that_was_changed_is_refused(right: Certificate) -> None:
    algebra = right.dump()["algebra"]
    products = np.array(algebra["product"])
    place = tuple(np.argwhere(products >= 0)[0])
    for product_ in (-1, (products[place] + 1) % len(products)):
        other = products.copy()
        other[place] = product_
        assert problems_of(changed(right, algebra=algebra | {"product": other.tolist()}))


def test_a_certificate_is_about_one_kind_of_task(right: Certificate) -> None:
    for changes in ({"method": "snapped"}, {"nested": None}):
        with pytest.raises(ValidationError):
            changed(right, **changes)


@pytest.mark.slow
def test_a_run_is_certified_and_checked_again(tmp_path: Path) -> None:
    settings = {
        "name": "brackets",
        "task": {"name": "brackets", "kinds": 1, "train": {"maximum": 6}, "lengths": [4], "samples": 8},
        "model": {"name": "nested", "width": 8, "brackets": {"opening": [0], "closing": [1]}},
        "training": {"steps": 2, "batch_size": 8},
    }
    run = tmp_path / "run"
    train_run(validate_recipe(settings, str(tmp_path)), 0, run)
    certificate = certify_run(run)
    assert (certificate.method, certificate.task) == ("pushdown", "brackets")
    answered = CliRunner().invoke(app, ["certify", str(run), "--elements", "50"])
    assert answered.exit_code == 1
    program = (
        "import sys; from pathlib import Path; from lengthwise.certificates.verification import verify_certificate; "
        f"verify_certificate(Path({str(run)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert CliRunner().invoke(app, ["certify", "--verify", str(run)]).exit_code == 0
    told = certificate.nested
    assert told is not None
    other = changed(certificate, nested={"settings": told.settings | {"samples": 9}})
    (run / FILE_NAME).write_text(other.to_json())
    refused = CliRunner().invoke(app, ["certify", "--verify", str(run)])
    assert refused.exit_code == 2
    assert "settings of the task" in refused.output


def test_a_nested_unit_of_a_task_without_pairs_is_asked_as_before(tmp_path: Path) -> None:
    settings = {
        "name": "parity",
        "task": "parity",
        "model": {"name": "nested", "width": 8, "brackets": {"opening": [0], "closing": [1]}},
        "training": {"steps": 2, "batch_size": 8},
    }
    train_run(validate_recipe(settings, str(tmp_path)), 0, tmp_path / "run")
    assert certify_run(tmp_path / "run").method == "black_box"
    with pytest.raises(InputError, match="what a pair of brackets makes"):
        certify_run(tmp_path / "run", "pushdown")
