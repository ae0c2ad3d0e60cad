"""Checks of minima that are proved, on kinks and off them, by `pscore.exact.certify_minimum`.

The certificate computes with a quadratic form in balls. What it promises is compared with gradients
in float64 by other code, and with losses in exact rational arithmetic.
"""

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import normal
from pscore.curvature import flatten, unflatten
from pscore.exact import MinimumCertificate, certify_minimum, finish
from pscore.exact.balls import above
from pscore.exact.minimum import Minimum
from pscore.exact.problem import Critical, checked_problem, kernel, solve
from pscore.instance import Instance
from pscore.loss import gradient
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator

DECAY = 0.0625  # with no rounding in rational arithmetic
# Widths, data points and slopes.
SETTINGS = (
    ((2, 2, 1), 8, 0.0),
    ((3, 3, 1), 10, 0.0),
    ((2, 2, 2), 9, 0.25),
    ((3, 2, 1), 12, -0.25),
)


class Proved(NamedTuple):
    """Data, and a minimum that was proved there."""

    at: Instance
    proof: MinimumCertificate


def descents(seed: int, widths: tuple[int, ...], points: int, slope: float) -> Instance:
    """Return the ends of ten descents, each on random data of its own."""
    generator = torch_generator(seed, "data")
    network = ReLUNetwork(widths, output_relu=False, negative_slope=slope)
    a = normal(generator, 10, points, widths[0])
    f = normal(generator, 10, points, widths[-1])
    W = tuple(normal(generator, 10, *shape) for shape in network.shapes)
    at = Instance(network, W, a, f.squeeze(-1) if widths[-1] == 1 else f)
    for _ in range(1500):
        G = gradient(*at, DECAY)
        at = at.at(tuple(w - 0.05 * g for w, g in zip(at.W, G, strict=True)))
    return at


@lru_cache(maxsize=2)
def proved_minima(seed: int) -> tuple[Proved, ...]:
    """Descend, finish, and keep what can be proved."""
    found = []
    for setting in SETTINGS:
        ends = descents(seed, *setting)
        for at in (ends.one(t) for t in range(ends.size)):
            end = finish(*at, DECAY, near=1e-2)
            proof = certify_minimum(at.network, end.weights, at.a, at.f, DECAY)
            if proof.holds:
                found.append(Proved(at.at(proof.weights), proof))
    return tuple(found)


def equations(one: Proved) -> Critical:
    """Return the minimum as a solution of the equations on its kinks, in floats."""
    problem, x = checked_problem(*one.at, DECAY)
    return solve(problem, x, [(int(i), int(j)) for i, j in one.proof.kinks])


def directions(one: Proved, seed: int) -> Tensor:
    """Return unit vectors: random ones, along the kinks, and straight across each of them.

    Along the kinks they are the eigenvectors of the Hessian there, the one of the least eigenvalue
    first, both ways.
    """
    at = equations(one)
    problem, kinks = at.problem, at.kinks
    basis = kernel(problem, kinks)
    hessian = problem.derivatives(at.x, at.on)[3]
    along = basis @ np.linalg.eigh(basis.T @ hessian @ basis)[1]
    across = problem.normals(kinks)
    ways = torch.from_numpy(np.concatenate([along.T, across]))
    anywhere = normal(torch_generator(seed, "shuffling"), 40, len(at.x))
    both = torch.cat([ways, -ways, anywhere])
    return both / both.norm(dim=-1, keepdim=True)


def slopes_outward(one: Proved, X: Tensor) -> Tensor:
    """Return ``⟨∇ℓ_λ(W + X), X⟩`` for directions X, ``(D, m)``."""
    network = one.at.network
    moved = unflatten(network, flatten(one.at.W) + X)
    G = gradient(network, moved, one.at.a, one.at.f, DECAY)
    return (flatten(G) * X).sum(-1)


@claim(
    "proved-minima-kinks",
    "a ball in which the loss grows from one strict minimum, kinks and all",
    "certified",
    "Proved for one hidden layer; its hypotheses are verified in ball arithmetic.",
    hypotheses=(
        "one hidden layer, none on the output",
        "0 < μ_k < c_k",
        "no other switch changes within R",
        "the form is positive definite",
    ),
    variant="four times the growth; the same growth at multipliers on their bound",
    least=2000,
)
def check_growth(seed: int) -> Evidence:
    """Compare the gradients in the balls, computed in float64, with the growth that was proved.

    At 0.1, 0.5 and all of the radius, in each of `directions`, ``⟨G, X⟩`` is at least ``α ‖X‖²``.
    With four times the growth it is not, along the least eigenvector. Nor is it where a multiplier
    lies outside of its bounds, straight across that kink: see `released`. The margin is the growth
    over what is seen.
    """
    seen = Evidence(varies=True)
    for one in proved_minima(seed):
        u = directions(one, seed)
        for share in (0.1, 0.5, 0.999999):
            X = share * one.proof.radius * u
            size, outward = (X * X).sum(-1), slopes_outward(one, X)
            least = one.proof.growth * size
            wrong = outward < least - 1e-12
            seen.add(len(X), wrong=wrong, ratio=least / outward)
            if share == 0.1:
                fourfold = bool((outward < 4 * least).any())
        lowest = [released(one, k) for k in range(min(2, len(one.proof.kinks)))]
        seen.add(refuted=(fourfold, any(lowest)))
    return seen


def released(one: Proved, k: int) -> bool:
    """Say whether the loss falls across a kink that is held with its target moved out of bounds.

    The targets of the kink's data point are changed until its multiplier is not inside (0, c): the
    residual there gets the other sign. Then the gradient on one side of the kink leads away from
    the point, and ``⟨G, X⟩`` is negative.
    """
    at = equations(one)
    i, _ = at.kinks[k]
    e = at.problem.derivatives(flatten(one.at.W).numpy(), at.on)[1]
    f = one.at.f.clone()
    f[i] = f[i] + 2 * torch.from_numpy(e[i]).reshape(f[i].shape)
    X = torch.from_numpy(at.problem.normals(at.kinks)[k]) * 1e-6
    both = torch.stack([X, -X])
    return bool((slopes_outward(one._replace(at=one.at._replace(f=f)), both) < 0).any())


@claim(
    "proved-minima-enclosure",
    "the equations on the kinks have one solution in a ball, found in floats",
    "certified",
    "Newton–Kantorovich, with a Lipschitz constant for one hidden layer.",
    hypotheses=("one hidden layer", "η + Z r + L r²/2 < r", "Z + L r < 1"),
    variant="a quarter of the radius",
    least=10,
)
def check_enclosure(seed: int) -> Evidence:
    """Start beside a solution, and see that the ball there holds it.

    The solution is known to 1e-14 from the proof of its minimum. From points a millionth away the
    ball has to reach it; the radius that is needed is compared with the one that is proved.
    """
    seen, generator = Evidence(varies=True), torch_generator(seed, "shuffling")
    for one in proved_minima(seed):
        at = equations(one)
        moved = replace(at, x=at.x + 1e-7 * normal(generator, len(at.x)).numpy())
        ball = Minimum(moved)
        distance = float(np.linalg.norm(moved.x - at.x))
        if ball.proved:
            radius = above(ball.distance)
            missed = distance > 0.25 * radius
            seen.add(1, wrong=distance > radius, refuted=missed, ratio=distance / radius)
    return seen


@claim(
    "proved-minima-loss",
    "the loss above its value at the minimum, in exact arithmetic",
    "certified",
    "A consequence of the growth; compared with rational arithmetic.",
    hypotheses=("those of the growth",),
    uses=("proved-minima-kinks",),
    variant="eight times the growth",
    least=50,
)
def check_loss(seed: int, count: int = 3) -> Evidence:
    """Compare rational losses with ``ℓ_λ(W*) + α/2 ‖W − W*‖²``, enclosures taken at their worst.

    Along the least eigenvector and in random directions, at half the radius; weights and data are
    floats, and rational numbers as such.
    """
    seen = Evidence(varies=True)
    for one in proved_minima(seed):
        u = directions(one, seed)
        for way in (u[0], *u[-count:]):
            X = 0.5 * one.proof.radius * way
            W = [w + x for w, x in zip(one.at.W, unflatten(one.at.network, X), strict=True)]
            loss = rational_loss(one.at.at(tuple(W)))
            length = float((flatten(W) - flatten(one.at.W)).norm())
            near, far = length - one.proof.distance, length + one.proof.distance
            grown = Fraction(one.proof.growth) / 2 * Fraction(near) ** 2
            wrong = loss < Fraction(one.proof.loss[0]) + grown
            most = 8 * Fraction(one.proof.growth) / 2 * Fraction(far) ** 2
            seen.add(1, wrong=wrong, refuted=loss < Fraction(one.proof.loss[1]) + most)
    return seen


def rational_loss(at: Instance) -> Fraction:
    """Return ``ℓ_λ`` of a network of ReLUs or leaky ones, exactly."""
    slope = Fraction(at.network.negative_slope)
    W0, W1 = ([[Fraction(x) for x in row] for row in W.tolist()] for W in at.W)
    targets = at.f.reshape(len(at.a), -1).tolist()
    total = Fraction()
    for a, f in zip(at.a.tolist(), targets, strict=True):
        z = [sum(Fraction(x) * W0[p][j] for p, x in enumerate(a)) for j in range(len(W1))]
        h = [one if one > 0 else slope * one for one in z]
        for k, target in enumerate(f):
            y = sum((one * W1[j][k] for j, one in enumerate(h)), Fraction())
            total += (y - Fraction(target)) ** 2
    square = sum(x * x for W in (W0, W1) for row in W for x in row)
    return total / (2 * len(at.a)) + Fraction(DECAY) / 2 * square


@claim(
    "proved-minima-multipliers",
    "a kink whose multiplier is outside of its bounds does not hold",
    "certified",
    "To first order the loss falls straight across it.",
    hypotheses=("independent inputs at zero", "a multiplier outside [0, c]"),
    variant="a multiplier inside (0, c)",
    least=30,
)
def check_multipliers(seed: int) -> Evidence:
    """Hold one more input at zero, at minima that were proved, and go across.

    The equations are solved with the input nearest to zero, or another of the nearest twelve, held
    there as well. The point that comes out is no minimum: the multiplier is outside of its bounds,
    and the loss is lower a little further on one side. At the kinks of the minima themselves, whose
    multipliers are inside, it is on neither.
    """
    seen = Evidence(varies=True)
    for one in proved_minima(seed):
        held = equations(one)
        problem, kinks, x = held.problem, held.kinks, flatten(one.at.W).numpy()
        z = np.abs(problem.a @ problem.split(x)[0])
        for place in np.argsort(z, axis=None)[len(kinks) : len(kinks) + 12]:
            more = solve(problem, x, [*kinks, divmod(int(place), problem.units)])
            if more.residual < 1e-9 and is_in_cell(more):
                outside = not -1e-6 <= more.mu[-1] <= more.slopes[-1] + 1e-6
                seen.add(torch.tensor([outside]), wrong=not falls_across(more, len(kinks)))
        seen.add(refuted=np.array([not falls_across(held, k) for k in range(len(kinks))]))
    return seen


def is_in_cell(at: Critical) -> bool:
    """Whether all other inputs have the signs that the equations took for granted, clearly."""
    z = at.problem.a @ at.problem.split(at.x)[0]
    for pair in at.kinks:
        z[pair] = -1.0
    return bool((np.abs(z) > 1e-5).all() and ((z > 0) == at.on).all())


def falls_across(at: Critical, k: int) -> bool:
    """Whether the loss is lower a little to one side of a kink, straight across."""
    A = at.problem.normals(at.kinks)
    way = np.linalg.lstsq(A, np.eye(len(A))[k], rcond=None)[0]
    here = at.problem.loss(at.x)
    return any(at.problem.loss(at.x + step * way) < here for step in (1e-6, -1e-6))


@claim(
    "proved-minima-descent",
    "gradient descent from the ball comes as near to the minimum as its step allows",
    "certified",
    "The growth bounds the distance after each step.",
    hypotheses=("those of the growth", "a start in the ball", "η Γ² ≤ 2 α R²"),
    uses=("proved-minima-kinks",),
    variant="ten times the growth",
    least=2000,
)
def check_descent(seed: int, steps: int = 60) -> Evidence:
    """Compare the distance after each step with ``(1 − 2ηα) ‖X‖² + η² ‖G‖²``, and with R."""
    seen = Evidence(varies=True)
    for one in proved_minima(seed):
        network, alpha, radius = one.at.network, one.proof.growth, one.proof.radius
        X = 0.5 * radius * directions(one, seed)
        eta = 0.02
        for _ in range(steps):
            W = unflatten(network, flatten(one.at.W) + X)
            G = flatten(gradient(network, W, one.at.a, one.at.f, DECAY))
            before, X = (X * X).sum(-1), X - eta * G
            after, length = (X * X).sum(-1), (G * G).sum(-1)
            inside = before <= radius**2
            bound = (1 - 2 * eta * alpha) * before + eta**2 * length
            tenth = (1 - 20 * eta * alpha) * before + eta**2 * length
            seen.add(inside, wrong=after > bound + 1e-14, refuted=after > tenth + 1e-14)
    return seen
