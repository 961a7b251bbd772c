"""Certificates changed by somebody who renews the seal."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exact_units import Network, exact_reading
from pydantic import ValidationError

from lengthwise.certificates.algebra import Algebra, extract_algebra
from lengthwise.certificates.certificate import FILE_NAME, Certificate, Training
from lengthwise.certificates.of_run import complete
from lengthwise.certificates.snapped import SnappedUnit, judge
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.certificates.verification import verify_claims
from lengthwise.certificates.verify_run import verify_certificate
from lengthwise.errors import InputError
from lengthwise.scans import tree_reduce
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.language import Language

TRAINING = Training(recipe="exact", digest="0", seed=0, step=1, sequences=1, seconds=0.0, longest=1)


def algebra_of(task: Language, **changes: Any) -> Algebra:
    algebra = extract_algebra(exact_reading(task), task.automaton)
    return replace(algebra, table=replace(algebra.table, **changes))


def certify(algebra: Algebra, task: Language) -> Certificate:
    network = Network(SnappedUnit(algebra))
    found = complete(judge(algebra, network, task), network, task, TRAINING)
    return found.model_copy(update={"operator": "mlp", "weights": "0" * 64}).sealed()


def changed(certificate: Certificate, **changes: Any) -> Certificate:
    return Certificate.model_validate(certificate.model_dump(mode="json") | changes).sealed()


@pytest.fixture(scope="module")
def task() -> Language:
    return get_language("tomita_3")


@pytest.fixture(scope="module")
def right(task: Language) -> Certificate:
    return certify(algebra_of(task), task)


@pytest.fixture(scope="module")
def wrong(task: Language) -> Certificate:
    """Of a table with one product that goes astray."""
    products = algebra_of(task).table.products_EE.copy()
    products[3, 0] = products[3, 1]
    return certify(algebra_of(task, products_EE=products), task)


def test_untouched_certificates_hold(right: Certificate, wrong: Certificate) -> None:
    assert (right.verdict, wrong.verdict) == ("every_length", "wrong")
    assert verify_claims(right) == verify_claims(wrong) == []


def test_checking_a_table_needs_no_torch(right: Certificate, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(right.to_json())
    script = (
        "import sys; from pathlib import Path; from lengthwise.certificates.verify_run import verify_certificate\n"
        f"verify_certificate(Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.slow
def test_every_entry_of_the_table_is_checked(right: Certificate) -> None:
    assert right.algebra is not None
    size = len(right.algebra.outputs)
    for row in range(size):
        for column in range(size):
            table = right.algebra.model_dump()
            table["product"][row][column] = (table["product"][row][column] + 1) % size
            assert verify_claims(changed(right, algebra=table)), f"{row} times {column}"


def test_a_table_that_is_right_in_balanced_trees_alone_has_to_say_so(task: Language, right: Certificate) -> None:
    products = algebra_of(task).table.products_EE.copy()
    products[24, 11] = 24
    trees = certify(algebra_of(task, products_EE=products), task)
    assert trees.statement == "right at every length in balanced trees, snapped to one of 25 elements"
    assert verify_claims(trees) == []
    assert (
        "statement is not what its multiplication table gives"
        in verify_claims(changed(trees, statement=right.statement))[0]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algebra": None}, "it has no multiplication table, which its proof rests on"),
        ({"method": "raw", "algebra": None}, "it has no multiplication table, which its proof rests on"),
        ({"method": "raw"}, "statement is not one about cells"),
        ({"method": "rounded"}, "it rounds the rows of the operator 'mlp', which has none"),
        ({"method": "black_box"}, "proof by the answers of a black box, which never are one"),
        ({"verdict": "up_to_length", "length": 9}, "proof up to a length by the method snapped"),
        ({"length": 9}, "the length 9 does not belong to the verdict every_length"),
        ({"verdict": "not_proved"}, "statement does not say its verdict not_proved"),
        ({"statement": "right at every length"}, "statement is not what its multiplication table gives"),
        ({"monoid": 24}, "24 is not the number of elements"),
        ({"extracted": None}, "it describes an automaton that it does not hold"),
    ],
)
def test_claims_that_do_not_follow_are_refused(right: Certificate, change: dict[str, Any], message: str) -> None:
    assert any(message in problem for problem in verify_claims(changed(right, **change)))


def test_changed_counterexamples_are_refused(wrong: Certificate) -> None:
    assert wrong.counterexample is not None
    example = wrong.counterexample.model_dump()
    for change, message in [
        ({"answer": example["truth"], "truth": example["answer"]}, "the task gives its counterexample the class"),
        ({"answer": example["truth"]}, "answers"),
        ({"symbols": [7]}, "outside the alphabet"),
        ({"symbols": [0]}, "the states of its counterexample"),
        ({"symbols": [0], "states": []}, "the task gives its counterexample the class 1, not 0"),
        ({"model_answer": None}, "the network was not run"),
        ({"model_answer": example["truth"]}, "statement is not what its multiplication table gives"),
    ]:
        problems = verify_claims(changed(wrong, counterexample=example | change))
        assert any(message in problem for problem in problems), (change, problems)
    for astray in (float("nan"), float("inf"), 0.5, 7.0):
        problems = verify_claims(wrong.model_copy(update={"margins": wrong.margins | {"astray": astray}}).sealed())
        assert any("statement is not what its multiplication table gives" in problem for problem in problems)
    assert "without a counterexample" in verify_claims(changed(wrong, counterexample=None))[0]
    with pytest.raises(ValidationError, match="at least 1 item"):
        changed(wrong, counterexample=example | {"symbols": []})


@pytest.mark.parametrize(
    "change",
    [
        {"product": [[0], [1, 2]]},
        {"product": []},
        {"product": [[]]},
        {"outputs": []},
        {"leaves": []},
        {"leaves": [0, 1, 1]},
        {"leaves": [0, 99]},
    ],
)
def test_ragged_and_impossible_tables_are_refused(right: Certificate, change: dict[str, Any], tmp_path: Path) -> None:
    settings = json.loads(right.to_json())
    settings["algebra"] |= change
    (tmp_path / FILE_NAME).write_text(Certificate.model_validate(settings).to_json())
    with pytest.raises(InputError, match="does not hold"):
        verify_certificate(tmp_path)


def test_numbers_that_no_automaton_has_are_no_certificate(right: Certificate, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(right.to_json().replace('"start": 0', '"start": 99999999999999999999', 1))
    with pytest.raises(InputError, match="is not a certificate"):
        verify_certificate(tmp_path)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12, 31])
def test_tables_are_multiplied_with_the_brackets_of_a_tree(length: int) -> None:
    rng = np.random.default_rng(length)
    table = MultiplicationTable(rng.integers(0, 6, (6, 6)), np.arange(6), np.zeros(6, int), ((),) * 6)
    word = rng.integers(0, 6, length)
    products = torch.from_numpy(table.products_EE)
    assert table.balanced(word.tolist()) == int(tree_reduce(lambda x, y: products[x, y], torch.from_numpy(word)[None]))
