"""Information: words about recipes as they are shipped."""

import pytest

from lengthwise.report.information import chosen_by, labels_of
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.sweep import expand, load_sweep


def settings(name: str) -> dict:
    return load_recipe(name).model_dump(mode="json")


@pytest.mark.parametrize(
    ("recipe", "labels", "chosen"),
    [
        ("paper/parity", "1", "as measured"),
        ("fast/parity", "every node", "as measured"),
        ("fast/dyck_8", "every node, and products of a teacher", "as measured, near misses, hard ones, long runs"),
        ("matrix/parity", "every node", "as measured, near misses, hard ones"),
        ("matrix/dyck_6", "every prefix", "as measured, near misses, hard ones, long runs"),
        (
            "matrix/dyck_12",
            "every prefix",
            "as measured, near misses, hard ones, long runs, counterexamples of a teacher",
        ),
        ("listops/nested", "1", "as measured"),
        ("baselines/gru", "every prefix", "as measured"),
        ("groups/s5", "every node", "as measured; short ones first"),
        ("text/mamba2/base", "where the task asks", "as measured"),
    ],
)
def test_what_a_recipe_was_told(recipe: str, labels: str, chosen: str) -> None:
    assert (labels_of(settings(recipe)), chosen_by(settings(recipe))) == (labels, chosen)


def test_the_sweep_of_one_label_has_one_label_and_no_teacher() -> None:
    found = [run.recipe.model_dump(mode="json") for run in expand(*load_sweep("one_label"))]
    assert {labels_of(one) for one in found} == {"1"}
    assert {part.strip() for one in found for part in chosen_by(one).replace(";", ",").split(",")} == {
        "as measured", "walks", "short ones first"
    }  # fmt: skip


def test_brackets_that_are_told_are_information() -> None:
    told = {"model": {"brackets": {"opening": [1], "closing": [2]}}}
    assert chosen_by(told) == "as measured; brackets told"
