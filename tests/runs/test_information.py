"""Information: words about recipes as they are shipped."""

from typing import ClassVar

import pytest

from lengthwise.models.tree.nested import Given
from lengthwise.runs.information import chosen_by, labels_of
from lengthwise.runs.recipe import load_recipe
from lengthwise.runs.sweep import expand, load_sweep
from lengthwise.tasks.base import Task
from lengthwise.training.objectives.asked import AskedConfig
from lengthwise.training.objectives.distil import DistilConfig


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
    read = load_recipe(recipe)
    assert (labels_of(read), chosen_by(read)) == (labels, chosen)


def test_the_sweep_of_one_label_has_one_label_and_no_teacher() -> None:
    found = [run.recipe for run in expand(*load_sweep("one_label"))]
    assert {labels_of(one) for one in found} == {"1"}
    assert {part.strip() for one in found for part in chosen_by(one).replace(";", ",").split(",")} == {
        "as measured", "walks", "short ones first"
    }  # fmt: skip


def test_brackets_that_are_told_are_information() -> None:
    found = load_recipe("listops/nested")
    told = found.model.model_copy(update={"brackets": Given(opening=(1,), closing=(2,))})
    assert chosen_by(found.model_copy(update={"model": told})) == "as measured; brackets told"


def test_a_task_and_an_objective_of_somebody_else_say_it_themselves() -> None:
    class Asking(type(load_recipe("states/passkey").task)):
        told: ClassVar[str] = "two"
        chosen: ClassVar[str] = "what the teacher likes"

    class Teaching(AskedConfig):
        chosen: ClassVar[str] = "and more of it"

        def told(self, task: Task) -> str:
            return f"{task.told} and a half"

    task = Asking.model_construct(**load_recipe("states/passkey").task.model_dump())
    recipe = load_recipe("states/passkey").model_copy(update={"task": task, "objective": Teaching()})
    assert (labels_of(recipe), chosen_by(recipe)) == ("two and a half", "what the teacher likes, and more of it")
    assert labels_of(recipe.model_copy(update={"objective": DistilConfig()})) == "none"
