import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lengthwise.training.curriculum import AnyLengths, GrowingLengths, Lengths, LogUniformLengths, UniformLengths

KINDS = (UniformLengths, LogUniformLengths, GrowingLengths)
FALSE_ALARM_QUANTILE = 4.9
"""The normal quantile of one false alarm in a million, both sides."""


def draws(lengths: Lengths, progress: float, count: int) -> list[int]:
    rng = np.random.default_rng(0)
    return [lengths.draw(rng, progress) for _ in range(count)]


def assert_share(found: int, expected: float, count: int) -> None:
    assert abs(found - expected * count) < FALSE_ALARM_QUANTILE * math.sqrt(count * expected * (1 - expected))


@given(
    kind=st.sampled_from(KINDS),
    bounds=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    progress=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_lengths_stay_in_their_bounds(kind: type[Lengths], bounds: tuple[int, int], progress: float, seed: int) -> None:
    lengths = kind(minimum=min(bounds), maximum=max(bounds))
    length = lengths.draw(np.random.default_rng(seed), progress)
    assert min(bounds) <= length <= max(bounds)
    assert length == lengths.draw(np.random.default_rng(seed), progress)


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_uniform_lengths_are_uniform_all_along(progress: float) -> None:
    found = draws(UniformLengths(minimum=3, maximum=12), progress, 10_000)
    for length in range(3, 13):
        assert_share(found.count(length), 0.1, 10_000)


def test_log_uniform_lengths_hit_every_octave_alike() -> None:
    found = draws(LogUniformLengths(minimum=1, maximum=63), 0.5, 12_000)
    for octave in range(6):
        inside = sum(2**octave <= length < 2 ** (octave + 1) for length in found)
        assert_share(inside, 1 / 6, 12_000)


def test_growing_lengths_are_uniform_up_to_a_bound_that_grows() -> None:
    lengths = GrowingLengths(minimum=1, maximum=41, until=0.5)
    for progress, bound in ((0.0, 1), (0.125, 11), (0.25, 21), (0.5, 41), (1.0, 41)):
        found = draws(lengths, progress, 4000)
        assert (min(found), max(found)) == (1, bound)
        if bound > 1:
            assert_share(found.count(bound), 1 / bound, 4000)


def test_bounds_the_wrong_way_round_are_refused() -> None:
    for kind in KINDS:
        with pytest.raises(ValidationError, match="minimum 5 exceeds maximum 4"):
            kind(minimum=5, maximum=4)


def test_settings_choose_the_curriculum_by_name() -> None:
    adapter: TypeAdapter[Lengths] = TypeAdapter(AnyLengths)
    assert adapter.validate_python({"name": "growing", "until": 0.25}) == GrowingLengths(until=0.25)
    with pytest.raises(ValidationError, match="uniform"):
        adapter.validate_python({"name": "gaussian"})
