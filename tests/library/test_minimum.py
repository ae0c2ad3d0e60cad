"""Minima on kinks: what is proved of them, and twenty points that have to be refused."""

import dataclasses

import numpy as np
import pytest
import torch

from evidence.proved_minima import DECAY, proved_minima
from pscore.exact import certify_minimum, finish
from pscore.exact.minimum import Minimum
from pscore.exact.problem import checked_problem, kernel, solve
from pscore.loss import gradient, regularized_loss
from pscore.network import ReLUNetwork

DOUBLE = {"dtype": torch.float64}


@pytest.fixture(scope="module")
def minima():
    found = proved_minima(5)
    assert any(len(one.proof.kinks) for one in found)
    return found


@pytest.fixture(scope="module")
def on_kinks(minima):
    """A ReLU network at a minimum with kinks, one output."""
    fitting = (one for one in minima if len(one.proof.kinks) and one.at.network.widths[-1] == 1)
    return next(one for one in fitting if not one.at.network.negative_slope)


def certify(one, W=None, decay=DECAY, **options):
    at = one.at
    return certify_minimum(at.network, at.W if W is None else W, at.a, at.f, decay, **options)


def one_unit(w, v, decay=0.25):
    """One weight each, a = f = 1: φ = (wv − 1)²/2 + λ(w² + v²)/2, least at w = v = √(1 − λ)."""
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    W = (torch.tensor([[w]], **DOUBLE), torch.tensor([[v]], **DOUBLE))
    return certify_minimum(network, W, torch.ones(1, 1, **DOUBLE), torch.ones(1, **DOUBLE), decay)


def test_the_minimum_of_one_unit_is_the_one_that_is_known():
    proof = one_unit(0.86, 0.87)
    assert proof.holds and len(proof.kinks) == 0 and proof.margin == float("inf")
    exact = 0.75**0.5
    assert abs(proof.weights[0].item() - exact) <= proof.distance + 1e-15
    # Eigenvalues 2(1 − λ) + λ ± …: w² + λ = 1 on the diagonal, 2wv − 1 = 1/2 off it.
    assert proof.growth == pytest.approx(0.25) and proof.radius < exact
    assert proof.loss[0] <= 0.25 - 0.03125 <= proof.loss[1]
    assert proof.loss[1] - proof.loss[0] < 1e-12


def test_the_derivatives_are_those_of_the_loss(on_kinks):
    problem, x = checked_problem(*on_kinks.at, DECAY)
    at = on_kinks.at
    assert problem.loss(x) == pytest.approx(regularized_loss(*at, DECAY).item(), rel=1e-14)
    x = x + 1e-3  # off the kinks
    W, V = problem.split(x)
    z, _, G, _ = problem.derivatives(x, problem.a @ W > 0)
    expected = gradient(at.network, (torch.from_numpy(W), torch.from_numpy(V)), at.a, at.f, DECAY)
    np.testing.assert_allclose(G, torch.cat([g.flatten() for g in expected]).numpy(), atol=1e-13)
    step = 1e-6 * np.random.default_rng(0).normal(size=len(x))
    here, there = (problem.derivatives(y, z > 0) for y in (x, x + step))
    np.testing.assert_allclose(there[2] - here[2], here[3] @ step, atol=1e-10)
    assert problem.slope_along(x, z > 0, step, 0.0) == pytest.approx(G @ step, rel=1e-9)


def test_balls_hold_what_floats_compute(minima):
    for one in minima[::5]:
        problem, x = checked_problem(*one.at, DECAY)
        at = solve(problem, x, [(int(i), int(j)) for i, j in one.proof.kinks])
        point = Minimum(at).at
        _, e, gradient_, hessian = problem.derivatives(at.x, at.on)
        for mine, theirs in ((point.e, e), (point.hessian(1, 0), hessian)):
            middle = np.array([[float(value.mid()) for value in row] for row in mine])
            np.testing.assert_allclose(middle, theirs, atol=1e-12)
        middle = [float(value.mid()) for value in point.gradient]
        np.testing.assert_allclose(middle, gradient_, atol=1e-12)
        basis, A = kernel(problem, at.kinks), problem.normals(at.kinks)
        np.testing.assert_allclose(A @ basis, 0, atol=1e-12)
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-12)


def test_finish_never_rises_and_ends_where_descent_goes(on_kinks):
    generator = torch.Generator().manual_seed(3)
    W = [w + 0.05 * torch.randn(w.shape, generator=generator, **DOUBLE) for w in on_kinks.at.W]
    before = regularized_loss(on_kinks.at.network, W, on_kinks.at.a, on_kinks.at.f, DECAY)
    end = finish(on_kinks.at.network, W, on_kinks.at.a, on_kinks.at.f, DECAY)
    assert end.solved and end.loss <= before.item()
    assert certify(on_kinks, end.weights).holds


def test_what_is_asked_for_is_proved_up_to_the_least_eigenvalue(on_kinks):
    most = 2 * on_kinks.proof.growth
    assert certify(on_kinks, growth=0.9 * most).holds
    refused = certify(on_kinks, growth=1.01 * most)
    assert not refused.holds and "too small for the growth" in refused.reason


def test_more_growth_takes_a_smaller_ball(minima):
    radii = [
        (one.proof.radius, certify(one, growth=1.96 * one.proof.growth).radius) for one in minima
    ]
    assert all(tight <= wide * (1 + 1e-9) for wide, tight in radii)
    assert any(tight < 0.9 * wide for wide, tight in radii)


def test_float32_weights_are_what_they_are(on_kinks):
    rounded = tuple(W.float() for W in on_kinks.at.W)
    proof = certify(on_kinks, rounded)
    assert proof.holds and 0 < proof.moved < 1e-5


# ---- what has to be refused: the point, and the words that say why -----------------------------


def moved(one, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [w + size * torch.randn(w.shape, generator=generator, **DOUBLE) for w in one.at.W]


def with_unit(one, column, row):
    """The network with a further unit, and the weights for it."""
    (d, n, o), (W, V) = one.at.network.widths, one.at.W
    network = ReLUNetwork((d, n + 1, o), output_relu=False)
    return network, (torch.cat([W, column[:, None]], 1), torch.cat([V, row[None]]))


def split_in_two(one):
    """A unit as two that share its work: flat, since the shares may move."""
    (W, V), half = one.at.W, 0.5**0.5
    network, _ = with_unit(one, W[:, 0], V[0])
    first, last = W.clone(), V.clone()
    first[:, 0], last[0] = half * W[:, 0], half * V[0]
    return network, (torch.cat([first, first[:, :1]], 1), torch.cat([last, last[:1]]))


POINTS = {
    "a random point": lambda one: (moved(one, 1.0), {}),
    "a point not far away, without a try at its kinks": lambda one: (
        moved(one, 1e-3),
        {"near": (1e-9,)},
    ),
    "one weight corrupted": lambda one: (
        (one.at.W[0] + torch.eye(*one.at.W[0].shape, **DOUBLE), one.at.W[1]),
        {},
    ),
    "a sign corrupted": lambda one: ((one.at.W[0], -one.at.W[1]), {}),
    "the layers scaled against each other": lambda one: (
        (1.5 * one.at.W[0], one.at.W[1] / 1.5),
        {"near": (1e-9,)},
    ),
    "a kink not held": lambda one: (one.at.W, {"near": (0.0,)}),
    "too much held": lambda one: (one.at.W, {"near": (0.5,)}),
    "everything held": lambda one: (one.at.W, {"near": (100.0,)}),
    "more growth than there is": lambda one: (one.at.W, {"growth": 5.0}),
    "the origin": lambda one: (tuple(0 * w for w in one.at.W), {}),
    "a unit set to zero": lambda one: (
        (one.at.W[0] * torch.eye(one.at.W[0].shape[1], **DOUBLE)[0], one.at.W[1]),
        {},
    ),
    "another weight decay": lambda one: (one.at.W, {"decay": 2 * DECAY, "near": (1e-9,)}),
    "hardly any weight decay": lambda one: (one.at.W, {"decay": 1e-12, "near": (1e-9,)}),
}


# From these Newton's method may find its way to a minimum; the certificate says how far that was.
FOUND_AGAIN = {
    "a random point",
    "a sign corrupted",
    "one weight corrupted",
    "the layers scaled against each other",
    "another weight decay",
}


@pytest.mark.parametrize("name", POINTS)
def test_points_that_are_no_minimum_are_refused_with_the_reason(on_kinks, name):
    W, options = POINTS[name](on_kinks)
    proof = certify(on_kinks, W, **options)
    if proof.holds:
        assert proof.moved > 1e-4, proof
        assert name in FOUND_AGAIN
        return
    assert proof.reason and proof.radius == proof.growth == 0 and proof.distance == float("inf")


def test_saddles_are_refused():
    assert "is zero" in one_unit(1e-9, 1e-9, decay=0.5).reason
    assert not one_unit(1.0, 1.0, decay=1.0).holds  # the fold, where the minimum ends


def test_a_flat_pair_of_units_is_refused_by_name(on_kinks):
    network, W = split_in_two(on_kinks)
    proof = certify_minimum(network, W, on_kinks.at.a, on_kinks.at.f, DECAY)
    assert not proof.holds and "are parallel" in proof.reason


def test_a_dead_unit_is_refused_by_name(on_kinks):
    zero = torch.zeros(1, **DOUBLE)
    network, W = with_unit(on_kinks, zero.expand(on_kinks.at.W[0].shape[0]), zero)
    proof = certify_minimum(network, W, on_kinks.at.a, on_kinks.at.f, DECAY)
    assert proof.reason.startswith(f"unit {on_kinks.at.W[0].shape[1]} is zero: leave it out")


def test_a_multiplier_on_its_bound_is_refused(on_kinks):
    """The target of a kink's data point is moved until its residual, and so c, is zero."""
    problem, x = checked_problem(*on_kinks.at, DECAY)
    at = solve(problem, x, [(int(i), int(j)) for i, j in on_kinks.proof.kinks])
    e = problem.derivatives(at.x, at.on)[1]
    f = on_kinks.at.f.clone()
    f[at.kinks[0][0]] += torch.from_numpy(e[at.kinks[0][0]])[0]
    proof = certify_minimum(on_kinks.at.network, on_kinks.at.W, on_kinks.at.a, f, DECAY)
    assert not proof.holds


def test_a_kink_a_hair_away_is_seen(on_kinks):
    """A data point is added whose input to a unit is 1e-14: no ball decides its sign."""
    at, w = on_kinks.at, on_kinks.at.W[0][:, 0]
    across = torch.zeros_like(w)
    across[:2] = torch.stack([-w[1], w[0]])
    a = torch.cat([at.a, across[None] + 1e-14 * w / (w @ w)])
    y = at.network(at.W, a[-1:])
    proof = certify_minimum(at.network, at.W, a, torch.cat([at.f, y.reshape(1)]), DECAY)
    assert not proof.holds


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"network": ReLUNetwork((2, 2, 2, 1), output_relu=False)}, "one hidden layer"),
        ({"network": ReLUNetwork((2, 2, 1))}, "no ReLU on the output"),
        ({"weight_decay": 0.0}, "weight_decay must be positive"),
        ({"weight_decay": -1.0}, "weight_decay"),
        ({"growth": 0.0}, "growth must be positive"),
        ({"weights": (torch.ones(3, 2, 2), torch.ones(3, 2, 1))}, "one network's"),
        ({"weights": (torch.full((2, 2), float("nan")), torch.ones(2, 1))}, "weights"),
        ({"inputs": torch.ones(4, 3)}, "inputs"),
        ({"targets": torch.ones(5)}, "targets"),
    ],
)
def test_bad_input_is_named(change, words):
    given = {
        "network": ReLUNetwork((2, 2, 1), output_relu=False),
        "weights": (torch.eye(2), torch.ones(2, 1)),
        "inputs": torch.ones(4, 2),
        "targets": torch.ones(4),
        "weight_decay": 0.5,
    } | change
    with pytest.raises(ValueError, match=words):
        certify_minimum(**given)


def test_a_certificate_can_not_be_altered(on_kinks):
    with pytest.raises(dataclasses.FrozenInstanceError):
        on_kinks.proof.holds = False
