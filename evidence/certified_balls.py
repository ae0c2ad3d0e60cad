"""Checks of the certificate of `pscore.exact.gauss_newton`: balls around minima that are not zero.

It is compared with float64 Hessians, computed from other code, at points of the balls.
"""

import math
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import normal, problem_stack, uniform, zero_weights
from evidence.solvers.smooth import (
    DECAY,
    DEEPER,
    ONE_LAYER,
    moved,
    reals,
    smooth_points,
    width_one_at,
)
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue
from pscore.exact.gauss_newton import BallCertificate, GaussNewton
from pscore.instance import Instance
from pscore.loss import gradient
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator


class CertifiedBall(NamedTuple):
    """A point next to a minimum, and the largest ball that was certified around it."""

    at: Instance
    around: GaussNewton
    ball: BallCertificate


NETWORKS = (((1, 1, 1), 1), *ONE_LAYER[:3], ((1, 1, 1, 1), 1), *DEEPER[:2])


@lru_cache(maxsize=4)
def certified_balls(seed: int) -> tuple[CertifiedBall, ...]:
    """Certify balls around the first two minima found of each network, H = 1 and H = 2."""
    result = []
    for setting in NETWORKS:
        points, _ = smooth_points(seed, *setting)
        minima = points.rows(least_eigenvalue(frozen_hessian(*points, DECAY)) > 1e-3)
        for at in (minima.one(t) for t in range(min(2, minima.size))):
            around = GaussNewton(*at, DECAY)
            ball = around.largest_ball(16)
            if ball.holds:
                result.append(CertifiedBall(at, around, ball))
    return tuple(result)


def directions(at: Instance, seed: int = 0) -> Tensor:
    """Return unit vectors in weight space.

    60 random ones, both ways along each eigenvector of the Hessian, and straight to each boundary.
    """
    vectors = torch.linalg.eigh(frozen_hessian(*at, DECAY))[1].mT
    anywhere = normal(torch_generator(seed, "shuffling"), 60, vectors.shape[-1])
    anywhere = anywhere / anywhere.norm(dim=-1, keepdim=True)
    return torch.cat([anywhere, vectors, -vectors, straight_to_boundaries(at)[1]])


def straight_to_boundaries(at: Instance) -> tuple[Tensor, Tensor]:
    """For each unit and data point: the distance to a switch, and the way there.

    Only that unit's weights move, along what feeds it; a lower layer stays as it is, and so the
    distance is exact on this way, and an upper bound of the shortest.

    Returns:
        distances ``(K,)`` and unit vectors in weight space ``(K, m)``.
    """
    x, distances, ways = at.a, [], []
    for layer, matrix in enumerate(at.W[:-1]):
        for fed in x[x.norm(dim=-1) > 0]:
            for unit, z in enumerate(fed @ matrix):
                step = zero_weights(at.network)
                step[layer][:, unit] = -z.sign() * fed / fed.norm()
                distances.append(z.abs() / fed.norm())
                ways.append(flatten(step))
        x = (x @ matrix).relu()
    return torch.stack(distances), torch.stack(ways)


def least_around(at: Instance, radius: float) -> tuple[Tensor, Tensor]:
    """The least eigenvalues at distance ``radius``, and whether the switches are those of W.

    Both by float64 code that the certificate does not use, in each of `directions`.
    """
    there, same = moved(at, radius * directions(at))
    return least_eigenvalue(frozen_hessian(*there, DECAY)), same


@claim(
    "certified-balls-ball",
    "a ball of strong convexity that holds exactly one critical point, a minimum",
    "certified",
    "Proved; its hypotheses are verified in ball arithmetic at each minimum shown.",
    hypotheses=(
        "the ball stays in the cell",
        "μ > L(ρ)ρ",
        "‖∇ℓ_λ(W)‖ < (μ − L(ρ)ρ/2)ρ",
    ),
    uses=("certified-balls-lipschitz", "certified-balls-cell"),
    variant="a radius ten times as large; L left out; a quarter of L in the last hypothesis",
    least=2100,
)
def check_balls(seed: int) -> Evidence:
    """Check the certified balls on their surface and inside, in float64.

    At distances 0.1, 0.5 and 1 of the radius, in each of `directions`: the switches are those of W,
    and the frozen Hessian's least eigenvalue is at least μ − L times the distance. The gradient of
    ``ℓ_λ`` points outward on the surface. A ball of ten times the radius, which the certificate
    refuses, is a counterexample where it has points with other switches or an eigenvalue that is
    not positive. Without L the ball would reach to the nearest switch, with eigenvalues of at least
    μ. The networks of `pulled` have a gradient just below what the last hypothesis allows, or just
    above; then there is no critical point in the ball. The margin is the fall of the eigenvalue
    over its bound, or the distance of the minimum over its own.
    """
    seen = Evidence()
    for at, around, ball in certified_balls(seed):
        for share in (0.1, 0.5, 1.0):
            distance = 0.999999 * share * ball.radius
            least, same = least_around(at, distance)
            low = least < ball.curvature - ball.lipschitz * distance - 1e-12
            fall = (ball.curvature - least) / (ball.lipschitz * distance)
            seen.add(len(least), wrong=~same | low, ratio=fall)
        u = directions(at)
        outward = (flatten(gradient(*moved(at, distance * u)[0], DECAY)) * u).sum(-1)
        seen.add(wrong=outward <= 0)
        least, same = least_around(at, 10 * ball.radius)
        widest, _ = least_around(at, 0.999 * around.cell_radius())
        too_far, too_low = bool((~same | (least <= 0)).any()), widest < 0.99 * ball.curvature
        refuted = too_far, too_low.any(), False
        seen.add(wrong=around.ball(10 * ball.radius).holds, refuted=refuted)
    draw = torch_generator(seed, "data")
    for share, part in product((0.5, 0.9), (0.98, 1.02)):
        for _ in range(20):
            ball, limits, distance = pulled(share, part, draw)
            met, inside = part < 1, distance <= ball.radius
            wrong = ball.holds != met or inside != met or (met and distance > ball.distance)
            quarter = not met and ball.gradient < limits[1] and not inside
            ratio = distance / ball.distance if met else None
            seen.add(1, wrong=wrong, refuted=(False, False, quarter), ratio=ratio)
    return seen


def pulled(
    share: float, part: float, draw: torch.Generator
) -> tuple[BallCertificate, tuple[float, float], float]:
    """Certify a ball around ``w = v``, a = 1, where a reference pulls with any force along (1, 1).

    The least curvature is in that direction, and falls in it as fast as L says, nearly.

    Args:
        share: ρ in units of ``μ/L(ρ)``.
        part: the gradient in units of ``(μ − Lρ/2) ρ``.
        draw: of w and λ.

    Returns:
        the certificate; ``(μ − Lρ/2) ρ``, and the same with a quarter for the half; and how far
        the nearest critical point on the line is, infinite if there is none.
    """
    s, decay = (0.5 + uniform(draw, 2)).tolist()
    mu, f = 0.02 * s**2, 2.98 * s**2 + decay
    at = width_one_at(1, s)._replace(f=reals(f))
    plain = GaussNewton(*at, decay)
    radius = 0.0
    for _ in range(40):
        L = float(plain.lipschitz(radius))
        radius = share * mu / L
    limits = ((mu - L * radius / 2) * radius, (mu - L * radius / 4) * radius)
    origin = s - (part * limits[0] / math.sqrt(2) - (s**2 - f) * s) / decay
    reference = tuple(torch.full_like(matrix, origin) for matrix in at.W)
    slope = np.poly1d([1.0, 0.0, decay - f, -decay * origin])  # by w = v, half of it
    steps = [math.sqrt(2) * (s - x.real) for x in slope.roots if abs(x.imag) < 1e-9]
    ball = GaussNewton(*at, decay, reference).ball(radius)
    return ball, limits, min((t for t in steps if t > 0), default=math.inf)


def random_points(seed: int, errors: float = 1.0) -> list[tuple[Instance, GaussNewton]]:
    """Draw random points of random networks, deep and shallow, no minima: one data set each."""
    result = []
    for number, widths in enumerate(((1, 1, 1), (2, 3, 1), (2, 2, 2, 1), (2, 2, 2, 2, 1))):
        network = ReLUNetwork(widths, output_relu=False)
        stack = problem_stack(network, 17 * seed + number, 2, 12)
        stack = stack._replace(f=errors * stack.f)
        result += [(at, GaussNewton(*at, DECAY)) for at in map(stack.one, range(12))]
    return result


def lipschitz_terms(at: Instance, radius: float) -> tuple[float, float]:
    """Return the two terms of L(ρ), of the squares and of the residuals, in NumPy."""
    norms = np.array([np.linalg.svd(matrix.numpy())[1][0] for matrix in at.W])
    s, layers = norms + radius, range(len(norms))

    def others(*left_out: int) -> float:
        return float(np.delete(s, left_out).prod()) if len({*left_out}) == len(left_out) else 0.0

    b = np.array([others(k) for k in layers])
    M = np.array([[others(j, k) for k in layers] for j in layers])
    T = np.array([[[others(j, k, m) for m in layers] for k in layers] for j in layers])
    a, e = (x.norm(dim=-1).numpy() for x in (at.a, at.residuals().unsqueeze(-1)))
    moved = e + a * (s.prod() - norms.prod())
    squares = 3 * (a**2).mean() * np.linalg.norm(b) * M.sum(1).max()
    return float(squares), float((moved * a).mean() * np.linalg.norm(T.sum(2).max(1)))


@claim(
    "certified-balls-lipschitz",
    "a Lipschitz constant of the frozen Hessian on a ball, from the layers' norms",
    "certified",
    "Proved; at H = 1 and width one nothing smaller would do.",
    hypotheses=("switches held at values in [−1, 1]",),
    variant="1 in place of the factor 3; or without the residuals' term",
    least=2880,
)
def check_lipschitz(seed: int) -> Evidence:
    """Check L against differences of frozen Hessians, computed in float64, at random points.

    The switches are held, so any radius will do: 0.001, 0.1 and 1. For each, the Hessian's change
    over the distance, in the operator norm, in random directions and in the one that changes all
    layers alike; for residuals of order one, and for large ones, which make the second term count.
    L by the certificate is compared with its two terms in NumPy. The margin is the change over the
    bound; at H = 1 and width one it comes near 1.
    """
    seen = Evidence()
    for at, around in (*random_points(seed), *random_points(seed, errors=100.0)):
        start, S = flatten(at.W), at.switches()
        X = normal(torch_generator(seed, "shuffling"), 8, len(start))
        X = torch.cat([start[None], torch.ones_like(start)[None], X])
        X = X / X.norm(dim=-1, keepdim=True)
        here = frozen_hessian(*at, DECAY, S)
        for radius in (0.001, 0.1, 1.0):
            there = frozen_hessian(*moved(at, radius * X)[0], DECAY, S)
            change = torch.linalg.matrix_norm(there - here, 2) / radius
            squares, residuals = lipschitz_terms(at, radius)
            bound = squares + residuals
            wrong = change > bound * (1 + 1e-9) + 1e-8
            wrong |= abs(float(around.lipschitz(radius)) / bound - 1) > 1e-8
            low = change > squares / 3 + residuals + 1e-8, change > squares + 1e-8
            seen.add(len(X), wrong=wrong, refuted=low, ratio=change / bound)
    return seen


@claim(
    "certified-balls-cell",
    "a radius within which no switch changes",
    "certified",
    "Proved; exact for one hidden layer.",
    hypotheses=("no activation's input is 0, but where nothing feeds it",),
    variant="a radius ten times as large",
    least=1760,
)
def check_cell(seed: int) -> Evidence:
    """Check that no switch changes within the radius that is certain to stay in the cell.

    Random points of random networks; switches by the network itself, at that radius in random
    directions and straight towards each boundary. The margin is the radius over the distance to
    the nearest boundary on these ways; 1 at H = 1, where the bound is exact.
    """
    seen = Evidence()
    for at, around in random_points(seed):
        radius = around.cell_radius()
        distances, ways = straight_to_boundaries(at)
        X = normal(torch_generator(seed, "shuffling"), 40, ways.shape[-1])
        X = torch.cat([X / X.norm(dim=-1, keepdim=True), ways])
        same, farther = (moved(at, factor * radius * X)[1] for factor in (0.999999, 10.0))
        seen.add(len(X), wrong=~same, refuted=~farther.all(), ratio=radius / distances.min())
    return seen
