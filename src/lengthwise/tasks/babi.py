"""Stories of the first five bAbI tasks, from a small world that is simulated, or from the published files."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from lengthwise.errors import InputError

PERSONS = ("mary", "john", "sandra", "daniel")
PLACES = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
OBJECTS = ("apple", "football", "milk")
_WENT = ("went to", "moved to", "journeyed to", "travelled to", "went back to")
_TOOK = ("picked up", "grabbed", "got", "took")
_LEFT = ("put down", "left", "discarded", "dropped")
_GAVE = ("gave", "handed", "passed")
_STEPS = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
_OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}
TRIES = 1000
"""Stories that are drawn, at most, for one that something can be asked about."""
T = TypeVar("T")


class Story(NamedTuple):
    """Facts, a question about them, and its answer."""

    facts: list[str]
    question: str
    answer: str


class Asked(NamedTuple):
    """A question that the facts so far decide, and its answer."""

    question: str
    answer: str


class Questions(NamedTuple):
    """A kind of story."""

    answers: tuple[str, ...]
    """The words that questions are answered with."""
    fewest: int
    """Facts without which nothing can be asked."""
    most: int
    """Facts that there are, at most."""
    draw: Callable[[np.random.Generator, int], Story | None]
    """Return a story of so many facts, or None where nothing can be asked about the one that was drawn."""


class _World:
    """Persons in places who move, take, leave and give things; what the facts told so far decide is known."""

    def __init__(self, rng: np.random.Generator, actions: Sequence[str]) -> None:
        self.rng, self.actions = rng, actions
        self.persons = {person: self.pick(PLACES) for person in PERSONS}
        self.things = {thing: self.pick(PLACES) for thing in OBJECTS}
        self.held: dict[str, str] = {}
        """Thing -> who holds it."""
        self.told = dict[str, str]()
        """Person -> place, once a move was told."""
        self.seen: dict[str, list[str]] = {thing: [] for thing in OBJECTS}
        """Thing -> the places where the facts say that it was, one after another."""
        self.given = list[tuple[str, str, str]]()
        """Who gave what to whom."""

    def pick(self, choices: Sequence[T]) -> T:
        return choices[int(self.rng.integers(len(choices)))]

    def act(self) -> str:
        """Let something happen that can, and return it in words."""
        while True:
            person, action = self.pick(PERSONS), self.pick(self.actions)
            here, own = self.persons[person], [thing for thing, holder in self.held.items() if holder == person]
            others = [one for one in PERSONS if one != person and self.persons[one] == here]
            free = [thing for thing, place in self.things.items() if place == here and thing not in self.held]
            if action == "go":
                return self._go(person, self.pick([place for place in PLACES if place != here]), own)
            if action == "take" and free:
                return self._take(person, self.pick(free))
            if action == "leave" and own:
                thing = self.pick(own)
                self.things[thing] = here
                del self.held[thing]
                return f"{person} {self.pick(_LEFT)} the {thing} ."
            if action == "give" and own and others:
                thing, other = self.pick(own), self.pick(others)
                self.held[thing] = other
                self.given.append((person, thing, other))
                # Who is given something stands where the giver does.
                self._know(other, self.told.get(person))
                self._know(person, self.told.get(other))
                return f"{person} {self.pick(_GAVE)} the {thing} to {other} ."

    def _go(self, person: str, place: str, own: Sequence[str]) -> str:
        self.persons[person] = place
        for thing in own:
            self.things[thing] = place
        self._know(person, place)
        return f"{person} {self.pick(_WENT)} the {place} ."

    def _take(self, person: str, thing: str) -> str:
        self.held[thing] = person
        # A thing that lies where it was seen tells where the person is who takes it, and the other way round.
        if self.seen[thing]:
            self._know(person, self.seen[thing][-1])
        elif person in self.told:
            self.seen[thing].append(self.told[person])
        return f"{person} {self.pick(_TOOK)} the {thing} ."

    def _know(self, person: str, place: str | None) -> None:
        if place is None:
            return
        self.told[person] = place
        for thing, holder in self.held.items():
            if holder == person and (not self.seen[thing] or self.seen[thing][-1] != place):
                self.seen[thing].append(place)


def _story(
    actions: Sequence[str], ask: Callable[[_World], list[Asked]]
) -> Callable[[np.random.Generator, int], Story | None]:
    def draw(rng: np.random.Generator, facts: int) -> Story | None:
        world = _World(rng, actions)
        told = [world.act() for _ in range(facts)]
        return Story(told, *world.pick(questions)) if (questions := ask(world)) else None

    return draw


def _where_is_who(world: _World) -> list[Asked]:
    return [Asked(f"where is {person} ?", place) for person, place in world.told.items()]


def _where_is_what(world: _World) -> list[Asked]:
    return [Asked(f"where is the {thing} ?", places[-1]) for thing, places in world.seen.items() if places]


def _where_was(world: _World) -> list[Asked]:
    return [
        Asked(f"where was the {thing} before the {after} ?", before)
        for thing, places in world.seen.items()
        for place, (before, after) in enumerate(itertools.pairwise(places), start=1)
        # The last time that it came there is meant.
        if after not in places[place + 1 :]
    ]


def _who_gave(world: _World) -> list[Asked]:
    found = list[Asked]()
    for giver, thing, taker in world.given:
        found += [
            Asked(f"what did {giver} give to {taker} ?", thing),
            Asked(f"who gave the {thing} to {taker} ?", giver),
            Asked(f"who did {giver} give the {thing} to ?", taker),
            Asked(f"who gave the {thing} ?", giver),
            Asked(f"who received the {thing} ?", taker),
        ]
    # The last time counts.
    return [Asked(*one) for one in dict(found).items()]


def _beside(rng: np.random.Generator, facts: int) -> Story | None:
    """Return a story of places side by side: a walk from place to place that never comes back."""
    places = [PLACES[number] for number in rng.permutation(len(PLACES))[: facts + 1]]
    at, taken, turns = (0, 0), {(0, 0)}, list[str]()
    for _ in range(facts):
        turn = list(_STEPS)[int(rng.integers(len(_STEPS)))]
        at = (at[0] + _STEPS[turn][0], at[1] + _STEPS[turn][1])
        if at in taken:
            return None
        taken.add(at)
        turns.append(turn)
    pairs = list(zip(places[1:], turns, places, strict=False))
    pairs = [(a, t, b) if rng.integers(2) else (b, _OPPOSITE[t], a) for a, t, b in pairs]
    told = [f"the {a} is {turn} of the {b} ." for a, turn, b in (pairs[number] for number in rng.permutation(facts))]
    a, turn, b = pairs[int(rng.integers(facts))]
    if rng.integers(2):
        return Story(told, f"what is {turn} of the {b} ?", a)
    return Story(told, f"what is the {a} {turn} of ?", b)


_MANY = 10_000
QUESTIONS: dict[int, Questions] = {
    1: Questions(PLACES, 1, _MANY, _story(("go",), _where_is_who)),
    2: Questions(PLACES, 2, _MANY, _story(("go", "go", "take", "leave"), _where_is_what)),
    3: Questions(PLACES, 3, _MANY, _story(("go", "go", "take", "leave"), _where_was)),
    4: Questions(PLACES, 2, len(PLACES) - 1, _beside),
    5: Questions((*OBJECTS, *PERSONS), 2, _MANY, _story(("go", "go", "take", "leave", "give", "give"), _who_gave)),
}
"""Number of a bAbI task -> its stories: where somebody is, where something is, where something was before, what lies
beside what, who gave what to whom.

Source: Weston et al. 2015; the worlds are ours, and the sentences those of the published files.
"""
_SAID = (*PERSONS, *OBJECTS, *PLACES, *_WENT, *_TOOK, *_LEFT, *_GAVE, *_STEPS)
_SMALL = "the . to is of where was before what who did give received gave ?"
WORDS = tuple(dict.fromkeys(" ".join((*_SAID, _SMALL)).split()))
"""All words of such stories."""


def draw_story(rng: np.random.Generator, number: int, facts: int) -> Story:
    """Return a story of so many facts, and a question that they decide.

    Args:
        rng: the only source of randomness.
        number: of the bAbI task, 1 to 5.
        facts: how many.

    Raises:
        InputError: there are no such stories.
    """
    kind = QUESTIONS[number]
    if kind.fewest <= facts <= kind.most:
        for _ in range(TRIES):
            if story := kind.draw(rng, facts):
                return story
    raise InputError(
        f"stories of bAbI task {number} have {kind.fewest} facts or more"
        + (f", at most {kind.most}" if kind.most < _MANY else "")
        + f", not {facts}"
    )


def read_babi(text: str) -> Iterator[Story]:
    """Yield the stories of a file of the bAbI tasks: one for each question, with all facts before it."""
    facts = list[str]()
    for line in text.lower().splitlines():
        number, _, rest = line.partition(" ")
        said, *answer = rest.split("\t")
        said = " ".join(re.findall(r"[\w']+|[.,?]", said))
        if number == "1":
            facts = []
        if answer:
            yield Story(list(facts), said, answer[0].strip())
        elif said:
            facts.append(said)
