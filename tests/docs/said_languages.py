"""Sentences and the table of ``docs/languages.md`` that hold numbers: automata are counted, limits are the code's."""

import string
from collections.abc import Iterator
from math import comb

from measured import line

from lengthwise.tasks import LANGUAGES, get_language
from lengthwise.tasks.regular.custom import LARGEST_FILE
from lengthwise.tasks.regular.described import MOST_CLASSES, MOST_STATES, MOST_SYMBOLS
from lengthwise.tasks.regular.dyck import BEYOND
from lengthwise.tasks.regular.expression import (
    DEEPEST_GROUP,
    LARGEST_REPETITION,
    LONGEST_PATTERN,
    MOST_PLACES,
    regex_alphabet,
)
from lengthwise.tasks.regular.groups import MOST_ELEMENTS
from lengthwise.tasks.regular.languages import MINUS, PLUS, TIMES, build_modular_arithmetic
from lengthwise.tasks.regular.runs import MOST_RUNS


def sentences() -> Iterator[str]:
    """Yield what the page says."""
    for name in LANGUAGES:
        language = get_language(name)
        automaton = language.automaton
        counts = language.vocabulary, language.classes, automaton.states, automaton.transition_monoid().size
        yield line(f"`{name}`", *counts, language.rule)
    whole = build_modular_arithmetic()
    least, elements = whole.minimal(), whole.transition_monoid().size
    yield f"pending operation has {whole.states} states and a monoid of {elements} elements"
    yield "adding to 0 is multiplying by 1, and subtracting from 0 is multiplying by 4"
    assert whole.states - least.states == 2, "two states"
    assert elements - least.transition_monoid().size == 4, "four elements"
    yield f"`+`, `-` and `*` are the symbols {PLUS}, {MINUS} and {TIMES}"
    assert BEYOND == 0.1, "one time in ten"
    yield "random walks from 0 to 0 that turn back at the largest accepted depth, one time in ten one step later"
    # Of the 39 places between 40 symbols each is a border with probability 1/2.
    assert sum(comb(39, borders) for borders in range(4)) / 2**39 < 1e-7
    yield f"Uniform strings of 40 symbols have about {1 + 39 // 2} runs of equal symbols, hardly ever 4."
    yield f"strings never have more than {MOST_RUNS} runs"
    assert regex_alphabet("z9a0") == ["0", "9", "a", "z"]
    assert regex_alphabet(string.digits + string.ascii_lowercase)[-1] == "z"
    yield "over the symbols 0 to 9 and a to z; the symbols that the pattern uses become 0, 1, 2, ... in sorted order"
    yield "class 1 means a match"
    yield (
        f"what is too large: patterns of more than {LONGEST_PATTERN:,} characters, groups more than {DEEPEST_GROUP} "
        f"deep, repetitions of more than {LARGEST_REPETITION:,}, {MOST_PLACES:,} symbols once repetitions are "
        f"written out, {MOST_STATES:,} states"
    )
    yield f"A group has at most {MOST_ELEMENTS} elements"
    yield f"A file has at most {LARGEST_FILE >> 20} MiB, {MOST_SYMBOLS:,} symbols, {MOST_CLASSES:,} classes"
    yield f"and {MOST_STATES:,} states that differ"
