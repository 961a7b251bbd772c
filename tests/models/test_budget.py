import pytest
import torch

from lengthwise.errors import InputError
from lengthwise.models import MIXERS, MODELS
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.base import ModelConfig
from lengthwise.models.budget import count_parameters, solve_width, within_budget
from lengthwise.models.mixers.attention import AttentionConfig
from lengthwise.models.mixers.recurrent import ElmanConfig
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.operators import MatrixOperatorConfig


def built(config: ModelConfig, width: int) -> int | None:
    """The size of a model that was really built; none where it cannot be."""
    try:
        return count_parameters(config.model_copy(update={"width": width}).build(3, 5))
    except InputError:
        return None


CASES = {
    "every width": BackboneConfig(layers=1, mixer=ElmanConfig(hidden_size=8)),
    "multiples of the heads": BackboneConfig(layers=1, mixer=AttentionConfig(heads=12)),
    "squares": LDRUConfig(operator=MatrixOperatorConfig(), level="plain"),
    "the unit": LDRUConfig(),
}


@pytest.mark.parametrize("name", CASES)
def test_no_width_comes_nearer_to_the_budget(name: str) -> None:
    config = CASES[name]
    widths = {"the unit": 24, "squares": 1100}.get(name, 400)
    sizes = {width: size for width in range(1, widths) if (size := built(config, width)) is not None}
    for budget in (3_000, 9_500):
        nearest = min(abs(size - budget) for size in sizes.values())
        if nearest > budget / 10:
            with pytest.raises(InputError, match=r"no width of model .* comes within 10%"):
                solve_width(config, 3, 5, budget)
        else:
            assert abs(sizes[solve_width(config, 3, 5, budget)] - budget) == nearest


@pytest.mark.slow
@pytest.mark.parametrize("mixer", list(MIXERS))
def test_every_mixer_can_be_brought_to_a_budget(mixer: str) -> None:
    config = BackboneConfig(layers=2, mixer=MIXERS.load(mixer)())
    width = solve_width(config, 3, 5, 170_000)
    size = built(config, width)
    assert size is not None
    assert abs(size - 170_000) <= 17_000


def test_a_budget_leaves_the_random_numbers_of_training_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    solve_width(LDRUConfig(), 2, 2, 160_000)
    assert torch.equal(torch.rand(3), expected)


def test_the_default_unit_is_the_paper_s_size() -> None:
    assert solve_width(LDRUConfig(), 2, 2, 160_000) == 64


@pytest.mark.parametrize("parameters", [10, 20_000])
def test_a_budget_that_cannot_be_met_is_refused(parameters: int) -> None:
    config = BackboneConfig(layers=1, mixer=ElmanConfig(hidden_size=512))
    with pytest.raises(InputError, match=rf"within 10% of {parameters:,} parameters; the nearest, 1, has"):
        solve_width(config, 2, 2, parameters)


def test_a_model_without_a_width_is_refused() -> None:
    with pytest.raises(InputError, match="model huggingface has no setting for its width"):
        solve_width(MODELS.load("huggingface")(), 2, 2, 1000)


def test_settings_that_are_wrong_at_any_width_are_named() -> None:
    class Impossible(LDRUConfig):
        def build(self, vocabulary: int, classes: int) -> LDRU:
            raise InputError("this cannot be")

    with pytest.raises(InputError, match="this cannot be"):
        solve_width(Impossible(), 3, 5, 100_000)


def test_a_width_that_was_given_stays_where_it_keeps_to_the_budget() -> None:
    assert within_budget(LDRUConfig(width=62), 2, 2, 160_000) == LDRUConfig(width=62)
    assert within_budget(LDRUConfig(dropout=0.1), 2, 2, 160_000) == LDRUConfig(width=64, dropout=0.1)
    with pytest.raises(InputError, match=r"model\.width 32 makes 40,866 parameters.*leave model.width out"):
        within_budget(LDRUConfig(width=32), 2, 2, 160_000)
