"""Clarke-critical points: that there are some of every kind, and that they are critical."""

import torch

from evidence.solvers.clarke import DECAY, clarke_points
from pscore.curvature import flatten


def test_there_are_points_of_every_depth_and_kind():
    for kind in ("one point", "smooth", "kink"):
        for H in (1, 2, 3):
            count = sum(
                part.points.size
                for part in clarke_points(0)
                if part.kind == kind and part.points.network.depth == H
            )
            assert count >= 5, (kind, H)


def test_kinks_have_zero_between_gradients_found_by_plain_automatic_differentiation():
    for part in clarke_points(0):
        if part.kind != "kink":
            continue
        network, W, a, f = part.points
        sides = []
        for step in (-1e-7, 1e-7):
            leaves = [w.clone() for w in W]
            leaves[0] = leaves[0] + step * a[:, :1].mT / a[:, :1].norm(dim=-1, keepdim=True)
            leaves = [w.requires_grad_() for w in leaves]
            x = a
            for k, w in enumerate(leaves):
                x = x @ w
                x = x.relu() if k < network.depth else x
            loss = (x[..., 0] - f).square().sum() / (2 * a.shape[1])
            loss = loss + DECAY / 2 * sum(w.square().sum() for w in leaves)
            sides.append(flatten(torch.autograd.grad(loss, leaves)))
        off, on = sides
        share = -(off * (on - off)).sum(-1) / (on - off).square().sum(-1)
        assert ((share > 0.05) & (share < 0.95)).all()
        nearest = off + share[:, None] * (on - off)
        assert (nearest.norm(dim=-1) < 1e-4 * (1 + on.norm(dim=-1))).all()
        assert (on.norm(dim=-1) > 1e-5).all()  # a kink: neither side is critical
