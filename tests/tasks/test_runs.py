"""Strings with a uniform number of runs."""

from itertools import product

import numpy as np
import pytest

from lengthwise.errors import InputError
from lengthwise.tasks import get_language
from lengthwise.tasks.regular.language import ACCEPTED
from lengthwise.tasks.regular.runs import MOST_RUNS, RunSampler, redraw_one


def runs_of(tokens):
    return 1 + (np.diff(tokens, axis=1) != 0).sum(1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "length"), [("tomita_3", 7), ("dyck_3", 8), ("tomita_5", 6)])
def test_the_number_of_runs_is_uniform_and_so_is_the_string_given_it(name, length):
    language = get_language(name)
    strings = np.array(list(product(range(language.vocabulary), repeat=length)))
    accepted = strings[language.label(strings) == ACCEPTED]
    kinds, places, sizes = np.unique(runs_of(accepted), return_inverse=True, return_counts=True)
    expected = 1 / (len(kinds) * sizes[places])
    sampler = RunSampler(language.automaton, language.automaton.outputs_S == ACCEPTED)
    assert sampler.possible(length).tolist() == kinds.tolist()

    drawn = sampler.sample(np.random.default_rng(0), 40_000, length)
    place = {tuple(string): index for index, string in enumerate(accepted.tolist())}
    counts = np.bincount([place[tuple(string)] for string in drawn.tolist()], minlength=len(accepted))
    statistic = ((counts - 40_000 * expected) ** 2 / (40_000 * expected)).sum()
    freedom = len(accepted) - 1
    # Wilson and Hilferty's normal quantile of chi-square; false alarm once in a million.
    bound = freedom * (1 - 2 / (9 * freedom) + 4.75 * np.sqrt(2 / (9 * freedom))) ** 3
    assert statistic < bound


def test_long_strings_keep_to_the_language_and_to_the_bound_on_runs():
    language = get_language("dyck_4")
    sampler = RunSampler(language.automaton, language.automaton.outputs_S == ACCEPTED)
    tokens = sampler.sample(np.random.default_rng(0), 16, 120)
    assert (language.label(tokens) == ACCEPTED).all()
    assert runs_of(tokens).max() <= MOST_RUNS
    # Four symbols a run at the most: 400 symbols need a hundred runs.
    assert len(sampler.possible(400)) == 0
    batch = language.sample_training(np.random.default_rng(0), 8, 400, {"runs": 1.0})
    assert batch.tokens.shape == (8, 400)


def test_a_length_without_a_wanted_string_is_refused():
    language = get_language("dyck_4")
    sampler = RunSampler(language.automaton, language.automaton.outputs_S == ACCEPTED)
    with pytest.raises(InputError, match="length 7"):
        sampler.sample(np.random.default_rng(0), 4, 7)


def test_redrawing_touches_at_most_one_symbol_of_a_string():
    tokens = np.zeros((200, 9), dtype=np.int64)
    edited = redraw_one(np.random.default_rng(0), tokens, 3)
    changed = (edited != tokens).sum(1)
    assert set(changed) == {0, 1}
    assert not tokens.any()


@pytest.mark.parametrize("name", ["dyck_4", "tomita_3", "modular_arithmetic", "prefix_2_4", "parity"])
def test_the_part_of_a_mixture_is_labelled_by_the_rule(name):
    language = get_language(name)
    batch = language.sample_training(np.random.default_rng(0), 64, 9, {"runs": 1.0})
    assert (batch.targets == language.label(batch.tokens)).all()
    assert (batch.targets >= 0).all()
