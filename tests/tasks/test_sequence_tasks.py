"""What each task that is no language reads and asks, checked by other means than those that made it."""

import gzip
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lengthwise.errors import InputError
from lengthwise.tasks.babilong import BabiLong, read_babi
from lengthwise.tasks.base import IGNORE, Point
from lengthwise.tasks.classification import Classification
from lengthwise.tasks.copying import Copying
from lengthwise.tasks.lengths import TrainLengths
from lengthwise.tasks.listops import CLOSE, STANDARD, SYMBOLS, TOKENS, ListOps, value_of
from lengthwise.tasks.mqar import MQAR
from lengthwise.tasks.passkey import Passkey
from lengthwise.tasks.selective_copying import SelectiveCopying
from lengthwise.tasks.signals import Signals


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_copying_asks_each_letter_before_it_is_read() -> None:
    batch = Copying(symbols=5).sample(rng(), 3, Point({"length": 4}))
    for read, asked in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        assert read == [*read[:4], 5, *read[:3]]
        assert asked == [IGNORE] * 4 + read[:4]


class Expression:
    """Reads an expression token by token with a stack; knows its depth and its most arguments."""

    def __init__(self, text: str) -> None:
        stack: list[tuple[str, list[int]]] = [("", [])]
        self.depth = self.most = 0
        self.counts = set[int]()
        for token in text.split():
            if token.startswith("["):
                stack.append((token, []))
                self.depth = max(self.depth, len(stack) - 1)
            elif token == "]":
                operator, values = stack.pop()
                self.counts.add(len(values))
                stack[-1][1].append(self.apply(operator, values))
            else:
                stack[-1][1].append(int(token))
        ((_, (self.value,)),) = stack

    @staticmethod
    def apply(operator: str, values: list[int]) -> int:
        match operator:
            case "[MAX":
                return sorted(values)[-1]
            case "[MIN":
                return sorted(values)[0]
            case "[MED":
                return int(np.median(values))
            case "[FIRST":
                return values[0]
            case "[LAST":
                return values[-1]
            case "[PM":
                return int(np.prod(values)) % 10
        return int(np.sum(values)) % 10


@pytest.mark.parametrize(("text", "value"), [("[MAX 2 9 [MIN 4 7 ] 0 ]", 9), ("[SM 8 [MED 1 5 6 ] ]", 3)])
def test_the_examples_of_listops(text: str, value: int) -> None:
    assert Expression(text).value == value
    assert text in re.sub(r"\s+", " ", str(ListOps.__doc__))


@pytest.mark.parametrize(("length", "most", "depth"), [(4, 2, 1), (17, 3, 3), (40, 5, 4), (90, 10, 6), (200, 4, 12)])
def test_expressions_have_their_length_and_their_value(length: int, most: int, depth: int) -> None:
    point = Point({"length": length, "arguments": most, "depth": depth})
    batch = ListOps().sample(rng(), 30, point)
    found = set[int]()
    for tokens, targets in zip(batch.inputs, batch.targets, strict=True):
        expression = Expression(" ".join(TOKENS[token] for token in tokens))
        assert expression.value == targets[-1]
        assert (targets[:-1] == IGNORE).all()
        assert 1 <= expression.depth <= depth
        found |= expression.counts
    assert min(found) == 2
    assert max(found) <= most


def test_every_expression_beyond_training_reaches_what_its_point_says() -> None:
    task = ListOps(lengths=(4, 40), test_arguments=(10, 15), test_depths=(8,))
    points = task.points("test")
    shapes = [(point.axes["length"], point.axes["arguments"], point.axes["depth"]) for point in points]
    assert shapes == [(4, 5, 4), (40, 5, 4), (40, 10, 4), (40, 15, 4), (40, 5, 8)]
    for point, wide, deep in zip(points, (1, 1, 5, 10, 1), (0, 0, 0, 0, 4), strict=True):
        for row in task.sample(rng(), 20, point).inputs:
            expression = Expression(" ".join(TOKENS[token] for token in row))
            assert wide < max(expression.counts) <= int(point.axes["arguments"])
            assert deep < expression.depth <= int(point.axes["depth"])


def test_expressions_are_drawn_at_lengths_that_are_hundreds_of_times_as_long() -> None:
    batch = ListOps().sample(rng(), 2, Point({"length": 10_000, "arguments": 5, "depth": 20}))
    for row, targets in zip(batch.inputs, batch.targets, strict=True):
        assert Expression(" ".join(TOKENS[token] for token in row)).value == targets[-1]


@pytest.mark.parametrize("operations", [STANDARD, tuple(SYMBOLS), ("product", "last")])
def test_every_operation_and_digit_is_drawn(operations: Any) -> None:
    task = ListOps(operations=operations)
    batch = task.sample(rng(), 300, Point({"length": 30, "arguments": 5, "depth": 4}))
    assert set(batch.inputs.flatten().tolist()) == {*range(10), CLOSE, *(SYMBOLS[name] for name in operations)}
    assert task.inputs.size == 1 + batch.inputs.max()
    assert len(set(batch.targets[:, -1].tolist())) == 10
    for tokens, value in zip(batch.inputs[:50], batch.targets[:50, -1], strict=True):
        assert Expression(" ".join(TOKENS[token] for token in tokens)).value == value == value_of(tokens)


FILE = "2\t( ( ( ( [MIN 9 ) 2 ) 4 ) ] )\n9\t[PM 9 [LAST 3 1 ] ]\n4\t4\n"


def test_published_expressions_are_measured_once_each_by_their_tokens(tmp_path: Path) -> None:
    (tmp_path / "test_a.tsv").write_text(FILE)
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(FILE.encode()))
    task = ListOps(published=str(tmp_path), operations=tuple(SYMBOLS), lengths=(8,))
    points = [point for point in task.points("test") if "file" in point.axes]
    assert [(*point.axes.values(), point.samples) for point in points] == [
        ("b", 1, 1), ("b", 40, 2), ("test_a", 1, 1), ("test_a", 40, 2)
    ]  # fmt: skip
    read = [(row.tolist(), int(target[-1])) for batch in task.batches(rng(), points[1], 9) for row, target in
            zip(batch.inputs, batch.targets, strict=True)]  # fmt: skip
    assert read == [([11, 9, 2, 4, 14], 2), ([17, 9, 16, 3, 1, 14, 14], 9)]
    drawn = task.sample(rng(), 40, points[1])
    assert {int(length) for length in drawn.lengths} == {5, 7}
    assert task.identity() == ListOps(published=str(tmp_path), operations=tuple(SYMBOLS)).identity() != ""
    (tmp_path / "b.tsv.gz").unlink()
    assert task.identity() != ListOps(published=str(tmp_path), operations=tuple(SYMBOLS)).identity()
    assert "published" not in ListOps().model_dump(mode="json")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3\t[MIN 9 2 ]", "line 2: '.MIN 9 2 .' comes to 2, not to '3'"),
        ("3\t[PM 9 2 ]", r"line 2: '.PM' is not among 0 1 .* \(task.operations\)"),
        ("3\t[MIN 9 ]", "comes to None"),
        ("3\t[MIN 9 2", "comes to None"),
        ("3 [MIN 9 2 ]", "comes to None, not to '3 .MIN 9 2 .'"),
    ],
)
def test_a_line_that_is_no_expression_with_its_value_is_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "x.tsv").write_text(f"1\t1\n{line}\n")
    with pytest.raises(InputError, match=message):
        ListOps(published=str(tmp_path / "x.tsv")).points("test")


def test_a_folder_without_expressions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no \.tsv file"):
        ListOps(published=str(tmp_path)).points("test")


def test_lengths_without_expressions_are_left_out() -> None:
    task = ListOps(train=TrainLengths(minimum=1, maximum=9), arguments=2, depth=2)
    # Two arguments of one or four tokens each.
    assert [point.length for point in task.points("train")] == [4, 7]
    with pytest.raises(InputError, match=r"there is no expression at .*'length': 5"):
        task.sample(rng(), 1, Point({"length": 5, "arguments": 2, "depth": 2}))
    with pytest.raises(InputError, match="no expression has 2, 3 tokens"):
        ListOps(lengths=(3, 2)).points("test")


def _shapes(longest: int) -> set[tuple[int, int, int]]:
    """Return size, most arguments and depth of every expression, a digit among them, up to a size."""
    shapes = {(1, 0, 0)}
    while True:
        # Size of all arguments together, how many, the most arguments in one of them, and the depth of one.
        joined = {(0, 0, 0, 0)}
        while True:
            more = {
                (size + own, count + 1, max(most, wide), max(depth, deep))
                for size, count, most, depth in joined
                for own, wide, deep in shapes
                if size + own <= longest - 2
            }
            if more <= joined:
                break
            joined |= more
        found = {(size + 2, max(count, most), depth + 1) for size, count, most, depth in joined if count > 1}
        if found <= shapes:
            return shapes
        shapes |= found


def test_there_are_expressions_at_just_the_points_that_are_said_to_have_some() -> None:
    shapes = _shapes(18) - {(1, 0, 0)}
    for arguments, depth, most, deep in itertools.product((2, 3, 5), (1, 2), (2, 3, 4, 6, 7), (1, 2, 3, 5)):
        task = ListOps(arguments=arguments, depth=depth, test_arguments=(4, 6, 7), test_depths=(3, 5))
        wider = max(n for n in (0, arguments, 4, 6) if n < most) if most > arguments else 0
        deeper = max(n for n in (0, depth, 3) if n < deep) if deep > depth else 0
        has = {size for size, wide, nested in shapes if wider < wide <= most and deeper < nested <= deep}
        assert has == {size for size in range(1, 19) if task._exist(size, most, deep)}, (task, most, deep)


def test_points_without_expressions_are_refused_before_anything_is_drawn() -> None:
    # A digit, or four tokens and more: with ten, an operation of six or seven arguments leaves room for none.
    task = ListOps(lengths=(10,), test_arguments=(7,), test_depths=())
    assert [point.axes["arguments"] for point in task.points("test")] == [5]
    with pytest.raises(InputError, match=r"there is no expression at .*'arguments': 7"):
        task.sample(rng(), 1, Point({"length": 10, "arguments": 7, "depth": 4}))


@pytest.mark.parametrize("power", [0.0, 1.5])
@pytest.mark.parametrize(("length", "pairs"), [(3, 1), (24, 8), (64, 4), (64, None)])
def test_the_value_of_every_key_is_asked_where_the_key_comes_again(
    length: int, pairs: int | None, power: float
) -> None:
    task = MQAR(keys=9, values=5, power=power, test_pairs=(4,))
    point = Point({"length": length} | ({} if pairs is None else {"pairs": pairs}))
    counts = set[int]()
    for seed in range(80):
        batch = task.sample(rng(seed), 3, point)
        for read, asked in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
            count = sum(target != IGNORE for target in asked)
            told = dict(zip(read[0 : 2 * count : 2], read[1 : 2 * count : 2], strict=True))
            counts.add(count)
            assert len(told) == count
            answers = {symbol: 9 + target for symbol, target in zip(read, asked, strict=True) if target != IGNORE}
            assert answers == told
            assert all(target == IGNORE for target in asked[: 2 * count])
            assert read.count(14) == length - 3 * count
    assert counts == ({pairs} if pairs else set(range(1, 9)))


def test_a_power_makes_questions_come_sooner() -> None:
    def mean_place(power: float) -> float:
        batch = MQAR(power=power).sample(rng(), 200, Point({"length": 200, "pairs": 4}))
        return float(np.nonzero(batch.asked)[1].mean())

    assert mean_place(0) == pytest.approx(8 + 192 / 2, abs=8)
    assert mean_place(2) < 30


def test_scattered_letters_are_asked_in_their_order() -> None:
    batch = SelectiveCopying(symbols=5, letters=3).sample(rng(), 300, Point({"length": 40}))
    for read, asked in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        assert [symbol for symbol in read[:40] if symbol != 5] == asked[40:]
        assert read[40:] == [6] * 3
        assert asked[:40] == [IGNORE] * 40
    assert {int(place) for place in np.nonzero(batch.inputs[:, :40] != 5)[1]} == set(range(40))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MQAR(keys=3), "16 pairs need as many different keys, not 3"),
        (lambda: SelectiveCopying(letters=40), "40 letters take as many positions, not 32"),
        (lambda: MQAR().sample(rng(), 2, Point({"length": 8, "pairs": 3})), "a pair and its question take 3 positions"),
        (lambda: MQAR().sample(rng(), 2, Point({"length": 2})), "a pair and its question take 3 positions"),
        (lambda: SelectiveCopying().sample(rng(), 2, Point({"length": 2})), "8 letters take as many positions"),
    ],
)
def test_recall_without_room_is_refused(make: Any, message: str) -> None:
    with pytest.raises((InputError, ValidationError), match=message):
        make()


def words_of(task: Any, row: np.ndarray) -> list[str]:
    names = {number: word for word, number in task._numbers.items()}
    return [names[int(number)] for number in row]


@pytest.mark.parametrize("depth", [0.0, 0.5, 1.0, None])
def test_a_passkey_is_said_once_and_asked_at_the_end(depth: float | None) -> None:
    task = Passkey(digits=3)
    axes = {"length": 40} if depth is None else {"length": 40, "depth": depth}
    batch = task.sample(rng(), 20, Point(axes))
    places = set[int]()
    for read, asked in zip(batch.inputs, batch.targets, strict=True):
        words = words_of(task, read)
        text = " ".join(words)
        (key,) = re.findall(r"the pass key is (\d) (\d) (\d) \.", text)
        assert text.endswith(f"the pass key is {key[0]} {key[1]}")
        assert asked[-3:].tolist() == [int(digit) for digit in key]
        assert (asked[:-3] == IGNORE).all()
        assert sum(word.isdigit() for word in words) == 5
        places.add(next(place for place, word in enumerate(words) if word.isdigit()) - 4)
    space = 40 - 14
    assert places == {round(depth * space)} if depth is not None else len(places) > 5


def test_a_key_needs_room() -> None:
    with pytest.raises(ValueError, match="a key of 5 digits and its question take 18 words, not 17"):
        Passkey(train=TrainLengths(minimum=17, maximum=64))
    with pytest.raises(InputError, match="take 18 words"):
        Passkey().sample(rng(), 1, Point({"length": 17}))


def test_measured_prose_is_not_that_of_training(tmp_path: Path) -> None:
    path = tmp_path / "prose.txt"
    path.write_text(" ".join(f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(300)))
    task = Passkey(filler=str(path))
    trained, measured = (
        {word for row in task.sample(rng(), 200, Point(axes)).inputs for word in words_of(task, row)}
        for axes in ({"length": 60}, {"length": 60, "depth": 0.5})
    )
    shared = {*"0123456789", "the", "pass", "key", "is", "."}
    assert trained & measured <= shared
    assert len(trained - shared) == 240
    assert len(measured - shared) == 60


def test_stories_are_told_in_order_and_answered_by_the_last_fact() -> None:
    task = BabiLong(facts=4)
    for axes in ({"length": 60}, {"length": 80, "facts": 5}):
        batch = task.sample(rng(), 40, Point(axes))
        for read, asked in zip(batch.inputs, batch.targets, strict=True):
            text = " ".join(words_of(task, read))
            told = re.findall(r"(\w+) (?:went|moved|journeyed|travelled|went back) to the (\w+) \.", text)
            assert len(told) == axes["facts"] if "facts" in axes else 1 <= len(told) <= 4
            (person,) = re.findall(r"where is (\w+) \?$", text)
            assert task.answers[asked[-1]] == dict(told)[person]
            assert (asked[:-1] == IGNORE).all()


def test_facts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="9 facts and a question do not fit in 50 words"):
        BabiLong().sample(rng(), 1, Point({"length": 50, "facts": 9}))


BABI = """\
1 Mary moved to the bathroom.
2 John went to the hallway.
3 Where is Mary? \tbathroom\t1
4 Mary went to the kitchen.
5 Where is Mary?\tkitchen\t4
1 Daniel went to the hallway.
2 Where is Daniel?\thallway\t1
"""


def test_a_file_of_babi_is_read() -> None:
    first, second, third = read_babi(BABI)
    assert first.facts == ["mary moved to the bathroom .", "john went to the hallway ."]
    assert (first.question, first.answer) == ("where is mary ?", "bathroom")
    assert second.facts == [*first.facts, "mary went to the kitchen ."]
    assert third == (["daniel went to the hallway ."], "where is daniel ?", "hallway")


def test_stories_of_a_file_keep_to_their_part(tmp_path: Path) -> None:
    path = tmp_path / "qa.txt"
    path.write_text(BABI * 4 + "1 Anna went to the attic.\n2 Where is Anna?\tattic\t1\n" * 3)
    task = BabiLong(story=str(path), facts=3)
    assert task.answers == ("attic", "bathroom", "hallway", "kitchen")
    measured = task.sample(rng(), 30, Point({"length": 40, "facts": 1}))
    trained = task.sample(rng(), 200, Point({"length": 40}))
    assert {task.answers[target] for target in measured.targets[:, -1]} == {"attic"}
    assert {task.answers[target] for target in trained.targets[:, -1]} == {"bathroom", "hallway", "kitchen"}
    with pytest.raises(InputError, match=r"qa.txt has no story of 7 facts"):
        task.sample(rng(), 1, Point({"length": 90, "facts": 7}))


def test_a_sine_follows_from_its_last_two_values() -> None:
    batch = Signals(sines=1, size=3, noise=0).sample(rng(), 5, Point({"length": 50}))
    x, next_x = batch.inputs.astype(float), batch.targets.astype(float)
    np.testing.assert_array_equal(x[:, 1:], next_x[:, :-1])
    # x[t + 1] + x[t - 1] is the same multiple of x[t] at every place of a row.
    total, middle = next_x[:, 1:] + x[:, :-1], x[:, 1:]
    factor = (total * middle).sum((1, 2), keepdims=True) / (middle**2).sum((1, 2), keepdims=True)
    np.testing.assert_allclose(total, factor * middle, atol=1e-4)


def test_signals_have_a_mean_square_of_one() -> None:
    batch = Signals(sines=4, noise=0).sample(rng(), 400, Point({"length": 200}))
    assert np.square(batch.inputs).mean() == pytest.approx(1, abs=0.05)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text", "settings", "expected"),
    [
        ("a.csv", '"2","A win","late, ""again"""\n"1","x","y"\n', {}, [("2", 'A win late, "again"'), ("1", "x y")]),
        ("a.tsv", 'dull "film\t0\n\nfine\t1\n', {"column": -1}, [("0", 'dull "film'), ("1", "fine")]),
        ("a.tsv.gz", "3\t[MAX 1 3 ]\n", {}, [("3", "[MAX 1 3 ]")]),
        ("a.label", "NUM:dist How far ?\n", {}, [("NUM", "dist How far ?")]),
        ("a.label", "NUM:dist How far ?\n", {"pattern": r"(?P<label>[A-Z]+):\S+ (?P<text>.*)"}, [("NUM", "How far ?")]),
    ],
)  # fmt: skip
def test_files_are_read_by_their_kind(
    name: str, text: str, settings: dict[str, Any], expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    folder = write(tmp_path / "data" / f"train_{name}", text).parent
    write(folder / f"test_{name}", text)
    task = Classification(source=str(folder), **settings)
    assert task.splits == {"train": expected, "test": expected}


def test_the_examples_of_classification(tmp_path: Path) -> None:
    path = write(tmp_path / "texts.label", "".join(f"NUM:dist How far is it from Denver?\nLOC:{n}\n" for n in range(9)))
    assert "``dist How far is it from Denver?``" in str(Classification.__doc__)
    assert ("NUM", "dist How far is it from Denver?") in [
        tuple(text) for texts in Classification(source=str(path), test_share=0.5).splits.values() for text in texts
    ]


def test_a_folder_has_its_splits(tmp_path: Path) -> None:
    folder = write(tmp_path / "data" / "train_a.tsv", "1\tgood film\n").parent
    write(folder / "train_b.tsv.gz", "0\tbad film\n")
    write(folder / "dev.tsv", "0\tbad\n" * 2)
    write(folder / "test.tsv", "1\tstrange new film\n" * 3)
    (folder / "classes.txt").write_text("what is beside is not read")
    task = Classification(source=str(folder), longest=2)
    assert [text.text for text in task.splits["train"]] == ["good film", "bad film"]
    assert [(dict(p.axes), p.samples) for p in task.points("test")] == [
        ({"split": "validation"}, 2),
        ({"split": "test"}, 3),
    ]
    assert [dict(point.axes) for point in task.points("curve")] == [{"split": "validation"}]
    batch = next(task.batches(rng(), Point({"split": "test"}), 2))
    # Words that were not trained on are number 0, and a text is cut.
    assert batch.inputs.tolist() == [[0, 0]] * 2
    assert batch.targets.tolist() == [[IGNORE, 1]] * 2
    assert task.labels == ("0", "1")
    with pytest.raises(InputError, match="has no split 'tests'; did you mean 'test'"):
        task.sample(rng(), 1, Point({"split": "tests"}))


def test_a_share_is_held_out_by_what_a_text_says(tmp_path: Path) -> None:
    rows = [f"{n % 2}\ttext number {n}\n" for n in range(400)]
    one = Classification(source=str(write(tmp_path / "one.tsv", "".join(rows)))).splits
    two = Classification(source=str(write(tmp_path / "two.tsv", "".join([*rows[::-1][:300], "0\tnew\n"])))).splits
    assert len(one["train"]) + len(one["test"]) == 400
    assert 50 < len(one["test"]) < 110
    assert not {*one["train"]} & {*one["test"]}
    assert {*two["test"]} - {*one["test"]} <= {("0", "new")}


def test_bytes_and_other_encodings(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.tsv").write_bytes("1\tcaf\xe9\n0\tno\n".encode("latin-1"))
    (folder / "test.tsv").write_bytes("1\tcafé\n".encode())
    task = Classification(source=str(folder), tokens="byte")
    assert task.inputs.size == 256
    (batch,) = task.batches(rng(), Point({"split": "test"}), 8)
    assert bytes(batch.inputs[0].tolist()) == "café".encode()
    assert task.splits["train"][0].text == "café"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train.tsv", "alone\n", r"train.tsv, row 1: no text beside the label in column '0' of 1 \(texts\)"),
        ("train.label", "a:b\nno colon\n", r"train.label, line 2: 'no colon' does not match .* \(pattern\)"),
        ("other.txt", "a:b\n", r"no folder with a file called train\.\.\.: it holds other.txt"),
    ],
)
def test_what_cannot_be_read_is_told_in_words(name: str, text: str, message: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "data" / name, text).parent
    with pytest.raises(InputError, match=message):
        Classification(source=str(folder)).identity()


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(?P<label>", "is not a regular expression: missing"),
        (r"(?P<text>.*)", r"has no group 'label': \(\?P<label>\.\.\.\)"),
        (r"(?P<label>.*):(.*)", "has no group 'text'"),
        (r"(?P<label>.*)(?P<text>.{99999999999})", "is not a regular expression"),
    ],
)
def test_a_pattern_without_its_groups_is_refused_as_a_setting(pattern: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Classification(source="data", pattern=pattern)


def test_a_group_of_a_pattern_may_match_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path / "data" / "train.label", "a:x\n:y\n").parent
    write(folder / "test.label", ":z\n")
    task = Classification(source=str(folder), pattern=r"(?P<label>\w+)?:(?P<text>.*)")
    assert task.splits["train"] == [("a", "x"), ("", "y")]


def test_a_label_that_is_not_trained_on_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "data" / "train.tsv", "1\ta\n").parent
    write(folder / "test.tsv", "2\ta\n")
    task = Classification(source=str(folder))
    with pytest.raises(InputError, match="label '2' of the split 'test' is not trained on"):
        task.sample(rng(), 1, Point({"split": "test"}))
