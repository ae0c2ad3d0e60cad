"""What the checks of the chapter on other architectures stand on, by other means."""

import math

import pytest
import torch

from evidence import other_architectures as others
from evidence.claims import Unsound
from evidence.instances import Biased
from pscore.curvature import least_eigenvalue


def test_a_bias_against_the_certificate_of_the_inputs():
    """Without the constant unit the point would be certified with almost all of λ."""
    problem, point = others.biased_example(0.1, 1e-3)
    hessian = others.hessian_of(problem.loss, point)
    assert least_eigenvalue(hessian).item() == pytest.approx(3 * 0.1**2 - 1 - 0.02, abs=0.03)
    mended, printed = others.biased_bounds(problem, point)
    assert printed < 2e-3 < 0.9 < mended


def test_a_convolution_is_its_matrix():
    """The operator norm by the Fourier transform against the matrix that shifts make."""
    problem, _ = others.constant_convolution(1, 2, 0.3)
    problem = problem._replace(shapes=((2, 1, 2), (1, 2, 2)))
    vector = torch.arange(1.0, 9.0, dtype=torch.float64) / 8
    norms = []
    for kernel in problem.kernels(vector):
        outputs, inputs, taps = kernel.shape
        n = problem.a.shape[-1]
        eye = torch.eye(inputs * n, dtype=torch.float64).reshape(inputs * n, inputs, n)
        columns = [
            sum(kernel[:, :, p] @ signal.roll(-p, dims=-1) for p in range(taps)) for signal in eye
        ]
        matrix = torch.stack([c.flatten() for c in columns], dim=1)
        norms.append(torch.linalg.matrix_norm(matrix, 2))
        assert norms[-1] <= math.sqrt(taps) * kernel.norm()
    e = (problem.output(vector) - problem.f).norm() * problem.a.norm()
    assert problem.dense_bound(vector) == pytest.approx(e.item(), rel=1e-9)  # λ_max(M) = 1 at H = 1


def test_batch_norm_is_torch_s():
    draw = torch.Generator().manual_seed(0)
    a, U, v, f = (
        torch.randn(*s, generator=draw, dtype=torch.float64) for s in ((7, 2), (2, 3), (3,), (7,))
    )
    for eps in (1e-12, 1e-5, 1.0):
        z = torch.nn.functional.batch_norm(a @ U, None, None, training=True, eps=eps)
        by_torch = ((z + 0.3).relu() @ v - f).square().mean() / 2
        ours = others.normalized_loss(U, v, a, f, eps if eps > 1e-12 else 0.0)
        assert ours.item() == pytest.approx(by_torch.item(), rel=1e-9)


def test_one_normalised_weight_settles_where_a_grid_does():
    """Inputs ±1 and one unit: ℓ_λ in closed form, q = w/√(w² + ε), on a grid."""
    one = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    f, eps, decay = torch.tensor([4.0, 2.0], dtype=torch.float64), 1e-3, 0.01
    w, v = others.settled(one, f, eps, decay, torch.ones(2, dtype=torch.float64))
    x, y = torch.meshgrid(*2 * [torch.linspace(0, 2, 4001, dtype=torch.float64)], indexing="ij")
    q = x / (x * x + eps).sqrt()
    value = ((3 * y - 3) ** 2 + (y * q - 1) ** 2) / 2 + decay / 2 * (x * x + y * y)
    best = value.argmin()
    assert x.flatten()[best].item() == pytest.approx(w.item(), abs=2e-3)
    assert y.flatten()[best].item() == pytest.approx(v.item(), abs=1e-3)


def test_the_network_with_a_constant_unit_has_the_same_outputs():
    draw = torch.Generator().manual_seed(1)
    a, f = (torch.randn(*s, generator=draw, dtype=torch.float64) for s in ((5, 2), (5,)))
    problem = Biased((2, 3, 4, 1), a, f, 0.0)
    vector = torch.randn(9 + 16 + 5, generator=draw, dtype=torch.float64)
    assert torch.allclose(problem.enlarged(vector).outputs(), problem.output(vector))


def test_without_skips_the_paths_polynomial_is_the_product():
    norms = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    plain, block, all_of_them = (
        others.Skipping(skips, one, one[0]) for skips in (((), ()), ((), (0,)), ((0,), (0, 1)))
    )
    assert plain.growth(norms) == 30
    assert block.growth(norms) == 5 * (1 + 6)
    assert all_of_them.growth(norms) == 5 * (3 * 3 + 1 + 3)


@pytest.mark.parametrize(
    ("check", "name", "falsify"),
    [
        ("check_biases", "biased_bounds", lambda bounds: [x / 2 for x in bounds]),
        ("check_skips", "skip_bounds", lambda bounds: (0.98 * bounds[0], bounds[1])),
        ("check_epsilon", "at_zero", lambda both: tuple(1.01 * x for x in both)),
        ("check_batch_norm", "downward", lambda nu: 1.2 * nu),
    ],
)
def test_a_falsified_helper_is_noticed(check, name, falsify, monkeypatch):
    """Bounds that are too small, an eigenvalue too low, a Hessian one per cent too large."""
    helper = getattr(others, name)
    monkeypatch.setattr(others, name, lambda *at: falsify(helper(*at)))
    with pytest.raises(Unsound, match="violated"):
        getattr(others, check)(0)


def test_a_convolution_with_a_smaller_factor_is_noticed(monkeypatch):
    """The factor q is attained in the limit: a tenth less is too little."""
    bound = others.Convolutional.dense_bound
    monkeypatch.setattr(others.Convolutional, "dense_bound", lambda *at: 0.9 * bound(*at))
    with pytest.raises(Unsound, match="violated"):
        others.check_convolution(0)
