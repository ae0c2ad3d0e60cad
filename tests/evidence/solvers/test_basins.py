"""Basins of two-layer networks, against points of them."""

import torch

from evidence.instances import random_planar
from evidence.solvers import basins
from pscore.loss import regularized_loss


def test_projection_into_a_cone_is_nearest():
    rays = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    points = torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    nearest = basins.into_cones(points, rays.expand(50, 2, 2))
    p = torch.rand(4000, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    distances = torch.cdist(points, 4 * p @ rays).min(1)[0]
    assert ((points - nearest).norm(dim=1) <= distances + 1e-12).all()
    assert (torch.linalg.solve(rays.mT, nearest.mT) >= -1e-12).all()


def test_basin_minimum_is_not_beaten_by_points_of_the_basin():
    network, W, a, f = random_planar(3, 200)
    at = basins.basins(W, a)
    least = basins.convex_loss(at, basins.basin_minimum(at, f, 0.05), f, 0.05)
    assert (regularized_loss(network, W, a, f, 0.05) >= least).all()
    assert torch.allclose(basins.outputs(at, at.u), network(W, a))
