"""Regular languages behind the contract of a task."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lengthwise.errors import InputError
from lengthwise.spaces import Tokens
from lengthwise.tasks import LANGUAGES, get_language, get_task, spell_task
from lengthwise.tasks.base import IGNORE, Point
from lengthwise.tasks.capabilities import FairPrefixes, HasAutomaton, HeldOut, PrefixLabels, require
from lengthwise.tasks.regular.task import Regular


def task_of(language: str, **settings: Any) -> Regular:
    return Regular.model_validate({"language": language} | settings)


def lengths(task: Regular, stage: Any, distribution: str | None = "standard") -> list[int | None]:
    return [point.length for point in task.points(stage) if point.axes.get("distribution") == distribution]


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_a_name_is_the_task_of_its_language(name: str) -> None:
    task, language = get_task(name), get_language(name)
    assert isinstance(task, Regular)
    assert task == task_of(name)
    assert (task.label, task.definition) == (name, language)
    assert (task.inputs, task.outputs) == (Tokens(language.vocabulary), Tokens(language.classes))
    assert task.training_length == max(language.nearest_length(40), language.nearest_length(39))
    assert (task.identity(), task.data) == ("", "")


def test_a_plain_name_is_spelt_out() -> None:
    assert spell_task("parity") == {"name": "regular", "language": "parity"}
    assert spell_task("regex:(ab)*") == {"name": "regular", "language": "regex:(ab)*"}
    assert spell_task("language_modelling") == {"name": "language_modelling"}
    assert spell_task({"name": "x"}) == {"name": "x"}


def test_a_misspelt_name_is_answered_with_the_nearest_language_or_task() -> None:
    with pytest.raises(InputError, match="unknown task 'partiy'; did you mean 'parity'"):
        get_task("partiy")
    with pytest.raises(InputError, match="unknown task 'language_modeling'; did you mean 'language_modelling'"):
        get_task("language_modeling")
    with pytest.raises(ValidationError, match="unknown language 'partiy'"):
        task_of("partiy")


@pytest.mark.parametrize("language", ["parity", "dyck_3", "modular_arithmetic"])
@pytest.mark.parametrize("distribution", ["standard", "near_miss"])
def test_a_sample_is_that_of_the_language_asked_at_its_end(language: str, distribution: str) -> None:
    task = get_task(language)
    batch = task.sample(np.random.default_rng(3), 7, Point({"length": 8, "distribution": distribution}))
    own = get_language(language)
    sampler = own.sample if distribution == "standard" else own.sample_near_miss
    strings = sampler(np.random.default_rng(3), 7, 8)
    assert batch.inputs.tolist() == strings.tokens.tolist()
    assert batch.targets[:, -1].tolist() == strings.targets.tolist()
    assert (batch.targets[:, :-1] == IGNORE).all()
    assert batch.fresh.all()


def test_training_draws_the_mixture() -> None:
    task = task_of("dyck_2", mixture={"accepted": 1.0})
    (point,) = [point for point in task.points("train") if point.length == 12]
    assert (task.sample(np.random.default_rng(0), 50, point).targets[:, -1] == 1).all()
    with pytest.raises(ValidationError, match=r"mixture\.acepted"):
        task_of("dyck_2", mixture={"acepted": 1.0})


def test_a_point_that_is_none_of_the_task_is_refused() -> None:
    task, rng = get_task("parity"), np.random.default_rng(0)
    with pytest.raises(InputError, match="a string of parity has a length; the point says"):
        task.sample(rng, 2, Point({"depth": 0.5}))
    with pytest.raises(InputError, match="parity has no distribution 'hard'; there are standard and near_miss"):
        task.sample(rng, 2, Point({"length": 4, "distribution": "hard"}))


def test_training_reads_the_nearest_length_that_exists_and_measures_each_once() -> None:
    task = task_of(
        "modular_arithmetic",
        train={"minimum": 2, "maximum": 7},
        test={"longest": 7, "long_lengths": [500, 10, 9], "near_misses": [7, 8], "curve_lengths": [3, 4, 6]},
    )
    assert lengths(task, "train", None) == [1, 3, 3, 5, 5, 7]
    assert lengths(task, "test") == [1, 3, 5, 7, 499, 9]
    assert lengths(task, "test", "near_miss") == [7]
    assert lengths(task, "curve") == [3, 5]


def test_points_say_how_many_samples_they_are_measured_on() -> None:
    test = {
        "longest": 3,
        "samples": 5,
        "long_lengths": [9],
        "long_samples": 2,
        "near_misses": [4],
        "curve_lengths": [2],
    }
    task = task_of("parity", test=test | {"curve_samples": 3})
    assert [(point.length, point.samples) for point in task.points("test")] == [(1, 5), (2, 5), (3, 5), (4, 5), (9, 2)]
    assert [(point.length, point.samples) for point in task.points("curve")] == [(2, 3)]


def test_lengths_that_do_not_exist_are_refused_where_they_are_trained_on(tmp_path: Any) -> None:
    path = tmp_path / "fourth.yaml"
    path.write_text("{alphabet: 1, start: a, classes: {a: 0}, transitions: {a: [b], b: [c], c: [d], d: [a]}}")
    task = task_of(f"dfa:{path}", train={"maximum": 9})
    for refused in (task.notes, lambda: task.points("train")):
        with pytest.raises(InputError, match="no string of length 1 has a class"):
            refused()
    assert lengths(task_of(f"dfa:{path}", test={"longest": 9, "long_lengths": [], "near_misses": []}), "test") == [4, 8]


def test_what_training_does_instead_is_noted() -> None:
    (note,) = task_of("modular_arithmetic", train={"maximum": 4}).notes()
    assert note == (
        "modular_arithmetic has no strings of length 2, 4: training reads strings that are one symbol shorter in their "
        "place"
    )
    assert get_task("parity").notes() == []


def test_prefixes_are_labelled_and_shared_where_every_prefix_is_a_sample() -> None:
    fair, unfair = get_task("cycle_navigation"), get_task("dyck_2")
    assert isinstance(fair, PrefixLabels)
    assert isinstance(fair, FairPrefixes)
    batch = fair.sample(np.random.default_rng(0), 3, Point({"length": 9, "distribution": "standard"}))
    labelled = fair.label_prefixes(batch)
    assert labelled.asked.all()
    for length in range(1, 10):
        expected = get_language("cycle_navigation").label(batch.inputs[:, :length])
        assert labelled.targets[:, length - 1].tolist() == expected.tolist()
    shared = {point.length for point in fair.points("test") if fair.shares_prefixes(point)}
    assert shared == set(range(1, 501))
    assert not any(unfair.shares_prefixes(point) for point in unfair.points("test"))


def test_what_a_task_cannot_do_is_said_with_its_name() -> None:
    task = get_task("parity")
    assert require(task, HasAutomaton, "a certificate").automaton is get_language("parity").automaton
    with pytest.raises(InputError, match=r"^a diagnosis needs a task that has long sequences .*; parity does not$"):
        require(task, HeldOut, "a diagnosis")


def test_strings_do_not_go_on_from_batch_to_batch() -> None:
    with pytest.raises(InputError, match=r"the rows of parity do not go on .*; give it intervention.spans, or use"):
        get_task("parity").stream(4, aligned=True)
    stream = get_task("parity").stream(4)
    assert stream.state() == {}
    with pytest.raises(InputError, match="no place to go on from; got fingerprint"):
        stream.restore({"fingerprint": "x"})
