"""Black boxes: an automaton of any model learned from its answers, and a string on which it is wrong if one is found.

AALpy learns a Moore machine from questions about strings. A conjecture is first compared with the task's automaton,
exactly; where they differ the model is asked, which either shows the model wrong or the conjecture. A conjecture that
is the task's automaton is put to strings at random. Nothing here proves anything about the strings that were not asked.

Shape letters: B strings, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from lengthwise.certificates.answers import answers_to, first_wrong
from lengthwise.certificates.finding import Finding
from lengthwise.certificates.learning import as_automaton, learn, short_strings
from lengthwise.certificates.limits import USUAL, Limits
from lengthwise.certificates.product import Counterexample, compare
from lengthwise.models.base import StringModel, largest
from lengthwise.tasks.base import IGNORE, Ints
from lengthwise.tasks.regular.automaton import Automaton, Word
from lengthwise.tasks.regular.language import Language

_BATCH = 256
STATES = 200
"""Of a conjecture, at most, unless more are allowed."""


class _Spent(Exception):  # noqa: N818
    """The limits do not allow another question."""


class Answers:
    """What a model answers to strings, each asked once.

    Args:
        model: the model.
        task: strings to which it gives no class are not asked about.
        limit: the largest number of strings.
    """

    def __init__(self, model: StringModel, task: Language, limit: int) -> None:
        self.model, self.task, self.limit = model, task, limit
        self.known: dict[Word, int] = {(): IGNORE}
        self.asked = 0
        self._device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def prefixes(self, word: Word) -> list[int]:
        """Return the answers to all non-empty prefixes of a string.

        Raises:
            _Spent: the limits do not suffice.
        """
        prefixes = [word[:end] for end in range(1, len(word) + 1)]
        truths = self.task.automaton.label_prefixes(np.array([word], dtype=np.int64).reshape(1, -1))[0]
        new = [len(p) for p, truth in zip(prefixes, truths, strict=True) if p not in self.known and truth != IGNORE]
        if new:
            self._count(len(new))
            with torch.no_grad():
                logits = self.model.prefix_logits(torch.tensor([word], device=self._device), new)
            self.known |= {word[:end]: int(found) for end, found in zip(new, largest(logits[0]), strict=True)}
        return [self.known.get(prefix, IGNORE) for prefix in prefixes]

    def strings(self, tokens_BT: Ints) -> Ints:
        """Return the answers [B] to strings of one length; errors as in `prefixes`."""
        self._count(len(tokens_BT))
        return answers_to(self.model, tokens_BT)

    def _count(self, questions: int) -> None:
        if self.asked + questions > self.limit:
            raise _Spent
        self.asked += questions


def certify_black_box(model: StringModel, task: Language, limits: Limits = USUAL) -> Finding:
    """Ask a model about strings, within limits, and look for one on which it is wrong.

    Args:
        model: any model.
        task: what it was trained on.
        limits: how much to ask, and how many states a conjecture may have.

    Returns:
        Verdict ``wrong`` with a string that the model was run on, or ``not_proved``: never a proof.
    """
    answers = Answers(model, task, limits.queries)
    conjectures, failures = list[Automaton](), list[Counterexample]()

    def examine(machine: Any) -> Word | None:
        """Return a string on which a conjecture is not the model, None when learning is over."""
        conjectures.append(as_automaton(machine, task.vocabulary))
        if conjectures[-1].states > (limits.states or STATES):
            raise _Spent
        comparison = compare(conjectures[-1], task.automaton)
        if comparison is not None:
            symbols = tuple(comparison.symbols)
            answer = answers.prefixes(symbols)[-1]
            if answer == comparison.truth:
                return symbols
            failures.append(comparison.model_copy(update={"answer": answer, "model_answer": answer}))
        elif failure := first_wrong(_strings(answers, limits), answers.strings, task):
            failures.append(failure)
        return None

    spent = False
    try:
        learn(answers.prefixes, examine, task.vocabulary)
    except _Spent:
        spent = True
    return Finding(
        "black_box",
        task.automaton.minimal(),
        conjectures[-1] if conjectures else None,
        margins={"asked": float(answers.asked), "spent": float(spent)},
        counterexample=failures[0] if failures else None,
    )


def _strings(answers: Answers, limits: Limits) -> Iterator[Ints]:
    """Yield strings as long as more may be asked about: all short ones, then standard samples of random lengths."""
    task, rng = answers.task, np.random.default_rng(0)
    yield from short_strings(task.vocabulary, limits.exhaustive)
    while answers.asked + _BATCH <= limits.queries:
        drawn = int(np.exp(rng.uniform(0.0, np.log(limits.longest + 1))))
        yield task.sample(rng, _BATCH, task.nearest_length(max(drawn, 2))).tokens
