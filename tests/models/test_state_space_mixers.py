"""S5 and SD-SSM against the recurrences of their papers. Shape letters: B rows, T tokens, D width, S, P, N states."""

import pytest
import torch
from pydantic import ValidationError
from random_tensors import normal
from torch.nn import functional as F  # noqa: N812

from lengthwise.errors import InputError
from lengthwise.evaluation.contract import check_contract
from lengthwise.models.backbone import BackboneConfig
from lengthwise.models.mixers.s5 import S5Config, diagonal_hippo
from lengthwise.models.mixers.sd_ssm import SDSSMConfig

WIDTH = 6
VARIANTS = {
    "s5": S5Config(state_size=8, blocks=2, chunk=5),
    "s5 with gelu": S5Config(state_size=4, blocks=1, activation="gelu", initial_steps=(0.1, 2.0)),
    "s5 with full glu": S5Config(state_size=6, blocks=3, activation="full_glu"),
    "sd_ssm": SDSSMConfig(state_size=5, matrices=3, chunk=7),
    "sd_ssm over a tree": SDSSMConfig(state_size=5, matrices=3, scan="tree", norm=1.0),
}


def build(config, width=WIDTH):
    torch.manual_seed(0)
    return config.build(width).double()


def started(mixer, rows):
    return mixer.initial_state(rows).map(lambda x: normal(*x.shape, seed=8))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant):
    torch.manual_seed(0)
    model = BackboneConfig(width=WIDTH, layers=2, mixer=VARIANTS[variant]).build(7, 7).double()
    assert not [finding for finding in check_contract(model, 7, length=19) if not finding.holds]


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_has_a_gradient(variant):
    mixer = build(VARIANTS[variant])
    y, _ = mixer(normal(2, 9, WIDTH), started(mixer, 2))
    y.square().sum().backward()
    for name, parameter in mixer.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_autocast_leaves_the_state_as_exact_as_it_was(variant):
    mixer = build(VARIANTS[variant]).float()
    x = normal(2, 9, WIDTH).float()
    _, exact = mixer(x, mixer.initial_state(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, state = mixer(x, mixer.initial_state(2))
    assert state["hidden"].dtype == torch.float32
    torch.testing.assert_close(state["hidden"], exact["hidden"], rtol=0.03, atol=0.03)


@pytest.mark.parametrize("size", [2, 6, 16])
def test_hippo_without_its_term_of_rank_one_has_these_eigenvectors(size):
    """HiPPO-LegS as Gu et al. 2020 define it, plus the outer product that makes it normal."""
    hippo_SS = torch.tensor(
        [
            [-((2 * n + 1) ** 0.5) * (2 * k + 1) ** 0.5 if n > k else -(n + 1.0) * (n == k) for k in range(size)]
            for n in range(size)
        ],
        dtype=torch.float64,
    )
    root_S = (torch.arange(size, dtype=torch.float64) + 0.5).sqrt()
    eigenvalues_P, vectors_SP = diagonal_hippo(size)
    normal_SS = (hippo_SS + root_S.outer(root_S)).to(torch.complex128)
    torch.testing.assert_close(normal_SS @ vectors_SP, vectors_SP * eigenvalues_P, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(vectors_SP.mH @ vectors_SP, torch.eye(size // 2, dtype=torch.complex128))
    assert (eigenvalues_P.imag < 0).all()


def test_s5_starts_as_the_dense_real_state_space_that_it_diagonalises():
    """Integrated exactly over a step by the exponential of a matrix that holds A and B together."""
    blocks, size, step = 2, 6, 0.3
    mixer = build(S5Config(state_size=blocks * size, blocks=blocks, activation="gelu"))
    eigenvalues_P, vectors_SP = diagonal_hippo(size)
    transition_SS = torch.block_diag(*[2 * (vectors_SP * eigenvalues_P @ vectors_SP.mH).real] * blocks)
    write_SD, read_DS = normal(blocks * size, WIDTH, seed=1), normal(WIDTH, blocks * size, seed=2)
    basis = torch.block_diag(*[vectors_SP] * blocks)
    with torch.no_grad():
        mixer.log_steps.fill_(step).log_()
        mixer.write.copy_(torch.view_as_real(basis.mH @ write_SD.to(basis.dtype)))
        mixer.read.copy_(torch.view_as_real(read_DS.to(basis.dtype) @ basis))
    together = torch.zeros(blocks * size + WIDTH, blocks * size + WIDTH, dtype=torch.float64)
    together[: blocks * size] = step * torch.cat([transition_SS, write_SD], 1)
    discrete_SX = torch.linalg.matrix_exp(together)[: blocks * size]
    x = normal(2, 30, WIDTH)
    found, _ = mixer(x, mixer.initial_state(2))
    h_BS = torch.zeros(2, blocks * size, dtype=torch.float64)
    for t in range(30):
        h_BS = torch.cat([h_BS, x[:, t]], 1) @ discrete_SX.t()
        torch.testing.assert_close(found[:, t], F.gelu(h_BS @ read_DS.t() + mixer.skip * x[:, t]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("activation", ["gelu", "half_glu", "full_glu"])
def test_s5_equals_its_equations_in_complex128(activation):
    mixer = build(S5Config(state_size=8, blocks=2, activation=activation, initial_steps=(0.01, 1.0)))
    x, start = normal(2, 20, WIDTH), started(mixer, 2)
    found, state = mixer(x, start)
    eigenvalues = torch.complex(-mixer.rates, mixer.frequencies)
    decay = (eigenvalues * mixer.log_steps.exp()).exp()
    write = ((decay - 1) / eigenvalues)[:, None] * torch.view_as_complex(mixer.write)
    h, read = torch.view_as_complex(start["hidden"]), torch.view_as_complex(mixer.read)
    for t in range(20):
        h = decay * h + x[:, t].to(h.dtype) @ write.t()
        y = F.gelu(2 * (h @ read.t()).real + mixer.skip * x[:, t])
        if activation == "half_glu":
            y = y * torch.sigmoid(mixer.gate(y))
        elif activation == "full_glu":
            y = mixer.value(y) * torch.sigmoid(mixer.gate(y))
        torch.testing.assert_close(found[:, t], y, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(state["hidden"], torch.view_as_real(h), rtol=1e-9, atol=1e-9)


def test_a_negative_rate_of_s5_does_not_let_the_state_grow():
    mixer = build(S5Config(state_size=4, blocks=1, initial_steps=(1.0, 1.0)))
    with torch.no_grad():
        mixer.rates.fill_(-3.0)
        _, state = mixer(torch.zeros(1, 10_000, WIDTH, dtype=torch.float64), started(mixer, 1))
    assert state["hidden"].square().sum(-1).max() < started(mixer, 1)["hidden"].square().sum(-1).max()


def test_sd_ssm_equals_its_recurrence_token_by_token():
    mixer = build(SDSSMConfig(state_size=5, matrices=3))
    x, start = normal(2, 20, WIDTH), started(mixer, 2)
    found, state = mixer(x, start)
    h = start["hidden"]
    for t in range(20):
        selection = F.softmax(mixer.select(x[:, t]), -1)
        transition = torch.einsum("bk,kij->bij", selection, mixer.dictionary)
        transition = transition / transition.abs().pow(1.2).sum(1, keepdim=True).pow(1 / 1.2)
        h = torch.einsum("bij,bj->bi", transition, h) + mixer.write(x[:, t])
        expected = mixer.read(F.layer_norm(h, (5,), mixer.norm.weight, mixer.norm.bias))
        torch.testing.assert_close(found[:, t], expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(state["hidden"], h, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scan", ["loop", "tree"])
def test_inputs_that_repeat_give_the_values_and_gradients_of_inputs_that_do_not(scan):
    """A hair's breadth apart they share no matrix; each token still has the gradient that is its own."""
    mixer = build(SDSSMConfig(state_size=5, matrices=3, scan=scan))
    repeated = normal(4, WIDTH)[torch.randint(4, (3, 12), generator=torch.Generator().manual_seed(0))]
    readings = []
    for x in (repeated, repeated + 1e-12 * normal(*repeated.shape, seed=1)):
        y, _ = mixer(x.requires_grad_(), mixer.initial_state(3))
        readings.append([y, *torch.autograd.grad(y.square().sum(), [x, *mixer.parameters()])])
    for a, b in zip(*readings, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("size", [4, 64])
def test_fresh_transitions_of_sd_ssm_shrink_a_state(size):
    torch.manual_seed(0)
    mixer = SDSSMConfig(state_size=size).build(WIDTH)
    _, state = mixer(normal(3, 1, WIDTH, dtype=torch.float32).expand(3, 300, WIDTH), mixer.initial_state(3))
    assert state["hidden"].norm() < 20


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="3 blocks do not cut a state of 8 into even sizes: 6 would do"):
        S5Config(state_size=8, blocks=3).build(WIDTH)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        SDSSMConfig(norm=0.5)
