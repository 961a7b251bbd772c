import itertools
from pathlib import Path

import pytest

from lengthwise.errors import InputError
from lengthwise.runs.shipped import read_settings
from lengthwise.yaml_loader import parse_yaml


def bomb(opening: str, closing: str) -> str:
    """Eight levels, each ten times the one before."""
    names = "abcdefgh"
    levels = [
        f"{new}: &{new} {opening}{', '.join([f'*{old}'] * 10)}{closing}" for old, new in itertools.pairwise(names)
    ]
    return "\n".join(["a: &a {x: 1}", *levels])


STRUCTURE = [
    ("a: 1\na: 2", "line 2: 'a' is given twice, first in line 1"),
    ("a: {b: 1, c: 2,\n b: 3}", "line 2: 'b' (in a) is given twice, first in line 1"),
    ("a: {x: {b: 1, 'b': 1}}", "'b' (in a.x) is given twice"),
    ("a: [{b: 1}, {c: 2, c: 2}]", "'c' (in a.1) is given twice"),
    ("x: &x {a: 1}\ny: {<<: *x, <<: *x}", "'<<' (in y) is given twice"),
    ("? [a]\n: b", "a key is a word"),
    ("&a [*a]", "too large"),
    (bomb("[", "]"), "too large"),
    (bomb("{<<: [", "]}"), "too large"),
    ("[" * 50_000, "too large"),
    ("- " * 3_000 + "a", "too large"),
    ("!!set {a}", "as a set"),
    ("a: \ud800", "not valid YAML: UnicodeEncodeError"),
    ("a: [1", "not valid YAML: did not find expected ',' or ']'"),
    ("\0", "not valid YAML"),
    ("--- a\n--- b", "not valid YAML"),
]
VALUES = [
    ("a: !!python/object:os.system ls", "YAML reads ls as a python/object:os.system"),
    ("a: !!binary aGk=", "YAML reads aGk= as a binary"),
    ("a: !!binary 'two\n\n lines'", "YAML reads two lines as a binary"),
    (f"? {'k' * 900}\n: 1\n? {'k' * 900}\n: 2", f"'{'k' * 60}' is given twice"),
    ("a: !!int x", "not valid YAML: ValueError"),
    ("a: !!int ''", "not valid YAML: IndexError"),
    ("a: !!bool maybe", "not valid YAML: KeyError"),
    ("a: 0x_", "not valid YAML: ValueError"),
    (f"a: {'9' * 5000}", "not valid YAML: ValueError"),
]


@pytest.mark.parametrize(
    ("text", "message", "as_written"),
    [*((*case, False) for case in STRUCTURE + VALUES), *((*case, True) for case in STRUCTURE)],
)
def test_what_is_wrong_is_one_line_with_its_place(text: str, message: str, as_written: bool):
    with pytest.raises(InputError) as error:
        parse_yaml(text, "notes.yaml", as_written=as_written)
    assert message in str(error.value)
    assert str(error.value).startswith("notes.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("word", "read"),
    [("on", "true"), ("No", "false"), ("00", "0"), ("010", "8"), ("1:30", "90"), ("2026-11-30", "a timestamp")],
)
def test_a_plain_word_that_yaml_takes_for_something_else_is_refused_and_its_quoted_form_is_not(word: str, read: str):
    with pytest.raises(InputError, match=f"line 2: YAML reads {word} as {read}"):
        parse_yaml(f"steps: 3\nname: {word}", "the recipe")
    assert parse_yaml(f"name: '{word}'\n{word}: 1", "the recipe") == {"name": word, word: 1}
    assert parse_yaml(f"name: {word}", "the automaton", as_written=True) == {"name": word}


def test_plain_values_keys_aliases_and_merges_are_read_as_ever():
    text = "base: &b {rate: 1e-3, steps: 1_000, tied: true}\nmine: {<<: *b, steps: 5}\n128: [0.5, -0, 0x10, ~, '']\n"
    base = {"rate": "1e-3", "steps": 1000, "tied": True}
    assert parse_yaml(text, "the recipe") == {"base": base, "mine": base | {"steps": 5}, "128": [0.5, 0, 16, None, ""]}
    assert parse_yaml("", "the recipe") is None


def test_a_document_of_the_largest_size_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lengthwise.yaml_loader.MOST_NODES", 100)
    assert parse_yaml(str([0] * 99), "the recipe") == [0] * 99
    with pytest.raises(InputError, match="too large: 100 values"):
        parse_yaml(str([0] * 100), "the recipe")


def test_settings_in_a_file_are_read_the_same_way(tmp_path: Path):
    (path := tmp_path / "twice.yaml").write_text("task: parity\nseeds: [0]\ntask: dyck_2\n")
    with pytest.raises(InputError, match="line 3: 'task' is given twice"):
        read_settings(path, "recipe")
