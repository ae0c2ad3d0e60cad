"""Gradient ascents: to equality in Lemma 3, and to the λ below which a network beats zero."""

import torch
from torch import Tensor

from evidence.instances import random_stack
from evidence.measures import both_sides, kappas
from evidence.solvers.exact import escape_threshold
from pscore.curvature import frozen_hessian, least_eigenvalue
from pscore.descent import initialize
from pscore.instance import Instance
from pscore.network import ReLUNetwork


def maximise_ratio(
    H: int, seed: int, starts: int = 32, steps: int = 150
) -> tuple[Tensor, Instance]:
    """Search for weights, inputs and targets where Lemma 3 is as near to equality as it gets.

    Gradient ascent with momentum, in steps of a length that shrinks to 0, from ``starts`` random
    instances of width 2 at once, on the ratio of minus the Hessian's least eigenvalue to the
    paper's bound, over W, the inputs, the targets and a scale of the weights. Switches are free to
    change on the way.

    Returns:
        the ratio where each start ended, recomputed from values of φ, and the instances.
    """
    network = ReLUNetwork((2,) * (H + 1) + (1,), output_relu=False)
    first = random_stack(network, seed, starts, points=2, spread=0.5)
    scale = torch.zeros(starts, 1, 1, dtype=torch.float64)  # its logarithm
    parts = (*(W.abs() for W in first.W), first.a.abs(), first.f, scale)  # every unit is on
    shapes, sizes = [x.shape[1:] for x in parts], [x[0].numel() for x in parts]
    point = torch.cat([x.flatten(1) for x in parts], dim=-1).requires_grad_()

    def instance() -> Instance:
        pieces = zip(point.split(sizes, dim=-1), shapes, strict=True)
        *W, a, f, scale = (piece.unflatten(-1, shape) for piece, shape in pieces)
        return Instance(network, [scale.exp() * matrix for matrix in W], a, f)

    velocity = torch.zeros_like(point)
    for step in range(steps):
        at = instance()
        ratio = -least_eigenvalue(frozen_hessian(*at)) / kappas(at)["paper"]
        slope = torch.autograd.grad(ratio.sum(), point)[0]
        velocity = 0.8 * velocity + torch.nn.functional.normalize(slope, dim=-1)
        point.data += 0.1 * (1 - step / steps) * velocity
    point.requires_grad_(False)
    at = instance()
    downward, kappa = both_sides(at)
    return downward / kappa["paper"], at


def searched_threshold(
    network: ReLUNetwork, a: Tensor, f: Tensor, *, starts: int = 40, steps: int = 150
) -> float:
    """Return the largest `escape_threshold` that gradient ascents find; λ* is no smaller.

    Args:
        network: the architecture, with a scalar output.
        a: inputs ``(N, n_0)``.
        f: targets ``(N,)``.
        starts: how many ascents.
        steps: of Adam, in the logarithm of the threshold.
    """
    leaves = [w.requires_grad_() for w in initialize(network, range(starts))]
    optimizer = torch.optim.Adam(leaves, lr=0.03)
    best = 0.0
    for _ in range(steps + 1):
        t = escape_threshold(network, leaves, a, f)
        best = max(best, t.max().item())
        optimizer.zero_grad()
        t.clamp(min=1e-9).log().sum().neg().backward()
        for w in leaves:
            w.grad.nan_to_num_()
        optimizer.step()
    return best
