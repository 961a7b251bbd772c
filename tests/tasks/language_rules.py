"""The rules of the languages written a second time, as plain Python on strings; None means no class."""

import re
from collections.abc import Callable
from itertools import groupby, pairwise, product

import numpy as np

from lengthwise.tasks.base import Ints

Rule = Callable[[str], int | None]


def all_texts(vocabulary: int, length: int) -> list[str]:
    return ["".join(symbols) for symbols in product("0123456789"[:vocabulary], repeat=length)]


def to_tokens(texts: list[str]) -> Ints:
    codes = np.frombuffer("".join(texts).encode(), dtype=np.uint8).astype(np.int64) - ord("0")
    return codes.reshape(len(texts), -1)


def to_text(tokens: Ints) -> str:
    return "".join(map(str, tokens.tolist()))


def parity(text: str) -> int:
    return text.count("1") % 2


def even_pairs(text: str) -> int:
    return sum(left != right for left, right in pairwise(text)) % 2


def cycle_navigation(text: str) -> int:
    return (text.count("2") - text.count("0")) % 5


def _expression(text: str) -> str | None:
    expression = text.translate(str.maketrans("567", "+-*"))
    return expression if re.fullmatch(r"[0-4]([-+*][0-4])*", expression) else None


def modular_arithmetic(text: str) -> int | None:
    expression = _expression(text)
    if expression is None:
        return None
    operators = len(expression) // 2
    pairs = [expression[1 + 2 * i : 3 + 2 * i] for i in range(operators)]
    return eval("(" * operators + expression[0] + "".join(pair + ")" for pair in pairs)) % 5


def modular_arithmetic_precedence(text: str) -> int | None:
    expression = _expression(text)
    return None if expression is None else eval(expression) % 5


def all_expressions(numbers: int) -> Ints:
    """Return all expressions of so many numbers, [M, 2 * numbers - 1] symbols; operators are 5, 6 and 7."""
    choices = [np.arange(5, 8) if place % 2 else np.arange(5) for place in range(2 * numbers - 1)]
    return np.stack(np.meshgrid(*choices, indexing="ij"), -1).reshape(-1, len(choices)).astype(np.int64)


def left_to_right(tokens_BT: Ints) -> Ints:
    value_B = tokens_BT[:, 0]
    for place in range(1, tokens_BT.shape[1], 2):
        operator_B, number_B = tokens_BT[:, place], tokens_BT[:, place + 1]
        value_B = np.choose(operator_B - 5, [value_B + number_B, value_B - number_B, value_B * number_B])
    return value_B % 5


def products_first(tokens_BT: Ints) -> Ints:
    sum_B, product_B = np.zeros_like(tokens_BT[:, 0]), tokens_BT[:, 0]
    for place in range(1, tokens_BT.shape[1], 2):
        operator_B, number_B = tokens_BT[:, place], tokens_BT[:, place + 1]
        sum_B = sum_B + np.where(operator_B == 7, 0, product_B)
        product_B = np.choose(operator_B - 5, [number_B, -number_B, product_B * number_B])
    return (sum_B + product_B) % 5


EXPRESSION_RULES: dict[str, Callable[[Ints], Ints]] = {
    "modular_arithmetic": left_to_right,
    "modular_arithmetic_precedence": products_first,
}
"""The rules of arithmetic for many expressions at once."""


def tomita_3(text: str) -> int:
    runs = [(symbol, len(list(run))) for symbol, run in groupby(text)]
    return int(not any(left[0] == "1" and left[1] % 2 and right[1] % 2 for left, right in pairwise(runs)))


def _matches(pattern: str) -> Rule:
    return lambda text: int(re.fullmatch(pattern, text) is not None)


def dyck(depth: int) -> Rule:
    def rule(text: str) -> int:
        if not text:
            return 0
        deepest = 0
        level = 0
        for symbol in text:
            level += 1 if symbol == "0" else -1
            deepest = max(deepest, level)
            if level < 0:
                return 0
        return int(level == 0 and deepest <= depth)

    return rule


def prefix(symbols: int, base: int) -> Rule:
    return lambda text: int(text[:symbols], base) if len(text) >= symbols else base**symbols


RULES: dict[str, Rule] = {
    "parity": parity,
    "even_pairs": even_pairs,
    "cycle_navigation": cycle_navigation,
    "modular_arithmetic": modular_arithmetic,
    "modular_arithmetic_precedence": modular_arithmetic_precedence,
    "tomita_1": lambda text: int("0" not in text),
    "tomita_2": lambda text: int(text == "10" * (len(text) // 2)),
    "tomita_3": tomita_3,
    "tomita_4": lambda text: int("000" not in text),
    "tomita_5": lambda text: int(text.count("0") % 2 == 0 and text.count("1") % 2 == 0),
    "tomita_6": lambda text: int((text.count("1") - text.count("0")) % 3 == 0),
    "tomita_7": _matches("0*1*0*1*"),
} | (
    {f"dyck_{depth}": dyck(depth) for depth in (2, 3, 4, 6, 8, 12)}
    | {f"prefix_{symbols}_{base}": prefix(symbols, base) for symbols in (1, 2, 4) for base in (2, 4)}
)
