"""The tables of docs/brackets.md are what the functions build."""

import re
from pathlib import Path

import pytest
from operators_for_tests import Brackets

from lengthwise.scans import OnlineReduction, tree_reduce, tree_scan

PAGE = (Path(__file__).parents[2] / "docs" / "brackets.md").read_text()
LENGTHS = re.findall(r"^\| (\d+) \| `(\S+)` \| `(\S+)` \|$", PAGE, re.MULTILINE)
READINGS = re.findall(r"^\| `(\w+)` \| .* \| `(\S+)` \|$", PAGE, re.MULTILINE)


def written(brackets, values):
    (shown,) = brackets.shown(values)
    return re.sub(r"0\.(\d)|(0)|(p)", lambda m: m[1] or ("Z" if m[2] else "P"), shown)


def test_tables_are_found():
    assert [int(length) for length, _, _ in LENGTHS] == [4, 5, 6, 7]
    assert [reading for reading, _ in READINGS] == ["carry", "zero", "pad"]


@pytest.mark.parametrize(("length", "reduced", "scanned"), LENGTHS)
def test_reduce_and_scan(length, reduced, scanned):
    brackets = Brackets()
    x = brackets.leaves(1, int(length))
    online = OnlineReduction(brackets)
    online.push(x)
    assert written(brackets, tree_reduce(brackets, x)) == reduced
    assert written(brackets, online.reduced()) == reduced
    assert written(brackets, tree_scan(brackets, x)[:, -1]) == scanned
    assert written(brackets, online.value()) == scanned


@pytest.mark.parametrize(("reading", "tree"), READINGS)
def test_odd_levels(reading, tree):
    brackets = Brackets()
    pad = brackets.named("p") if reading == "pad" else None
    assert written(brackets, tree_reduce(brackets, brackets.leaves(1, 5), odd=reading, pad_D=pad)) == tree
