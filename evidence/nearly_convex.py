r"""Checks of what is nearly convex: x²y², two functions convex along their paths, the pieces of U.

Derivatives of functions of the plane come from exact stencils or automatic differentiation, the
formulas that they are held against from the statements.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import brentq
from torch import Tensor
from torch.func import grad, jacrev, vmap

from evidence.claims import Evidence, claim
from evidence.instances import normal, random_stack, uniform
from evidence.measures import TOLERANCE, kappas
from pscore.curvature import curvature_along
from pscore.instance import Instance
from pscore.loss import regularized_loss, squared_norm
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import rng, torch_generator

Scalar = Callable[[Tensor], Tensor]


def derivatives(f: Scalar, z: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradients ``(T, n)`` and Hessians ``(T, n, n)`` of a function at points ``(T, n)``."""
    return vmap(grad(f))(z), vmap(jacrev(grad(f)))(z)


# ---- f(w, v) = w²v², in fractions ----------------------------------------------------------------

Pair = tuple[Fraction, Fraction]


UNITS: tuple[Pair, Pair] = (Fraction(1), Fraction(0)), (Fraction(0), Fraction(1))


def square(w: Fraction, v: Fraction) -> Fraction:
    """Return ``w² v²``, the response's example."""
    return w * w * v * v


def along(f: Callable[[Fraction, Fraction], Fraction], at: Pair, X: Pair) -> Pair:
    """Return the first and second derivative of ``t ↦ f(at + tX)`` at 0.

    By five values, which is exact for polynomials of degree at most four.
    """
    low, less, here, more, high = (f(at[0] + t * X[0], at[1] + t * X[1]) for t in range(-2, 3))
    first = (8 * (more - less) - (high - low)) / 12
    return first, (16 * (more + less) - (high + low) - 30 * here) / 12


def hessian_determinant(f: Callable[[Fraction, Fraction], Fraction], at: Pair) -> Fraction:
    """Return ``det ∇²f`` from second derivatives in three directions, for degree at most four."""
    xx, yy, both = (along(f, at, X)[1] for X in (*UNITS, (Fraction(1), Fraction(1))))
    return xx * yy - ((both - xx - yy) / 2) ** 2


@claim(
    "nearly-convex-square",
    "w²v²: minima global, sublevels connected, convex on no open set, on all its paths",
    "certified",
    "proved, and checked in fractions; on the axes its Hessian is positive semidefinite",
    hypotheses=("a rational point other than 0",),
    variant="the Hessian is indefinite on the axes too",
    least=150,
)
def check_square(seed: int) -> Evidence:
    """Check w²v² at rational points, a third of them on the axes; nothing is rounded.

    Derivatives are taken from values by exact stencils, and compared with the formulas of the
    statement; star-shapedness and the failing chord are values alone.
    """
    seen = Evidence()
    draw = rng(seed, "data")
    for instance in range(150):
        b, c = (Fraction(int(n), 12) for n in draw.integers(1, 60, 2) * draw.choice([-1, 1], 2))
        w, v = (b, c) if instance % 3 else ((b, Fraction(0)) if instance % 2 else (Fraction(0), c))
        t = Fraction(int(draw.integers(0, 10)), 10)
        f, s, axes = square(w, v), w * w + v * v, w * v == 0
        g = along(square, (w, v), UNITS[0])[0], along(square, (w, v), UNITS[1])[0]
        determinant = hessian_determinant(square, (w, v))
        wrong = (g == (0, 0)) != axes or (f == 0) != axes
        wrong |= determinant != -12 * f or square(t * w, t * v) > f
        if not axes:
            h = Fraction(1, 100)  # along (w, −v) the chord lies below: 2 g''(0) = −8 w²v²
            ends = square(w + h * w, v - h * v) + square(w - h * w, v + h * v)
            curvature = 2 * along(square, (w, v), g)[1] / (g[0] ** 2 + g[1] ** 2)
            wrong |= ends >= 2 * f or curvature != 4 * s + 8 * f / s
        seen.add(1, wrong=wrong, refuted=axes and determinant >= 0)
    return seen


# ---- strongly convex along its gradient paths ----------------------------------------------------

PETALS_C, PETALS_L = 16 / 9, 26 / 9  # of (17), and the Lipschitz constant of the gradient


def petals(z: Tensor) -> Tensor:
    r"""Return ``½ρ²(1 + cos(6ψ)/9)`` at points ``(…, 2)`` other than 0.

    ``cos 6ψ`` is written as ``Re (w + iv)^6 / ρ^6``, a rational function.
    """
    w, v = z[..., 0], z[..., 1]
    square = w * w + v * v
    real = w**6 - 15 * w**4 * v**2 + 15 * w**2 * v**4 - v**6
    return square / 2 * (1 + real / (9 * square**3))


@claim(
    "nearly-convex-petals",
    "(17) with one C on all paths, and no convexity in any neighbourhood of the minimum",
    "certified",
    "proved; the constant 16/9 is attained",
    hypotheses=("a point other than 0",),
    uses=("nearly-convex-path-rate",),
    variant="its Hessian is positive semidefinite",
    least=400,
)
def check_petals(seed: int) -> Evidence:
    """Check the function with petals: (17), its least eigenvalue, and a descent's rate.

    Left sides by automatic differentiation of the rational form, right sides the polynomials in
    ``c = cos 6θ`` of the proof. The margin is that of (17).
    """
    radius, angle = uniform(torch_generator(seed, "data"), 2, 400)
    angle = 2 * math.pi * angle
    angle[:12] = math.pi * torch.arange(12) / 6  # cos 6ψ = ±1, the extreme directions
    z = (0.01 + 3 * radius)[:, None] * torch.stack([angle.cos(), angle.sin()], -1)
    g, H = derivatives(petals, z)
    quotient = curvature_along(g, (H @ g[..., None])[..., 0])
    c = (6 * angle).cos()
    a, s = 1 + c / 9, 1 - c * c
    predicted = 2 * (a**3 + s * (1 / 3 - 5 * c / 27)) / (a**2 + s / 9)
    least, largest = torch.linalg.eigvalsh(H).unbind(-1)
    root = (1 + 8 * c * c).sqrt() / 3
    wrong = ((quotient - predicted).abs() > 1e-8) | (quotient < PETALS_C - 1e-8)
    wrong |= (least - (1 - 8 * c / 9 - root)).abs() > 1e-8
    wrong |= largest > PETALS_L + 1e-8
    value = petals(z)
    for _ in range(20):
        z = z - vmap(grad(petals))(z) / PETALS_L
        before, value = value, petals(z)
        wrong |= value > (1 - PETALS_C / (2 * PETALS_L)) * before * (1 + TOLERANCE)
    seen = Evidence()
    seen.add(400, wrong=wrong, refuted=least < -0.1, ratio=PETALS_C / quotient)
    return seen


def ring(z: Tensor) -> Tensor:
    """Return half the squared distance to the unit circle, at points ``(…, 2)`` other than 0."""
    return (torch.linalg.vector_norm(z, dim=-1) - 1).square() / 2


def crossed(z: Tensor) -> Tensor:
    """Return ``w² v²``."""
    return z.prod(-1).square()


def chain(z: Tensor) -> Tensor:
    """Return ℓ_λ of ``y = vwa`` at ``a = f = 1`` and λ = 0.3: its paths curve both ways."""
    return (z.prod(-1) - 1).square() / 2 + 0.15 * z.square().sum(-1)


def follow(f: Scalar, z: Tensor, duration: float, steps: int = 60) -> tuple[Tensor, Tensor]:
    """Follow the gradient flow from points ``(T, n)``.

    Returns:
        the points ``(steps + 1, T, n)``, and the left-hand side of (17) there, ``(steps + 1, T)``.
    """
    slope = vmap(grad(f))

    def velocity(_: float, point: np.ndarray) -> np.ndarray:
        return -slope(torch.from_numpy(point).reshape(z.shape)).flatten().numpy()

    times = np.linspace(0, duration, steps + 1)
    flow = solve_ivp(velocity, (0, duration), z.flatten(), t_eval=times, rtol=1e-8, atol=1e-10)
    path = torch.from_numpy(flow.y.T).reshape(-1, *z.shape)
    g, H = derivatives(f, path.flatten(0, 1))
    quotient = curvature_along(g, (H @ g[..., None])[..., 0])
    return path, quotient.unflatten(0, path.shape[:2])


@claim(
    "nearly-convex-path-rate",
    "(17) along paths gives a rate for the flow; all around, for gradient descent, up to noise",
    "certified",
    "proved, from the inequality of Lemma 8's proof",
    hypotheses=("twice continuously differentiable along the path", "(17) with C"),
    uses=("paper-lemma-8",),
    variant="with the curvature at the start for C",
    least=350,
)
def check_path_rate(seed: int) -> Evidence:
    """Check that the squared gradient falls by C times what the loss falls, on flows in the plane.

    Losses and gradients are those at a path's two ends, C the least curvature seen on the way.
    The paths are those of `petals`, `ring`, `crossed` and `chain`, the last a network's. The last
    part is tried on one step with a noise that is one vector or its opposite, equally often.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for f in (petals, ring, crossed, chain):
        path, quotient = follow(f, normal(draw, 100, 2), 1.0)
        kept = (path.norm(dim=-1) > 0.05).all(0)  # near 0 two of the functions are not smooth
        first, last = (vmap(grad(f))(end).square().sum(-1) for end in (path[0], path[-1]))
        fall, spent, C = f(path[0]) - f(path[-1]), first - last, quotient.amin(0)
        slack = 1e-3 * first + 1e-9  # C is the least of 61 points, not of the path
        wrong, refuted = (spent < c * fall - slack for c in (C, quotient[0]))
        even = (C > 0) & (last > 1e-6)
        nearest = torch.where(even, C * fall / spent, 0.0)
        seen.add(kept, wrong=wrong, refuted=kept & refuted, ratio=nearest)
    z, noise = normal(draw, 2, 100, 2)
    eta = uniform(draw, 100) / PETALS_L
    ends = z - eta[:, None] * (vmap(grad(petals))(z) + torch.stack([noise, -noise]))
    bound = (1 - eta * PETALS_C / 2) * petals(z)
    bound = bound + PETALS_L / 2 * eta**2 * noise.square().sum(-1)
    seen.add(100, wrong=petals(ends).mean(0) > bound * (1 + TOLERANCE))
    return seen


# ---- the pieces of U -----------------------------------------------------------------------------

Ends: TypeAlias = tuple[Weights, Weights]


def crosswise(at: Instance, square: float) -> Ends:
    """Return ``(cW_0, W_1/c, …)`` and ``(W_0/c, cW_1, …)``, with ``((c + 1/c)/2)²`` as given."""
    c = math.sqrt(square) + math.sqrt(square - 1)
    first, second, *rest = at.W
    return (c * first, second / c, *rest), (first / c, c * second, *rest)


def between(ends: Ends) -> Weights:
    """Return the point halfway."""
    return tuple((x + y) / 2 for x, y in zip(*ends, strict=True))


def paper_bound(at: Instance, W: Weights) -> float:
    """Return the paper's κ at W: W is in U(λ, θ) if it is below λ − θ."""
    return float(kappas(at.at(W))["paper"])


def chord_that_leaves(at: Instance, slack: float) -> Ends | None:
    """Return two points of one piece of U whose midpoint is not in U; None if none was found.

    They are those of the proof, and have the switches of ``at``, whose outputs are not all zero.

    Args:
        at: a network and its data, in U if H = 1.
        slack: λ − θ.
    """
    H, y = at.network.depth, at.outputs()
    r, rms = at.a.norm(dim=-1).max().item(), float(at.f.square().mean().sqrt())
    if H == 1:
        size = float(y.square().mean().sqrt())
        return crosswise(at, 1 + (rms + 0.6 * slack / r) / size)
    unit = [w / torch.linalg.matrix_norm(w, 2) for w in at.W]
    edge = (slack / (H * (H + 1) * r * rms)) ** (1 / (H - 1))  # U is ‖W_2‖ < edge near W_0 = 0

    def point(t: float, s: float, R: float) -> Weights:
        sizes = (t, s, R, *[edge / 2] * (H - 2))
        return tuple(size * w for size, w in zip(sizes, unit, strict=True))

    def over(t: float, s: float, R: float) -> float:
        return paper_bound(at, point(t, s, R)) - slack

    root, inside = partial(brentq, xtol=1e-15, rtol=1e-15), 1 - 1e-12
    for k in range(2, 40):
        step = 2.0**-k * edge
        if (at.f * y).mean() > 0:  # along the diagonal the boundary bends away from 0
            far = root(lambda R, t=step: over(t, t, R), edge, 2 * edge) * inside
            ends = point(1e-9 * edge, 1e-9 * edge, inside * edge), point(step, step, far)
        else:  # there the product of two norms is bounded
            R = edge - step
            if over(R / 2, R / 8, R) < 0:
                continue
            p = 0.9 * root(lambda p, R=R: over(R / 2, p, R), 0, R / 8)
            ends = point(R / 2, p, R), point(p, R / 2, R)
        if paper_bound(at, between(ends)) > slack:
            return ends
    return None


def same_switches(at: Instance, *points: Weights) -> bool:
    """Say whether the network has the switches of ``at`` at all the points."""
    own = at.switches()
    others = [at.network.switches(W, at.a) for W in points]
    return all(torch.equal(x, y) for S in others for x, y in zip(own, S, strict=True))


def leaves(at: Instance, ends: Ends, slack: float) -> bool:
    """Say whether two points are in the piece of U that ``at`` is in, and the midpoint not in U."""
    inside = all(paper_bound(at, W) < slack for W in ends)
    middle = between(ends)
    return inside and same_switches(at, *ends, middle) and paper_bound(at, middle) >= slack


def chord_excess(at: Instance, square: float, weight_decay: float) -> float:
    """Return what ℓ_λ is above the mean of its values at the ends, halfway between `crosswise`."""
    ends = crosswise(at, square)
    middle, *values = (
        float(regularized_loss(*at.at(W), weight_decay)) for W in (between(ends), *ends)
    )
    return middle - sum(values) / 2


@claim(
    "nearly-convex-pieces",
    "no piece of U with an output that is not zero is convex, nor the loss along its chords",
    "certified",
    "proved",
    hypotheses=("W ∈ U(λ, θ) with an output that is not zero", "for 2: ℓ(W) = 0"),
    uses=("paper-definition-2", "paper-theorem-3"),
    variant="in 2, with λA/2 in place of λA",
    least=70,
)
def check_pieces(seed: int) -> Evidence:
    """Check that chords of a piece leave U, and that the loss can be higher halfway along them.

    Membership is the certificate's, the switches are the network's own. The excess of the second
    part is a difference of three values of the loss, the other side a formula of three numbers.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for k, widths in enumerate(((2, 3, 1), (2, 3, 1), (2, 3, 2, 1), (2, 2, 3, 2, 1))):
        stack = random_stack(ReLUNetwork(widths, k == 1), 10 * seed + k, count=30, spread=0.3)
        for at in (stack.one(t) for t in range(stack.size)):
            slack = float(normal(draw, 1).exp())
            if len(widths) == 3:
                slack = 1.5 * paper_bound(at, at.W)
            y, square = at.outputs(), squared_norm(at.W[:2])
            if y.abs().max() < 1e-2:
                continue
            ends = chord_that_leaves(at, slack)
            wrong = ends is None or not leaves(at, ends, slack)
            fitted, q, pay = at._replace(f=y), float(y.square().mean()), 0.1 * float(square)
            for share in (0.99, 1.01, 0.75):
                m = share * pay / q
                excess, own = chord_excess(fitted, 1 + m, 0.1), m / 2 * (m * q - pay)
                wrong |= abs(excess - own) > 1e-9 * (1 + pay * (1 + m))
                wrong |= (excess > 0) != (share > 1)
            seen.add(1, wrong=wrong, refuted=excess < 0)
    return seen
