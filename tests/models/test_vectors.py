"""Vectors of neighbouring symbols, and what is pooled over nodes and positions."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models.backbone import Backbone, BackboneConfig
from lengthwise.models.tree.ldru import LDRU, LDRUConfig
from lengthwise.models.tree.operators import GRCOperatorConfig
from lengthwise.models.vectors import Neighbours, neighbour_vectors
from lengthwise.spaces import Tokens, Values


def topics() -> list[Tensor]:
    """Strings of symbols 0 to 3, or of 4 to 7."""
    drawn = torch.randint(4, (60, 12), generator=torch.Generator().manual_seed(0))
    return [row + 4 * (number % 2) for number, row in enumerate(drawn)]


def test_symbols_that_stand_together_are_alike() -> None:
    vectors = neighbour_vectors(topics(), 9, 3, Neighbours())
    assert vectors.shape == (9, 3)
    near = torch.nn.functional.cosine_similarity(vectors[:8, None], vectors[None, :8], dim=-1)
    assert near[:4, :4].min() > 0.8
    assert near[:4, 4:].abs().max() < 0.2
    assert not vectors[8].any()
    # The rank is a bound, however wide they are.
    assert neighbour_vectors(topics(), 9, 20, Neighbours()).shape == (9, 20)


@pytest.mark.parametrize("strings", [[], [torch.tensor([3])], [torch.tensor([1, 1])]])
def test_strings_without_neighbours_give_no_vectors(strings: list[Tensor]) -> None:
    assert not neighbour_vectors(strings, 5, 4, Neighbours()).any()


@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize(
    "config", [LDRUConfig(width=2, vectors=Neighbours()), BackboneConfig(width=2, vectors=Neighbours())]
)
def test_embeddings_begin_as_vectors_of_the_size_they_had(config: Any, kinds: int) -> None:
    torch.manual_seed(0)
    model = config.build(Tokens(9 * kinds, kinds), 2)
    table = model.encoder.embedding if isinstance(model, LDRU) else model.embedding
    before = table.weight.detach().clone()
    assert model.unlabelled == 20_000
    model.look([string + 9 * (kinds - 1) for string in topics()])
    after = table.weight.detach()
    assert after[:8].square().mean().item() == pytest.approx(before[:9].square().mean().item(), rel=0.01)
    assert torch.nn.functional.cosine_similarity(after[0], after[1], dim=0) > 0.8
    # What was not seen stays as it was.
    assert torch.equal(after[8:], before[8:])
    assert config.model_copy(update={"vectors": None}).build(9, 2).unlabelled == 0


def test_vectors_of_values_are_refused() -> None:
    with pytest.raises(InputError, match=r"model.vectors are of symbols; this task gives vectors"):
        BackboneConfig(vectors=Neighbours()).build(Values(3), 2).look(topics())


def pooled(**choices: Any) -> LDRU | Backbone:
    torch.manual_seed(0)
    tree = LDRUConfig(width=8, operator=GRCOperatorConfig(), readout="maximum")
    config = BackboneConfig(width=8, pooling="maximum") if choices.pop("backbone", False) else tree
    return config.model_copy(update=choices).build(Tokens(12, 3), 4).double().eval()


@pytest.mark.parametrize("backbone", [True, False])
def test_what_is_pooled_keeps_to_the_contract(backbone: bool) -> None:
    findings = check_contract(pooled(backbone=backbone), 12, length=13)
    assert [finding for finding in findings if not finding.holds] == []


@pytest.mark.parametrize("readout", ["root", "maximum"])
def test_rows_of_different_lengths_are_read_as_each_alone(readout: str) -> None:
    model = pooled(readout=readout)
    assert isinstance(model, LDRU)
    inputs, lengths = torch.randint(12, (5, 11), generator=torch.Generator().manual_seed(1)), [3, 1, 11, 8, 3]
    asked = torch.zeros(5, 11, dtype=torch.bool)
    asked[range(5), [length - 1 for length in lengths]] = True
    together = model.asked_logits(inputs, asked)
    alone = torch.cat([model(inputs[row : row + 1, :length]).logits for row, length in enumerate(lengths)])
    torch.testing.assert_close(together, alone)
    strings = [model.string_logits(inputs[row : row + 1, :length], 4) for row, length in enumerate(lengths)]
    torch.testing.assert_close(torch.cat(strings), alone)
    assert model.reads_whole(asked)
    assert not model.reads_whole(asked[:1])
    model.zero_grad()
    together.sum().backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    alone.sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, msg=name)


def test_the_maximum_is_over_every_node() -> None:
    model, tokens = pooled(), torch.tensor([[4, 2, 7, 1, 1]])
    assert isinstance(model, LDRU)
    a, b, c, d, e = model.leaves(tokens).dense().unbind(1)
    ab, cd = model.join(a, b), model.join(c, d)
    abcd = model.join(ab, cd)
    nodes = torch.stack([a, b, c, d, e, ab, cd, abcd, model.join(abcd, e)])
    torch.testing.assert_close(model(tokens).logits, model.readout(nodes.amax(0)))


def test_a_maximum_is_of_the_string_alone() -> None:
    with pytest.raises(ValueError, match="looks at nodes of the string alone: odd 'carry', not 'pad'"):
        LDRUConfig(readout="maximum", odd="pad")
