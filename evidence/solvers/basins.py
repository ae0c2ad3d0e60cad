"""Basins of two-layer networks: the cells of weight space, and the least value of each."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pscore.network import Weights


class Basins(NamedTuple):
    """A basin for each of T networks of one hidden layer, two inputs and no output ReLU.

    It is the set of weights with given switches of all units at all data, and given signs of the
    output weights. There the network is linear in ``u_j = |v_j| w_j``.

    Attributes:
        maps: ``(T, n_1, N, 2)``; the outputs are the sum over j of ``maps_j u_j``.
        rays: ``(T, n_1, 2, 2)``, unit vectors along the two edges of the cone of each ``w_j``.
        signs: of the output weights, ``(T, n_1)``.
        u: the point of the cones that the network's own weights give, ``(T, n_1, 2)``.
    """

    maps: Tensor
    rays: Tensor
    signs: Tensor
    u: Tensor


def basins(W: Weights, a: Tensor) -> Basins:
    """Return the basin of each network of a stack, for inputs ``(N, 2)`` that span the plane."""
    w, v = W[0].mT, W[1][..., 0]
    on = (w @ a.mT > 0).to(w)
    turned = torch.stack([-a[:, 1], a[:, 0]], dim=-1)
    edges = torch.cat([turned, -turned])
    angles, order = torch.atan2(edges[:, 1], edges[:, 0]).sort()
    edges = functional.normalize(edges[order])
    after = torch.searchsorted(angles, torch.atan2(w[..., 1], w[..., 0]).contiguous())
    rays = torch.stack([edges[after - 1], edges[after % len(edges)]], dim=-2)
    maps = v.sign()[..., None, None] * on[..., None] * a
    return Basins(maps, rays, v.sign(), v.abs()[..., None] * w)


def outputs(at: Basins, u: Tensor) -> Tensor:
    """Return the networks' outputs ``(T, N)`` at points u of the cones."""
    return torch.einsum("tjnk,tjk->tn", at.maps, u)


def convex_loss(at: Basins, u: Tensor, f: Tensor, weight_decay: float) -> Tensor:
    """Return ``G(u) = ½ mean (y − f)² + λ Σ ‖u_j‖``, the least ``ℓ_λ`` of weights with this u."""
    error = (outputs(at, u) - f).square().mean(-1) / 2
    return error + weight_decay * u.norm(dim=-1).sum(-1)


def into_cones(x: Tensor, rays: Tensor) -> Tensor:
    """Return the nearest points of cones in the plane, each narrower than a half-plane."""
    p = torch.linalg.solve(rays.mT, x)
    along = (rays @ x[..., None])[..., 0].clamp(min=0)
    first = along[..., :1] >= along[..., 1:]
    edge = torch.where(first, along[..., :1] * rays[..., 0, :], along[..., 1:] * rays[..., 1, :])
    return torch.where((p >= 0).all(-1, keepdim=True), x, edge)


def basin_minimum(at: Basins, f: Tensor, weight_decay: float, steps: int = 150) -> Tensor:
    """Return nearly the minimiser u of G over each basin, by accelerated proximal gradient steps.

    Projecting on the cone and then shrinking is the proximal map of the two together.
    """
    N = at.maps.shape[-2]
    rate = N / torch.linalg.matrix_norm(at.maps.transpose(1, 2).flatten(2), ord=2).square()
    rate = rate.clamp(max=1e6)[:, None, None]
    u = ahead = torch.zeros_like(at.u)
    momentum = 1.0
    for _ in range(steps):
        e = outputs(at, ahead) - f
        slope = torch.einsum("tjnk,tn->tjk", at.maps, e) / N
        new = into_cones(ahead - rate * slope, at.rays)
        length = new.norm(dim=-1, keepdim=True).clamp(min=1e-300)
        new = new * (1 - rate * weight_decay / length).clamp(min=0)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = new + (momentum - 1) / following * (new - u)
        u, momentum = new, following
    return u
