import math
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from language_rules import RULES, all_texts, to_text

from lengthwise.errors import InputError
from lengthwise.tasks import LANGUAGES, get_language
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton
from lengthwise.tasks.regular.custom import automaton_from_regex, regex_language
from lengthwise.tasks.regular.dyck import Dyck
from lengthwise.tasks.regular.language import Language, Sampling
from lengthwise.tasks.regular.sampling import CountingSampler

FALSE_ALARM_QUANTILE = 4.7534
"""The normal quantile of one false alarm in a million."""


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_uniform(tokens: Ints, population: list[str]) -> None:
    """Chi-square against the uniform law, with the Wilson-Hilferty approximation of its quantile."""
    counts = Counter(map(to_text, tokens))
    assert set(counts) <= set(population)
    if len(population) == 1:
        return
    expected = len(tokens) / len(population)
    assert expected >= 20
    statistic = sum((counts[text] - expected) ** 2 for text in population) / expected
    freedom = len(population) - 1
    spread = 2 / (9 * freedom)
    assert statistic < freedom * (1 - spread + FALSE_ALARM_QUANTILE * math.sqrt(spread)) ** 3


def matching(name: str, length: int, label: int) -> list[str]:
    return [text for text in all_texts(get_language(name).vocabulary, length) if RULES[name](text) == label]


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_class_counts_are_those_of_an_enumeration(name: str):
    language = get_language(name)
    for length in range(1, {2: 9, 3: 7, 4: 6, 8: 5}[language.vocabulary] + 1):
        labels = Counter(RULES[name](text) for text in all_texts(language.vocabulary, length))
        assert language.class_counts(length) == [labels[label] for label in range(language.classes)]


def test_class_counts_are_exact_far_beyond_floating_point():
    counts = get_language("parity").class_counts(2000)
    assert counts == [2**1999, 2**1999]
    assert sum(get_language("dyck_12").class_counts(1001)) == 2**1001
    assert get_language("dyck_12").class_counts(24)[1] == math.comb(24, 12) // 13


@pytest.mark.parametrize(
    ("name", "length", "label"),
    [
        ("dyck_2", 12, 1),
        ("dyck_12", 10, 1),
        ("dyck_3", 7, 0),
        ("tomita_2", 8, 1),
        ("tomita_3", 9, 1),
        ("tomita_4", 9, 0),
        ("tomita_7", 11, 1),
        ("cycle_navigation", 5, 3),
        ("modular_arithmetic", 3, 2),
        ("prefix_2_4", 4, 6),
    ],
)
def test_strings_of_a_class_are_uniform(name: str, length: int, label: int):
    population = matching(name, length, label)
    batch = get_language(name).sample_class(generator(), 50 * len(population), length, label)
    assert (batch.targets == label).all()
    assert_uniform(batch.tokens, population)


@pytest.mark.parametrize(("name", "length"), [("modular_arithmetic", 3), ("parity", 6), ("tomita_6", 7)])
def test_strings_of_the_domain_are_uniform(name: str, length: int):
    language = get_language(name)
    population = [text for text in all_texts(language.vocabulary, length) if RULES[name](text) is not None]
    assert_uniform(language.sample_uniform(generator(), 40 * len(population), length).tokens, population)


def test_counting_agrees_with_the_direct_draw_of_arithmetic():
    automaton = get_language("modular_arithmetic").automaton
    sampler = CountingSampler(automaton, automaton.outputs_S != IGNORE)
    population = [text for text in all_texts(8, 3) if RULES["modular_arithmetic"](text) is not None]
    assert_uniform(sampler.sample(generator(), 40 * len(population), 3), population)


@pytest.mark.parametrize("name", [name for name in LANGUAGES if name.startswith(("dyck", "tomita"))])
def test_half_of_a_standard_batch_is_accepted_and_labels_are_true(name: str):
    language = get_language(name)
    for length in (1, 2, 17, 24):
        batch = language.sample(generator(length), 400, length)
        assert batch.tokens.shape == (400, length)
        assert batch.targets.tolist() == [RULES[name](to_text(row)) for row in batch.tokens]
        if language.class_counts(length)[1]:
            assert (batch.targets == 1).sum() >= 200
    assert not language.prefixes_are_fair


def test_halves_of_odd_batches_are_right_on_average():
    language = get_language("tomita_2")
    rng = generator()
    accepted = sum(int(language.sample(rng, 1, 30).targets[0]) for _ in range(400))
    assert 140 < accepted < 260


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_the_same_seed_gives_the_same_batches_whatever_was_drawn_before(name: str):
    language = get_language(name)
    mixture = {"standard": 1.0, "near_miss": 1.0, "hard": 1.0, "accepted": 1.0, "uniform": 1.0}
    first = [language.sample_training(generator(3), 20, length, mixture) for length in (21, 8, 3)]
    again = [language.sample_training(generator(3), 20, length, mixture) for length in (21, 8, 3)]
    other = language.sample_training(generator(4), 20, 21, mixture)
    for left, right in zip(first, again, strict=True):
        assert (left.tokens == right.tokens).all()
        assert (left.targets == right.targets).all()
    assert (other.tokens != first[0].tokens).any()


def neighbours(text: str, symbols: str) -> set[str]:
    replaced = {text[:i] + s + text[i + 1 :] for i in range(len(text)) for s in symbols}
    exchanged = {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(len(text) - 1)}
    return replaced | exchanged


@pytest.mark.parametrize("name", list(LANGUAGES))
def test_near_misses_are_one_or_two_edits_from_a_string_of_another_class(name: str):
    language, rule = get_language(name), RULES[name]
    symbols = "01234567"[: language.vocabulary]
    length = 5 if language.vocabulary == 8 else 8
    assert language.has_near_misses(length)
    batch = language.sample_near_miss(generator(), 24, length)
    assert batch.tokens.shape == (24, language.nearest_length(length))
    for tokens, label in zip(batch.tokens, batch.targets, strict=True):
        text = to_text(tokens)
        assert rule(text) == label
        sources = {rule(second) for first in neighbours(text, symbols) for second in neighbours(first, symbols)} - {
            None,
            label,
        }
        assert sources
        if language.classes == 2:
            assert label == 0


def test_near_misses_of_a_settled_class_touch_what_decides_it_however_long_the_string():
    batch = get_language("prefix_1_2").sample_near_miss(generator(), 64, 50_000)
    assert (batch.targets == batch.tokens[:, 0]).all()


@pytest.mark.parametrize(("name", "length"), [("dyck_4", 7), ("tomita_4", 2), ("tomita_7", 3)])
def test_lengths_without_near_misses_are_refused_and_replaced_in_mixtures(name: str, length: int):
    language = get_language(name)
    assert not language.has_near_misses(length)
    with pytest.raises(InputError, match=f"no near miss of length {length} was found in {name}"):
        language.sample_near_miss(generator(), 4, length)
    replaced = language.sample_training(generator(), 16, length, {"near_miss": 1.0, "hard": 1.0})
    assert replaced.targets.tolist() == [RULES[name](to_text(row)) for row in replaced.tokens]


def depth_of(text: str) -> int | None:
    levels = np.cumsum([1 if symbol == "0" else -1 for symbol in text])
    return int(levels.max()) if levels[-1] == 0 and levels.min() >= 0 else None


def test_boundary_strings_are_uniform_among_those_of_their_depth():
    language = get_language("dyck_3")
    assert isinstance(language, Dyck)
    for depth in (2, 3, 4):
        population = [text for text in all_texts(2, 12) if depth_of(text) == depth]
        batch = language.sample_boundary(generator(depth), 40 * len(population), 12, depth)
        assert (batch.targets == int(depth <= 3)).all()
        assert_uniform(batch.tokens, population)
    with pytest.raises(InputError, match="nearest length that does is 8"):
        language.sample_boundary(generator(), 4, 6, 4)
    with pytest.raises(InputError, match="from 1 to 4, not 5"):
        language.sample_boundary(generator(), 4, 40, 5)


def test_hard_strings_of_dyck_languages_lie_on_both_sides_of_the_bound():
    batch = get_language("dyck_12").sample_hard(generator(), 64, 40)
    depths = Counter(depth_of(to_text(row)) for row in batch.tokens)
    assert depths == {12: 32, 13: 32}
    assert batch.targets.tolist() == [int(depth_of(to_text(row)) == 12) for row in batch.tokens]


@pytest.mark.parametrize("length", [1, 7, 12, 24, 25])
def test_hard_strings_exist_at_every_length(length: int):
    batch = get_language("dyck_12").sample_hard(generator(), 32, length)
    assert batch.tokens.shape == (32, length)
    assert batch.targets.tolist() == [RULES["dyck_12"](to_text(row)) for row in batch.tokens]


def test_walks_of_dyck_languages_are_balanced_and_some_are_one_too_deep():
    language, rng = get_language("dyck_3"), np.random.default_rng(0)
    for length in (2, 4, 8, 40):
        strings = language.sample_training(rng, 2000, length, {"walk": 1.0})
        levels_BT = (1 - 2 * strings.tokens).cumsum(1)
        assert (levels_BT >= 0).all()
        assert (levels_BT[:, -1] == 0).all()
        assert (strings.targets == (levels_BT.max(1) <= 3)).all()
        assert (strings.targets == language.label(strings.tokens)).all()
        # One more than the bound, and no string of two or four symbols can be so deep.
        assert (levels_BT.max() > 3) == (length >= 8)
        assert strings.targets.mean() > 0.1
    odd = language.sample_training(rng, 100, 9, {"walk": 1.0})
    assert not odd.targets.any()
    with pytest.raises(InputError, match="unknown part of a mixture 'walk'"):
        get_language("parity").sample_training(rng, 4, 8, {"walk": 1.0})


def test_mixtures_hold_their_parts_in_proportion():
    mixture = {"accepted": 3.0, "hard": 1.0}
    batch = get_language("dyck_8").sample_training(generator(), 4000, 40, mixture)
    deepest = np.array([depth_of(to_text(row)) for row in batch.tokens])
    assert 400 < (deepest == 9).sum() < 600
    assert (batch.targets == (deepest <= 8)).all()


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        ({"near_mis": 1.0}, "did you mean 'near_miss'"),
        ({"standard": -1.0, "hard": 2.0}, "at least 0"),
        ({"standard": 0.0}, "not all 0"),
        ({}, "not all 0"),
        ({"standard": math.nan}, "at least 0"),
    ],
)
def test_impossible_mixtures_are_refused(mixture: dict[str, float], message: str):
    with pytest.raises(InputError, match=message):
        get_language("parity").sample_training(generator(), 4, 4, mixture)


def test_lengths_that_do_not_exist_are_answered_with_those_that_do():
    arithmetic = get_language("modular_arithmetic")
    assert [arithmetic.nearest_length(length) for length in (1, 2, 3, 10)] == [1, 1, 3, 9]
    assert arithmetic.sample(generator(), 2, 10).tokens.shape == (2, 9)
    with pytest.raises(InputError, match="1 symbol or more, not of 0"):
        get_language("parity").nearest_length(0)
    with pytest.raises(InputError, match="length 7 in dyck_2 has class 1; the nearest lengths that do are 6 and 8"):
        get_language("dyck_2").sample_class(generator(), 1, 7, 1)
    with pytest.raises(InputError, match="nearest lengths that do are 999998 and 1000000"):
        get_language("tomita_2").sample_class(generator(), 1, 999_999, 1)
    with pytest.raises(InputError, match="classes 0 to 1, not 2"):
        get_language("parity").sample_class(generator(), 1, 4, 2)


def test_a_domain_with_gaps_takes_the_length_just_below_and_no_other():
    every_fourth = Automaton(np.array([[1], [2], [3], [0]]), 0, np.array([0, -1, -1, -1]))
    language = Language("fours", "0", {}, every_fourth, Sampling.UNIFORM)
    assert language.nearest_length(8) == 8
    assert language.nearest_length(9) == 8
    with pytest.raises(InputError, match="length 6 has a class in fours; the nearest lengths that do are 4 and 8"):
        language.nearest_length(6)
    with pytest.raises(InputError, match="the nearest length that does is 4"):
        language.nearest_length(1)


def test_rare_paths_survive_beside_exponentially_many_others():
    # After a 0, odd lengths leave every string, even lengths none; so at even lengths only 1* is left, whose
    # count is smaller by 2 ** 2998 than those of states that the string never meets.
    automaton = automaton_from_regex("0(..)*|(11)*")
    language = regex_language("0(..)*|(11)*")
    assert language.sample_class(generator(), 3, 3000, 1).tokens.all()
    assert automaton.equivalent(language.automaton)
    assert language.sample_class(generator(), 200, 3001, 1).tokens[:, 1:].mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dyck_2", "tomita_7"])
def test_a_hundred_thousand_symbols_are_sampled_in_bounded_memory(name: str):
    language = get_language(name)
    tracemalloc.start()
    batch = language.sample_class(generator(), 2, 100_000, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (language.label(batch.tokens) == 1).all()
    assert peak < 100e6


@pytest.mark.parametrize(("name", "length"), [("dyck_12", 30_000), ("dyck_3", 20_001), ("tomita_3", 20_003)])
def test_counts_that_settled_draw_the_strings_of_counts_worked_out_in_full(
    name: str, length: int, monkeypatch: pytest.MonkeyPatch
):
    automaton = get_language(name).automaton
    wanted = automaton.outputs_S == (length + 1) % 2
    settled = CountingSampler(automaton, wanted).sample(generator(), 16, length)
    monkeypatch.setattr("lengthwise.tasks.regular.sampling.SETTLED", 0.0)
    assert (CountingSampler(automaton, wanted).sample(generator(), 16, length) == settled).all()


@pytest.mark.slow
def test_counts_that_were_forgotten_are_computed_again_alike(monkeypatch: pytest.MonkeyPatch):
    automaton = get_language("tomita_7").automaton
    wanted = automaton.outputs_S == 1
    roomy = CountingSampler(automaton, wanted).sample(generator(), 3, 40_000)
    monkeypatch.setattr("lengthwise.tasks.regular.sampling.BLOCK_BYTES", 0)
    tight = CountingSampler(automaton, wanted)
    assert (tight.sample(generator(), 3, 40_000) == roomy).all()
    assert (tight.sample(generator(), 3, 40_000) == roomy).all()
