import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.tasks.regular.writing import write_runs, write_symbols


@pytest.mark.parametrize(
    ("symbols", "written"),
    [
        ([], ""),
        ([3], "3"),
        ([1, 1, 1], "1 1 1"),
        ([0, 0, 0, 0, 1], "0^4 1"),
        ([0, 1, 0, 1, 0, 1, 1], "(0 1)^3 1"),
        ([12] * 5 + [0], "12^5 0"),
    ],
)
def test_repetitions_are_counted_where_that_is_shorter(symbols: list[int], written: str) -> None:
    assert write_runs(symbols) == written


@given(st.lists(st.integers(0, 11) | st.just(0), max_size=40), st.integers(1, 9))
def test_nothing_is_lost(symbols: list[int], repeats: int) -> None:
    symbols = symbols + symbols[:3] * repeats
    assert read_runs(write_runs(symbols)) == symbols


def read_runs(text: str) -> list[int]:
    symbols: list[int] = []
    for part in text.replace("(", " ( ").replace(")^", " ) ^").split():
        if part == "(":
            opened = len(symbols)
        elif part == ")":
            block = symbols[opened:]
        elif part.startswith("^"):
            symbols += block * (int(part[1:]) - 1)
        elif "^" in part:
            symbol, count = part.split("^")
            symbols += [int(symbol)] * int(count)
        elif part:
            symbols.append(int(part))
    return symbols


def test_what_is_too_long_is_cut() -> None:
    assert write_runs([0, 1, 2, 3, 4, 4, 4, 4, 4], most=3) == "0 1 2 ... 6 more symbols"


def test_short_symbols_stand_side_by_side() -> None:
    assert (write_symbols([1, 0, 1]), write_symbols([1, 10])) == ("101", "1 10")
