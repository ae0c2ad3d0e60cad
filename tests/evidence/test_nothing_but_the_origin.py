"""Nothing but the origin: its proof's identities, its equality cases, and each consequence."""

import numpy as np
import torch
from numpy.testing import assert_allclose

from evidence import nothing_but_the_origin as origin
from evidence.measures import norms_in_numpy
from evidence.solvers.clarke import mean_product
from evidence.solvers.critical import find_critical_points
from pscore.curvature import flatten
from pscore.instance import Instance
from pscore.loss import gradient
from pscore.network import ReLUNetwork


def test_the_minimum_on_a_kink_that_was_made_by_hand():
    a = torch.tensor([[0.0, 1.0], [2**-0.5, 2**-0.5]], dtype=torch.float64)
    f = torch.tensor([-1.0, 0.22 * 2**0.5], dtype=torch.float64)
    W = (torch.tensor([[0.2], [0.0]]).double(), torch.tensor([[0.2]]).double())
    W = tuple((10 * w).round() / 10 for w in W)
    stack = Instance(ReLUNetwork((2, 1, 1), False), tuple(w[None] for w in W), a[None], f[None])
    S = [list(stack.network.switches(stack.W, stack.a)) for _ in range(2)]
    S[1][0] = torch.ones_like(S[1][0])
    off, on = (flatten(gradient(*stack, 0.1, tuple(s)))[0] for s in S)
    assert_allclose(off, [0, -0.02, 0], atol=1e-12)
    assert_allclose(on, [0, 0.08, 0], atol=1e-12)
    assert_allclose(0.8 * off + 0.2 * on, 0, atol=1e-12)
    assert norms_in_numpy(stack)["data"][0] > 0.1
    assert_allclose(-mean_product(stack)[0], 0.1 * 0.2**2, atol=1e-12)


def test_one_data_point_exactly():
    network = ReLUNetwork((2, 1, 1, 1), False)
    start = tuple(torch.ones(1, *shape, dtype=torch.float64) for shape in network.shapes)
    a, f = torch.tensor([[[0.6, 0.8]]]).double(), torch.tensor([[2.0]]).double()
    W, slope = find_critical_points(network, start, a, f, 0.1)
    assert slope.item() < 1e-12 and flatten(W).norm() > 0.5
    kappa = norms_in_numpy(Instance(network, W, a, f))
    assert_allclose([kappa[x][0] for x in kappa], np.array([6, 2, 2, 2]) * 0.1, rtol=1e-7)


def test_eq_10_is_necessary_at_one_hidden_layer():
    network = ReLUNetwork((1, 2, 1), False)
    zero = [torch.zeros(shape).double() for shape in network.shapes]
    a, f = torch.ones(1, 1).double(), torch.full((1,), 0.3).double()
    for decay, inside in ((0.59, False), (0.61, True)):  # 2√2 r ℓ(0)^½ = 0.6
        assert origin.certify(network, zero, a, f, decay)["paper"].inside == inside
