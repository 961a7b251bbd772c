"""Stories against every world in which they can have happened, and against the published files' sentences.

Shape letters: W worlds, N persons and things.
"""

import itertools
import re

import numpy as np
import pytest

from lengthwise.errors import InputError
from lengthwise.tasks.babi import OBJECTS, PERSONS, PLACES, QUESTIONS, WORDS, Story, draw_story, read_babi
from lengthwise.tasks.babilong import BabiLong
from lengthwise.tasks.base import Point

NAMES = (*PERSONS, *OBJECTS)
WENT = r"(\w+) (?:went to|moved to|journeyed to|travelled to|went back to) the (\w+) \."
TOOK = r"(\w+) (?:picked up|grabbed|got|took) the (\w+) \."
LEFT = r"(\w+) (?:put down|left|discarded|dropped) the (\w+) \."
GAVE = r"(\w+) (?:gave|handed|passed) the (\w+) to (\w+) \."


def histories(story: Story) -> dict[str, list[np.ndarray]]:
    """Return where everyone and everything is after each fact, [W] places, in every world that the facts allow."""
    named = [name for name in NAMES if any(name in fact.split() for fact in story.facts)]
    worlds_WN = np.array(list(itertools.product(range(len(PLACES)), repeat=len(named))), dtype=np.int8)
    at = {name: worlds_WN[:, place] for place, name in enumerate(named)}
    past: dict[str, list[np.ndarray]] = {name: [places] for name, places in at.items()}
    holders = dict[str, str]()

    def only(possible: np.ndarray) -> None:
        for name in named:
            at[name] = at[name][possible]
            past[name] = [places[possible] for places in past[name]]

    for fact in story.facts:
        if found := re.fullmatch(WENT, fact):
            assert not (at[found[1]] == PLACES.index(found[2])).all(), "nobody goes where they are known to be"
            only(at[found[1]] != PLACES.index(found[2]))
            for name in (found[1], *(thing for thing, holder in holders.items() if holder == found[1])):
                at[name] = np.full_like(at[name], PLACES.index(found[2]))
        elif found := re.fullmatch(TOOK, fact):
            assert found[2] not in holders
            only(at[found[1]] == at[found[2]])
            holders[found[2]] = found[1]
        elif found := re.fullmatch(LEFT, fact):
            assert holders.pop(found[2]) == found[1]
        elif found := re.fullmatch(GAVE, fact):
            assert holders[found[2]] == found[1] != found[3]
            only(at[found[1]] == at[found[3]])
            holders[found[2]] = found[3]
        else:
            raise AssertionError(fact)
        for name in named:
            past[name].append(at[name])
        assert len(at[named[0]]), "no world allows the facts"
    return past


def answers(story: Story) -> set[str]:
    """Return what the question is answered with in all worlds that the facts allow."""
    if found := re.fullmatch(r"where is (?:the )?(\w+) \?", story.question):
        return {PLACES[place] for place in histories(story)[found[1]][-1]}
    found = re.fullmatch(r"where was the (\w+) before the (\w+) \?", story.question)
    assert found, story.question
    past_TW, after = np.stack(histories(story)[found[1]]), PLACES.index(found[2])
    came_TW = (past_TW[1:] == after) & (past_TW[:-1] != after)
    last_W = len(came_TW) - 1 - came_TW[::-1].argmax(0)
    assert came_TW.any(0).all()
    return {PLACES[place] for place in np.take_along_axis(past_TW, last_W[None], 0)[0]}


@pytest.mark.parametrize(("number", "facts"), [(1, 1), (1, 5), (2, 2), (2, 5), (2, 9), (3, 3), (3, 8)])
def test_the_answer_is_that_of_every_world_the_facts_allow(number: int, facts: int) -> None:
    for seed in range(12 if facts < 8 else 4):
        story = draw_story(np.random.default_rng(seed), number, facts)
        assert len(story.facts) == facts
        assert answers(story) == {story.answer}, story


@pytest.mark.parametrize("facts", [2, 5, 12])
def test_who_gave_what_to_whom_is_what_was_told_last(facts: int) -> None:
    for seed in range(30):
        story = draw_story(np.random.default_rng(seed), 5, facts)
        assert histories(story)
        gave = [found.groups() for fact in story.facts if (found := re.fullmatch(GAVE, fact))]
        words = {
            r"what did (?P<giver>\w+) give to (?P<taker>\w+) \?": 1,
            r"who gave the (?P<thing>\w+) to (?P<taker>\w+) \?": 0,
            r"who did (?P<giver>\w+) give the (?P<thing>\w+) to \?": 2,
            r"who gave the (?P<thing>\w+) \?": 0,
            r"who received the (?P<thing>\w+) \?": 2,
        }
        matches = [(found.groupdict(), slot) for p, slot in words.items() if (found := re.fullmatch(p, story.question))]
        ((asked, slot),) = matches
        fitting = [
            one for one in gave if asked.items() <= dict(zip(("giver", "thing", "taker"), one, strict=True)).items()
        ]
        assert fitting[-1][slot] == story.answer


@pytest.mark.parametrize("facts", [2, 3, 5])
def test_one_place_alone_lies_where_it_is_asked_for(facts: int) -> None:
    steps = {"north": 1j, "south": -1j, "east": 1, "west": -1}
    for seed in range(40):
        story = draw_story(np.random.default_rng(seed), 4, facts)
        told = [re.fullmatch(r"the (\w+) is (\w+) of the (\w+) \.", fact) for fact in story.facts]
        at: dict[str, complex] = {told[0][3]: 0}
        for _ in range(facts):
            for a, turn, b in (fact.groups() for fact in told):
                if b in at:
                    assert at.setdefault(a, at[b] + steps[turn]) == at[b] + steps[turn]
                elif a in at:
                    at[b] = at[a] - steps[turn]
        assert len(at) == facts + 1 == len({*at.values()})
        if found := re.fullmatch(r"what is (\w+) of the (\w+) \?", story.question):
            wanted = at[found[2]] + steps[found[1]]
        else:
            found = re.fullmatch(r"what is the (\w+) (\w+) of \?", story.question)
            wanted = at[found[1]] - steps[found[2]]
        assert [place for place, where in at.items() if where == wanted] == [story.answer]


@pytest.mark.parametrize("number", QUESTIONS)
def test_every_word_and_every_answer_is_drawn_and_known(number: int) -> None:
    kind, found = QUESTIONS[number], set[str]()
    for seed in range(60):
        story = draw_story(np.random.default_rng(seed), number, min(6, kind.most))
        assert {word for text in (*story.facts, story.question) for word in text.split()} <= {*WORDS}
        found.add(story.answer)
    assert found == {*kind.answers}


@pytest.mark.parametrize("number", QUESTIONS)
def test_stories_are_told_among_prose(number: int) -> None:
    task = BabiLong(question=number, facts=5, test_facts=(4,), lengths=(80,))
    batch = task.sample(np.random.default_rng(0), 20, task.points("test")[0])
    assert batch.inputs.shape == (20, 80)
    assert task.sample(np.random.default_rng(0), 20, Point({"length": 64})).inputs.shape == (20, 64)


@pytest.mark.parametrize(("number", "facts"), [(4, 6), (3, 2), (5, 1)])
def test_stories_that_cannot_be_are_refused(number: int, facts: int) -> None:
    with pytest.raises(InputError, match=f"not {facts}"):
        draw_story(np.random.default_rng(0), number, facts)
    with pytest.raises(ValueError, match=f"test_facts: stories of question {number} have .* not {facts}"):
        BabiLong(question=number, test_facts=(facts,))


def test_published_sentences_are_read_as_ours_are_written() -> None:
    text = "1 Mary got the milk there.\n2 Mary went back to the hallway.\n3 Where is the milk? \thallway\t1 2\n"
    assert list(read_babi(text)) == [
        Story(["mary got the milk there .", "mary went back to the hallway ."], "where is the milk ?", "hallway")
    ]
