"""The certificate that keeps the squares."""

import inspect
import textwrap

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import decays, scales, tensors

from evidence import certified_balls as checks
from evidence import deeper_minima as deeper
from evidence.claims import Unsound
from evidence.solvers.smooth import moved, width_one_at
from pscore.curvature import frozen_hessian
from pscore.exact import gauss_newton
from pscore.exact.gauss_newton import GaussNewton
from pscore.instance import Instance
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator


@given(st.integers(1, 3), st.floats(0.02, 0.9), scales)
def test_width_one_minima_are_certified_and_saddles_are_not(H, share, size):
    """With a = f = 1, scaled; the certificate knows nothing of the closed form."""
    decay = share * deeper.fold(H)
    *saddle, minimum = deeper.width_one_roots(H, decay)
    scale = size ** (1 / (H + 1))  # f → cf, W → c^{1/(H+1)} W, λ → c^{2H/(H+1)} λ
    decay *= scale ** (2 * H)

    def around(rho):
        at = width_one_at(H, rho * scale)
        return GaussNewton(*at._replace(f=size * at.f), decay)

    ball = around(minimum).largest_ball(30)
    assert ball.holds
    assert 0 < ball.convexity < ball.curvature
    assert ball.radius < minimum * scale
    assert not any(around(rho).ball(1e-6).holds for rho in saddle)


@given(st.data(), decays)
def test_drawn_points_keep_switches_and_curvature(data, decay):
    network = ReLUNetwork((2, 2, 2, 1), output_relu=False)
    W = tuple(data.draw(tensors(*shape)) for shape in network.shapes)
    a, f = data.draw(tensors(2, 2)), data.draw(tensors(2))
    around = GaussNewton(network, W, a, f, decay)
    radius = around.cell_radius(steps=12)
    X = data.draw(tensors(network.parameter_count))
    if radius == 0 or X.norm() == 0:
        return
    at = Instance(network, W, a, f)
    there, same = moved(at, (0.999 * radius * X / X.norm())[None])
    assert same.all()
    change = frozen_hessian(*there.one(0), decay) - frozen_hessian(*at, decay)
    bound = float(around.lipschitz(radius).upper()) * radius
    assert torch.linalg.matrix_norm(change, 2) <= bound * (1 + 1e-9) + 1e-9


def test_the_way_to_a_boundary_ends_there():
    at, _ = checks.random_points(0)[-1]
    distances, ways = checks.straight_to_boundaries(at)
    for factor, same in ((1 - 1e-9, True), (1 + 1e-9, False)):
        stays = moved(at, factor * distances.min() * ways)[1]
        assert bool(stays[distances.argmin()]) == same


def test_the_pull_of_a_reference_is_along_one_line():
    """The certificate's μ, and its gradient, are what `pulled` set out to make."""
    ball, limits, distance = checks.pulled(0.9, 0.98, torch_generator(3, "data"))
    assert ball.holds and ball.gradient == pytest.approx(0.98 * limits[0], rel=1e-6)
    assert 0.5 * ball.radius < distance < ball.distance < ball.radius


@pytest.mark.parametrize("wrong", ["L * radius / 4, self", "L * radius, self"])
def test_another_constant_in_the_last_hypothesis_is_noticed(monkeypatch, wrong):
    source = inspect.getsource(gauss_newton.GaussNewton.ball)
    assert "L * radius / 2, self" in source
    scope = dict(vars(gauss_newton))
    exec(textwrap.dedent(source).replace("L * radius / 2, self", wrong), scope)
    monkeypatch.setattr(gauss_newton.GaussNewton, "ball", scope["ball"])
    with pytest.raises(Unsound, match="violated"):
        checks.check_balls(seed=0)
