"""Differentiable critical points without zero neurons, and what their checks share."""

from functools import lru_cache

import torch
from torch import Tensor

from evidence.instances import problem_stack
from evidence.solvers.critical import critical_points, downhill, has_idle_unit
from pscore.curvature import flatten, unflatten
from pscore.instance import Instance
from pscore.network import ReLUNetwork

DECAY = 0.05
ONE_LAYER = (((2, 1, 1), 2), ((2, 2, 1), 2), ((2, 2, 1), 3), ((2, 3, 1), 2), ((2, 3, 1), 3))
DEEPER = (((2, 1, 1, 1), 2), ((2, 2, 2, 1), 2), ((2, 1, 1, 1, 1), 2), ((2, 2, 2, 2, 1), 2))


@lru_cache(maxsize=16)
def smooth_points(seed: int, widths: tuple[int, ...], points: int) -> tuple[Instance, Tensor]:
    """Look for differentiable critical points without zero neurons from 220 starts.

    For one hidden layer all starts, otherwise half of them, are led towards a minimum first.
    Returned are the points, each with data of its own, and which of the starts led to them.
    """
    starts = problem_stack(ReLUNetwork(widths, output_relu=False), seed, points, 220)
    led = torch.arange(220) % min(starts.network.depth, 2) == 0
    ends = critical_points(downhill(starts, DECAY, led=led), DECAY, steps=25, tolerance=1e-5)
    busy = ~has_idle_unit(ends.points)
    return ends.points.rows(busy), ends.kept.masked_scatter(ends.kept, busy)


def reals(*rows: object) -> Tensor:
    """Return numbers as a tensor of float64."""
    return torch.tensor(rows, dtype=torch.float64)


def width_one_at(H: int, norm: float) -> Instance:
    """Return a network of width one with all weights χ, and a = f = 1."""
    one = torch.ones(1, 1, dtype=torch.float64)
    return Instance(ReLUNetwork((1,) * (H + 2), False), (norm * one,) * (H + 1), one, one[0])


def moved(at: Instance, steps: Tensor) -> tuple[Instance, Tensor]:
    """Go the steps ``(T, m)`` from W, and say at which ends the switches are those of W."""
    there = at.at(unflatten(at.network, flatten(at.W) + steps))
    same = [
        (S == T).flatten(1).all(-1) for S, T in zip(there.switches(), at.switches(), strict=True)
    ]
    return there, torch.stack(same).all(0)
