"""Minima with one hidden layer: closed forms and counterexamples."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import decays, tensors

from evidence import strong_minima as strong
from evidence.claims import Unsound
from evidence.solvers.exact import correlation
from evidence.solvers.smooth import DECAY, ONE_LAYER, smooth_points
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue
from pscore.instance import Instance
from pscore.loss import gradient, regularized_loss
from pscore.network import ReLUNetwork


def test_points_are_critical_to_1e_10_and_of_every_rank():
    ranks = set()
    for setting in ONE_LAYER:
        points, kept = smooth_points(0, *setting)
        assert int(kept.sum()) == points.size
        assert flatten(gradient(*points, DECAY)).norm(dim=-1).max() < 1e-10
        ranks |= {(setting[0][1], r) for r in strong.units_of(points).rank.tolist()}
    assert {(1, 1), (2, 1), (2, 2), (3, 1), (3, 2)} <= ranks


def test_distinct_cells_are_distinct_and_flat():
    at = strong.distinct_cells()
    torch.testing.assert_close(at.outputs(), torch.tensor([0.55, 0.65], dtype=torch.float64))
    values = torch.linalg.eigvalsh(frozen_hessian(*at, 0.1))
    assert values[0].abs() < 1e-15
    assert values[1].item() == pytest.approx(0.0445, abs=5e-5)
    assert values[2].item() == pytest.approx(0.1)


def test_kink_from_both_sides():
    """One-sided slopes by difference quotients, which know nothing of switches."""
    at = strong.kink()
    here = regularized_loss(*at, 0.1).item()
    for side, slope in ((1e-6, 0.08), (-1e-6, 0.02)):
        first = torch.tensor([[0.2], [side]], dtype=torch.float64)
        there = regularized_loss(*at.at((first, at.W[1])), 0.1).item()
        assert (there - here) / abs(side) == pytest.approx(slope, rel=1e-3)


def test_a_kink_that_is_none_is_noticed(monkeypatch):
    """With the unit turned away from the boundary there are no two pieces, and no minimum."""
    at = strong.kink()
    turned = at.at((torch.tensor([[0.2], [0.01]]).double(), at.W[1]))
    monkeypatch.setattr(strong, "kink", lambda: turned)
    with pytest.raises(Unsound, match="violated"):
        strong.check_kink(seed=2)


def test_misleading_hessian_is_positive_definite():
    assert least_eigenvalue(frozen_hessian(*strong.idle_unit(), 0.1)) > 0.09


@given(
    st.lists(st.floats(0.1, 3.0), min_size=3, max_size=3),
    st.floats(0.1, 3.0),
    st.floats(0.1, 3.0),
    st.floats(0, 2 * math.pi),
    decays,
)
def test_three_cells_are_flat_however_drawn(p, first, second, angle, decay):
    """The family of `crossing`, drawn number by number, with any λ."""
    turn = torch.tensor([angle, angle + 2 * math.pi / 3], dtype=torch.float64)
    unit = torch.stack([turn.cos(), turn.sin()], dim=-1)
    length = torch.tensor([first, second], dtype=torch.float64)
    root = torch.tensor(p, dtype=torch.float64).sqrt()
    u = torch.cat([unit, unit.sum(0, keepdim=True)]).mT
    network, a = ReLUNetwork((2, 3, 1), output_relu=False), unit * length[:, None]
    W = (u * root, root[:, None])
    f = network(W, a) + 2 * decay / length
    assert flatten(gradient(network, W, a, f, decay)).norm() < 1e-12 * (1 + decay) * 10
    values = torch.linalg.eigvalsh(frozen_hessian(network, W, a, f, decay))
    assert values[0].abs() < 1e-9 * values[-1]
    assert values[1] > 1e-9 * values[-1]


def test_the_squares_miss_a_point_that_is_not_critical():
    at = strong.crossing(0)
    off = at.at((at.W[0], 1.1 * at.W[1]))
    for point, equal in ((at, True), (off, False)):
        gap = strong.sum_of_squares(point) - frozen_hessian(*point, DECAY)
        assert bool((gap.abs() < 1e-9).all()) == equal


def test_the_polytope_ends_where_a_unit_is_zero():
    at = strong.crossing(0)
    end, far = strong.along_polytope(at, 1.0)
    assert (strong.units_of(end).size.amin(-1) < 1e-7).all() and (far > 0).all()
    assert (strong.units_of(strong.along_polytope(at, 0.5)[0]).size > 0.1).all()


@given(st.integers(1, 4), st.data())
def test_the_strongest_pull_is_the_exact_one(points, data):
    at = Instance(
        ReLUNetwork((2, 1, 1), output_relu=False),
        (torch.zeros(1, 2, 1).double(), torch.zeros(1, 1, 1).double()),
        data.draw(tensors(1, points, 2)),
        data.draw(tensors(1, points)),
    )
    pull, u = strong.strongest_pull(at)
    e = at.residuals()[0]
    assert pull.abs().item() == pytest.approx(correlation(at.a[0], e), rel=1e-9, abs=1e-12)
    there = (e * (at.a[0] @ u[0]).relu()).mean()
    assert there.item() == pytest.approx(pull.item(), rel=1e-9, abs=1e-12)


def test_wide_networks_end_on_kinks_without_zero_neurons_too():
    kinds = set()
    for setting in strong.WIDE:
        ends, _ = strong.wide_ends(0, *setting)
        zero = (ends.W[0].norm(dim=-2) == 0).any(-1)
        z = (ends.a @ ends.W[0]).abs()
        kink = ((z < 1e-8) & (ends.W[0].norm(dim=-2) > 0).unsqueeze(1)).flatten(1).any(-1)
        kinds |= set(zip(zero.tolist(), kink.tolist(), strict=True))
    assert {(False, True), (False, False), (True, False)} <= kinds
