import pytest
import torch
from models_for_interventions import generator
from torch import Tensor

from lengthwise.evaluation.contract import check_contract
from lengthwise.interventions.noise import FittedNoiseConfig, RandomNoiseConfig
from lengthwise.interventions.passing import StatePassingConfig, TBPTTConfig
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.spaces import Tokens
from lengthwise.state import State

READOUTS = ["root", "prefixes"]


def unit(readout: str) -> LDRU:
    torch.manual_seed(0)
    return LDRUConfig(width=8, readout=readout).build(3, 3).double().eval()


def strings(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(3, (rows, length), generator=generator(seed))


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def starting(model: LDRU, left: Tensor) -> State:
    start = model.initial_state(len(left))
    return State({**start, "left": left}, start.kinds)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("length", [1, 4, 7, 13])
def test_a_start_is_the_value_of_all_that_was_read(readout: str, length: int) -> None:
    model, tokens = unit(readout), strings(4, length)
    start = model.start_from(model(tokens).state)
    assert sorted(start) == ["left", "position"]
    assert start["position"].tolist() == [0] * 4
    assert_close(start["left"], model.roots(tokens) if readout == "root" else model.prefixes(tokens)[:, -1])


@pytest.mark.parametrize("readout", READOUTS)
def test_starts_follow_each_other(readout: str) -> None:
    model, first, second = unit(readout), strings(4, 6), strings(4, 5, 1)
    start = model.start_from(model(first).state)
    after = model(second, start)
    twice = model.start_from(after.state)["left"]
    last = after.logits if readout == "root" else after.logits[:, -1]
    assert_close(model.readout(twice), last)
    if readout == "root":
        assert_close(twice, model.join(start["left"], model.roots(second)))


@pytest.mark.parametrize("readout", READOUTS)
def test_nothing_read_gives_a_start_that_changes_nothing(readout: str) -> None:
    model, tokens = unit(readout), strings(3, 9)
    start = model.start_from(model.initial_state(3))
    assert not start["left"].any()
    assert_close(model(tokens, start).logits, model(tokens).logits)
    again = model.start_from(start)
    assert torch.equal(again["left"], start["left"])


@pytest.mark.parametrize("readout", READOUTS)
def test_rows_with_and_without_a_left_operand_are_read_as_if_alone(readout: str) -> None:
    model, tokens = unit(readout), strings(5, 11)
    left = torch.randn(5, 8, dtype=torch.float64, generator=generator())
    left[[0, 3]] = 0
    together = model(tokens[:, 4:], model(tokens[:, :4], starting(model, left)).state)
    folded = model.start_from(together.state)["left"]
    for row in range(5):
        one = tokens[row : row + 1]
        alone = model(one) if row in (0, 3) else model(one, starting(model, left[row : row + 1]))
        last = alone.logits if readout == "root" else alone.logits[:, 4:]
        assert_close(together.logits[row : row + 1], last)
        assert_close(folded[row : row + 1], model.start_from(alone.state)["left"])


class FromMixedRows(LDRU):
    """A unit whose first row starts from nothing and whose other rows start from a left operand."""

    def initial_state(self, batch_size: int) -> State:
        start = super().initial_state(batch_size)
        left = torch.linspace(-1, 1, 8, dtype=torch.float64) * torch.arange(batch_size)[:, None]
        return State({**start, "left": left}, start.kinds)


@pytest.mark.parametrize("readout", READOUTS)
def test_the_contract_holds_from_mixed_rows(readout: str) -> None:
    torch.manual_seed(0)
    model = FromMixedRows(LDRUConfig(width=8, readout=readout), Tokens(3), Tokens(3)).double().eval()
    # A row alone is always the first one here, so its independence of others is for the test above.
    broken = [finding.clause for finding in check_contract(model, 3, length=11) if not finding.holds]
    assert broken == ["rows are independent"]


@pytest.mark.parametrize("readout", READOUTS)
def test_the_interventions_carry_the_value(readout: str) -> None:
    model, tokens = unit(readout), strings(4, 6)
    after = model(tokens).state
    value = model.start_from(after)["left"]
    passing, tbptt = StatePassingConfig(zero_probability=0.0).build(), TBPTTConfig().build()
    fitted = FittedNoiseConfig(per_channel=True).build()
    for intervention in (passing, tbptt, fitted):
        assert "left" not in intervention.begin(model, 4, generator())
        intervention.observe(after)
    assert torch.equal(tbptt.begin(model, 4, generator())["left"], value)
    passed = passing.begin(model, 4, generator())["left"]
    assert sorted(passed[:, 0].tolist()) == sorted(value[:, 0].tolist())
    assert not (passed == value).any()
    fresh = tbptt.begin(model, 4, generator(), torch.tensor([True, False, False, False]))
    assert_close(model(tokens, fresh).logits[:1], model(tokens[:1]).logits)
    noise = fitted.begin(model, 2000, generator())["left"]
    assert torch.allclose(noise.mean(0), value.mean(0), atol=0.2)
    assert RandomNoiseConfig().build().begin(model, 4, generator())["left"].shape == (4, 8)
