"""Certificates changed by somebody who renews the seal."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
import yaml
from exact_units import exact_certificate, exact_reading
from forging import changed, renewed, rewrite
from pydantic import ValidationError
from typer.testing import CliRunner

from lengthwise.certificates.algebra import Algebra, extract_algebra
from lengthwise.certificates.certificate import FILE_NAME, Certificate, hash_weights, read_certificate
from lengthwise.certificates.table import MultiplicationTable
from lengthwise.certificates.verification import problems_of, verify_certificate
from lengthwise.cli.main import app
from lengthwise.errors import InputError
from lengthwise.scans import tree_reduce
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.language import Language
from lengthwise.training.checkpoint import load_checkpoint, save_checkpoint


def algebra_of(task: Language, **changes: Any) -> Algebra:
    algebra = extract_algebra(exact_reading(task), task.automaton)
    return replace(algebra, table=replace(algebra.table, **changes))


@pytest.fixture(scope="module")
def task() -> Language:
    return get_language("tomita_3")


@pytest.fixture(scope="module")
def right(task: Language) -> Certificate:
    return exact_certificate(task)


@pytest.fixture(scope="module")
def wrong(task: Language) -> Certificate:
    """Of a table with one product that goes astray."""
    products = algebra_of(task).table.products_EE.copy()
    products[3, 0] = products[3, 1]
    return exact_certificate(task, algebra_of(task, products_EE=products))


def test_untouched_certificates_hold(right: Certificate, wrong: Certificate) -> None:
    assert (right.verdict, wrong.verdict) == ("every_length_snapped", "wrong")
    assert problems_of(right) == problems_of(wrong) == []


def test_checking_a_table_needs_no_torch(right: Certificate, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(right.to_json())
    script = (
        "import sys; from pathlib import Path; from lengthwise.certificates.verification import verify_certificate\n"
        f"verify_certificate(Path({str(tmp_path)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.slow
def test_every_entry_of_the_table_is_checked(right: Certificate) -> None:
    assert right.algebra is not None
    for row, column in np.random.default_rng(0).integers(right.algebra.size, size=(60, 2)).tolist():
        products = right.algebra.products_EE.copy()
        products[row, column] = (products[row, column] + 1) % right.algebra.size
        assert problems_of(changed(right, algebra=replace(right.algebra, products_EE=products))), (row, column)


def test_a_table_that_is_right_in_balanced_trees_alone_has_to_say_so(task: Language, right: Certificate) -> None:
    products = algebra_of(task).table.products_EE.copy()
    products[24, 11] = 24
    trees = exact_certificate(task, algebra_of(task, products_EE=products))
    assert trees.statement == "right at every length in balanced trees, snapped to one of 25 elements"
    assert problems_of(trees) == []
    assert "what it holds gives" in problems_of(changed(trees, statement=right.statement))[0]


TOMITA_3 = {"transitions": [[0, 1], [2, 0], [3, 4], [2, 3], [4, 4]], "start": 0, "outputs": [1, 1, 0, 1, 0]}
EVERY = {"verdict": "every_length", "statement": "right at every length: 25 cells are mapped into one another"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"algebra": None}, "it counts the states of an automaton that it does not hold"),
        ({"algebra": None, "states": None}, "it claims a proof and holds none"),
        ({"algebra": None, "states": None, "method": "raw"}, "it claims a proof and holds none"),
        ({"algebra": None, "method": "raw", "extracted": TOMITA_3}, "the rows of the operator 'mlp', which has none"),
        ({"method": "raw"}, "what it holds gives not_proved"),
        (EVERY | {"method": "raw"}, "what it holds gives not_proved"),
        ({"method": "rounded"}, "it is about the rows of the operator 'mlp', which has none"),
        ({"method": "black_box"}, "what it holds gives not_proved"),
        ({"verdict": "every_length"}, "what it holds gives every_length_snapped"),
        ({"verdict": "up_to_length", "length": 9}, "what it holds gives every_length_snapped"),
        ({"length": 9}, "the length 9 does not belong to the verdict every_length_snapped"),
        ({"verdict": "not_proved"}, "what it holds gives every_length_snapped"),
        ({"statement": "right at every length"}, "what it holds gives"),
        ({"monoid": 24}, "24 is not the number of elements"),
        ({"states": 26}, "it counts 26 states"),
        (
            {"extracted": {"transitions": [[0, 0]], "start": 0, "outputs": [1]}},
            "is not that of its multiplication table",
        ),
        ({"isomorphism": [1, 0, 2, 3]}, "its isomorphism is none"),
        ({"minimal": {"transitions": [[0, 0]], "start": 0, "outputs": [1]}}, "its minimal automaton is not that"),
    ],
)
def test_claims_that_do_not_follow_are_refused(right: Certificate, change: dict[str, Any], message: str) -> None:
    problems = problems_of(changed(right, **change))
    assert any(re.search(message, problem) for problem in problems), problems


def test_changed_counterexamples_are_refused(wrong: Certificate) -> None:
    assert wrong.counterexample is not None
    example = wrong.counterexample.model_dump()
    for change, message in [
        ({"answer": example["truth"], "truth": example["answer"]}, "the task gives its counterexample the class"),
        ({"answer": example["truth"]}, "answers"),
        ({"symbols": [7]}, "outside the alphabet"),
        ({"symbols": [0]}, "the states of its counterexample"),
        ({"states": []}, "the states of its counterexample"),
        ({"model_answer": None}, "the network was not run"),
        ({"model_answer": example["truth"]}, "what it holds gives wrong"),
    ]:
        problems = problems_of(changed(wrong, counterexample=example | change))
        assert any(message in problem for problem in problems), (change, problems)
    for astray in (0.5, 7.0):
        assert "what it holds gives" in problems_of(changed(wrong, margins=wrong.margins | {"astray": astray}))[0]
    assert "without a counterexample" in problems_of(changed(wrong, counterexample=None))[0]
    for impossible in ({"counterexample": example | {"symbols": []}}, {"margins": {"astray": float("nan")}}):
        with pytest.raises(ValidationError):
            changed(wrong, **impossible)


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
    (tmp_path / FILE_NAME).write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"does not hold|is not a certificate"):
        verify_certificate(tmp_path)


def test_numbers_that_no_automaton_has_are_no_certificate(right: Certificate, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(right.to_json().replace('"start": 0', '"start": 99999999999999999999', 1))
    with pytest.raises(InputError, match="is not a certificate"):
        verify_certificate(tmp_path)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12, 31])
def test_tables_are_multiplied_with_the_brackets_of_a_tree(length: int) -> None:
    rng = np.random.default_rng(length)
    table = MultiplicationTable(rng.integers(0, 6, (6, 6)), np.arange(6), np.zeros(6, int))
    word = rng.integers(0, 6, length)
    products = torch.from_numpy(table.products_EE)
    assert table.balanced(word.tolist()) == int(tree_reduce(lambda x, y: products[x, y], torch.from_numpy(word)[None]))


PARITY = {"product": [[0, 1], [1, 0]], "leaves": [0, 1], "outputs": [0, 1]}
OTHER = {"transitions": [[0, 0]], "start": 0, "outputs": [1]}


def test_forgeries_of_a_unit_that_is_right_at_every_length_are_refused(run: Path) -> None:
    certificate = read_certificate(run / FILE_NAME)
    assert certificate.extracted is not None
    outputs = (1 - certificate.extracted.outputs_S.clip(0)).tolist()
    extracted = certificate.dump()["extracted"]
    training = certificate.training.model_dump()
    forgeries: list[tuple[dict[str, Any], str]] = [
        ({"extracted": extracted | {"outputs": outputs}}, "automaton is wrong on the string"),
        ({"extracted": OTHER, "states": 1}, "cannot solve|automaton is wrong|reads"),
        ({"task": "tomita_4"}, "task automaton is not that of tomita_4"),
        ({"task": "parrity"}, "did you mean 'parity'"),
        ({"task_version": 99}, "version 99 of the task"),
        ({"task_automaton": extracted}, "task automaton is not that of parity"),
        ({"verdict": "up_to_length", "length": 7}, "what it holds gives every_length"),
        ({"verdict": "wrong"}, "without a counterexample"),
        ({"operator": "mlp"}, "about the rows of the operator 'mlp', which has none"),
        ({"method": "rounded"}, "what it holds gives"),
        ({"monoid": 3}, "3 is not the number of elements"),
        ({"weights": "0" * 64}, "about other weights"),
        ({"training": training | {"seed": 3}}, "its seed is 3, that of the run beside it 0"),
        ({"training": training | {"step": 100_000}}, "its step is 100000, that of the run beside it 100"),
        ({"training": training | {"sequences": 10**9}}, "its sequences is 1000000000"),
        ({"training": training | {"recipe": "paper/parity"}}, "its recipe is 'paper/parity'"),
        ({"margins": certificate.margins | {"margin": 99.0}}, "margins are not those that the weights give"),
        ({"margins": {}}, "what it holds gives not_proved"),
        ({"length": 12}, "the length 12 does not belong"),
        ({"states": 77}, "it counts 77 states"),
    ]
    for change, message in forgeries:
        with pytest.raises(InputError, match=message):
            verify_certificate(rewrite(run, **change))
        (run / FILE_NAME).write_text(certificate.to_json())
    verify_certificate(run)


def test_a_proof_up_to_a_length_cannot_be_made_into_more(soft_run: Path) -> None:
    certificate = read_certificate(soft_run / FILE_NAME)
    table, example = certificate.dump(), certificate.dump()["counterexample"]
    every: dict[str, Any] = {"length": None, "counterexample": None}
    exact = {name: certificate.margins[name] for name in ("margin", "readout_error", "row_gap")} | {"leak": 0.0}
    forgeries: list[tuple[dict[str, Any], str]] = [
        (every | {"margins": exact}, "the weights give: right up to length"),
        (every | {"method": "rounded", "margins": exact}, ""),
        (
            every | {"method": "snapped", "algebra": PARITY, "extracted": None, "states": 4},
            "proved as it is or rounded",
        ),
        ({"length": table["length"] + 1}, "the weights give"),
        ({"length": len(example["symbols"])}, "is no longer than the"),
        ({"counterexample": None}, "counterexample is not the one that the weights give"),
        ({"counterexample": example | {"model_answer": 5}}, "the network does not answer 5"),
        ({"margins": table["margins"] | {"leak": 1e-9}}, "margins are not those"),
        ({"margins": table["margins"] | {"exact_length": 1e6}}, "margins are not those"),
    ]
    for change, message in forgeries:
        (soft_run / FILE_NAME).write_text(renewed(certificate, **change).to_json())
        if not message:
            # With its rows rounded it is right, and that is what the method says.
            assert verify_certificate(soft_run).certificate.statement.startswith("right at every length: with its rows")
            continue
        with pytest.raises(InputError, match=message):
            verify_certificate(soft_run)


@pytest.mark.parametrize(
    "recipe",
    [
        {"seeds": 0},
        {"seeds": []},
        {"task": None},
        {"task": {"language": 3}},
        {"model": None},
        {"model": {"name": "ldru", "operator": "stochastic"}},
        {"model": {"name": "ldru", "operator": {"name": "stochastic"}}},
        {"model": {"name": "ldru", "level": "plain", "odd": "carry", "operator": {"name": "stochastic", "heads": 3}}},
        {
            "model": {
                "name": "ldru",
                "level": "plain",
                "odd": "carry",
                "operator": {"name": "stochastic", "heads": 10**9},
            }
        },
    ],
)
def test_a_recipe_that_is_none_is_refused_in_words(run: Path, recipe: dict[str, Any]) -> None:
    settings = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump(settings | recipe))
    result = CliRunner().invoke(app, ["certify", "--verify", str(run)])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code in (0, 2)


def test_what_cannot_be_checked_is_said(right: Certificate, run: Path, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(right.to_json())
    alone = verify_certificate(tmp_path).unchecked
    assert [claim.split(":")[0] for claim in alone] == [
        "how long training and certification took, and the versions",
        "that what it holds was read off the weights that it names, and what the network itself answers",
        "the digest of the recipe",
        "recipe, seed, steps and strings of training",
    ]
    # The weights are random, and nothing but their hash is compared.
    model = {"name": "ldru", "operator": {"name": "mlp"}}
    recipe = {"name": "exact", "task": "tomita_3", "model": model, "seeds": [0]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    safetensors.numpy.save_file({"model.weight": np.ones(2)}, tmp_path / "checkpoint.safetensors")
    with pytest.raises(InputError, match="about other weights"):
        verify_certificate(tmp_path)
    rewrite(tmp_path, weights=hash_weights(tmp_path / "checkpoint.safetensors"))
    assert any("was read off these weights" in claim for claim in verify_certificate(tmp_path).unchecked)
    assert not any("was read off" in claim for claim in verify_certificate(run).unchecked)


@pytest.mark.slow
def test_the_table_of_a_snapped_unit_is_read_off_its_weights_again(snapped_run: Path) -> None:
    run = snapped_run

    def verify() -> tuple[int, str]:
        result = CliRunner().invoke(app, ["certify", "--verify", str(run)])
        return result.exit_code, result.output

    code, said = verify()
    assert code == 0, said
    assert "was read off" not in said
    right = read_certificate(run / FILE_NAME)
    rewrite(run, margins=right.margins | {"margin": 2 * right.margins["margin"]})
    code, said = verify()
    assert (code, "its margin is" in said) == (2, True), said
    (run / FILE_NAME).write_text(right.to_json())
    # Weights by chance, with their hash: the table of the task would do for any of them.
    tensors, values = load_checkpoint(run / "checkpoint.safetensors")
    drawn = torch.Generator().manual_seed(0)
    for name in [name for name in tensors if name.startswith("model.")]:
        tensors[name] = torch.randn(tensors[name].shape, generator=drawn)
    save_checkpoint(run / "checkpoint.safetensors", tensors, values)
    rewrite(run, weights=hash_weights(run / "checkpoint.safetensors"))
    assert verify_certificate(run).certificate.verdict == "every_length_snapped"
    code, said = verify()
    assert code == 2, said
    assert "the weights" in said
