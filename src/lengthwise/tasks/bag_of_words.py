"""Bags of words: lines through counts of words, beside which a model of sequences is measured.

Shape letters: B rows, T positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lengthwise.errors import InputError
from lengthwise.extras import import_extra
from lengthwise.tasks.base import Ints

Guess = Callable[[Ints], Ints]
_PURPOSE = "a line through counts of words (diagnostic 'floors' of classification)"


def words_line(rows: Sequence[Ints], classes: Ints, *, pairs: bool = False) -> Guess:
    """Return the guesses of a logistic regression on TF-IDF of words, and of pairs of neighbours where asked for.

    Args:
        rows: the symbols of each training text.
        classes: of each of them.
        pairs: whether neighbours count as one more word.

    Raises:
        InputError: scikit-learn is not installed, or there is one class.
    """
    text: Any = import_extra("sklearn.feature_extraction.text", _PURPOSE)

    def words(row: Ints) -> list[str]:
        found = [str(symbol) for symbol in row]
        return found + [f"{one} {next_one}" for one, next_one in pairwise(found)] if pairs else found

    vectors = text.TfidfVectorizer(analyzer=words, sublinear_tf=True)
    line = fitted(vectors.fit_transform(rows), classes)
    return lambda tokens_BT: line(vectors.transform(tokens_BT))


def features_line(features: Callable[[Ints], NDArray[np.float64]], rows: Sequence[Ints], classes: Ints) -> Guess:
    """Return the guesses of a logistic regression on a few numbers a text.

    Args:
        features: from symbols [T] to these numbers.
        rows: the symbols of each training text.
        classes: of each of them.

    Raises:
        InputError: as in `words_line`.
    """
    line = fitted(np.stack([features(row) for row in rows]), classes)
    return lambda tokens_BT: line(np.stack([features(row) for row in tokens_BT]))


def fitted(counts: Any, classes: Ints) -> Callable[[Any], Ints]:
    """Return a logistic regression, as a function from numbers of texts to classes."""
    models: Any = import_extra("sklearn.linear_model", _PURPOSE)
    if len(np.unique(classes)) < 2:
        raise InputError(f"{_PURPOSE} needs texts of two classes or more, not of one")
    line = models.LogisticRegression(C=_WEIGHT, max_iter=1000).fit(counts, classes)
    return lambda asked: np.asarray(line.predict(asked), dtype=np.int64)


_WEIGHT = 10.0
"""Of the texts beside the penalty on weights; a tenth of it is worse on AG News."""
