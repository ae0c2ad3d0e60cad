"""Checks of dropout noise, in fractions, and of output weights that are fixed."""

from fractions import Fraction

import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.descents.zero_error import zero_error_points
from evidence.measures import numerical_rank
from evidence.rational import rank
from evidence.solvers.patterns import dot
from pscore.curvature import frozen_hessian
from pscore.instance import Instance
from pscore.network import ReLUNetwork
from pscore.seeds import rng

SMALL = 1e-9

Vector = tuple[Fraction, ...]
Net = tuple[tuple[Vector, ...], Vector]
Noise = tuple[Vector, ...]

SLOPE = Fraction(1, 2)
INPUTS: tuple[Vector, ...] = tuple(tuple(map(Fraction, a)) for a in ((1, 0), (0, 1), (1, 1)))
TARGETS: Vector = tuple(map(Fraction, (3, 0, 2)))
STUCK = (((Fraction(1), Fraction(1)), (Fraction(2), Fraction(1))), (Fraction(-10, 3), Fraction(3)))
SOLVED = (((Fraction(1), Fraction(-1)), (Fraction(1), Fraction(1))), (Fraction(2), Fraction(1)))
NO_NOISE: Noise = ((Fraction(1), Fraction(1)),) * 3
ALL_OFF: Noise = ((Fraction(0), Fraction(0)),) * 3


def noisy_gradient(net: Net, noise: Noise) -> tuple[Fraction, list[Fraction]]:
    """Return training error and gradient, exactly, with a factor for each unit and data point.

    Args:
        net: the two units' incoming weights, and their outgoing ones; leaky of slope 1/2.
        noise: for each of the three data points a factor for each unit.
    """
    w, v = net
    N, error = len(INPUTS), Fraction(0)
    by_w, by_v = [[Fraction(0)] * 2 for _ in w], [Fraction(0)] * 2
    for a, f, factors in zip(INPUTS, TARGETS, noise, strict=True):
        z = [dot(unit, a) for unit in w]
        s = [c * (1 if x > 0 else SLOPE) for x, c in zip(z, factors, strict=True)]
        e = sum((v[j] * s[j] * z[j] for j in range(2)), Fraction(0)) - f
        error += e * e / (2 * N)
        for j in range(2):
            by_v[j] += e * s[j] * z[j] / N
            by_w[j] = [g + e * v[j] * s[j] * x / N for g, x in zip(by_w[j], a, strict=True)]
    return error, [*by_w[0], *by_w[1], *by_v]


@claim(
    "noise-and-fixed-weights-dropout",
    "without dropout noise a differentiable local minimum can have an error above 0",
    "certified",
    "Proved, in rational arithmetic; with random factors the point is not critical.",
    hypotheses=(
        "leaky slope 1/2",
        "three data points, two units, two inputs",
        "units' inputs positive",
    ),
    variant="the point is critical with random factors as well",
    least=304,
)
def check_dropout(seed: int, count: int = 150) -> Evidence:
    """Compute in fractions: a local minimum of error 1/18 without noise, and none with factors.

    Without noise: the gradient is zero, another network of the width has error 0, and no random
    network of the same switches is lower. With random factors, the derivatives of the error by
    the incoming weights, ``Σ e_i (c_ij a_i)_j`` up to v, have rank 3 in e, so that none but zero
    errors make them vanish.
    """
    seen, draw = Evidence(), rng(seed, "data")

    def rational(low: int, high: int) -> Fraction:
        return Fraction(int(draw.integers(low, high)), 1 + int(draw.integers(12)))

    seen.add(1, wrong=noisy_gradient(STUCK, NO_NOISE) != (Fraction(1, 18), [0] * 6))
    seen.add(1, wrong=noisy_gradient(SOLVED, NO_NOISE)[0] != 0)
    seen.add(2, wrong=noisy_gradient(STUCK, ALL_OFF) != (Fraction(13, 6), [0] * 6))
    for _ in range(count):
        w = tuple((rational(1, 30), rational(1, 30)) for _ in range(2))
        v = (rational(-40, 40), rational(-40, 40))
        seen.add(1, wrong=noisy_gradient((w, v), NO_NOISE)[0] < Fraction(1, 18))
        noise = tuple((rational(1, 30), rational(1, 30)) for _ in INPUTS)
        differ = len({one / other for one, other in noise}) > 1
        rows = [[c * x for c in both for x in a] for a, both in zip(INPUTS, noise, strict=True)]
        seen.add(1, wrong=differ and rank(rows) < 3, refuted=any(noisy_gradient(STUCK, noise)[1]))
    return seen


def fixed_outputs(widths: tuple[int, int], points: int, seeds: list[int]) -> Instance:
    """Draw teachers with output weights ±1 and Gaussian inputs."""
    at = zero_error_points("teacher", (*widths, 1), seeds, points)
    W = (at.W[0], at.W[1].sign())
    return at._replace(W=W, f=at.network(W, at.a))


def opposite_pairs(at: Instance, pairs: int) -> Instance:
    """Return networks with the units of a stack, and the opposites of the first, on its inputs.

    All output weights are 1.

    Args:
        at: teachers with one hidden layer.
        pairs: how many of the units get an opposite one.
    """
    W0 = torch.cat([at.W[0], -at.W[0][..., :pairs]], -1)
    network = ReLUNetwork((*W0.shape[1:], 1), output_relu=False)
    W = (W0, torch.ones(at.size, W0.shape[-1], 1).to(W0))
    return Instance(network, W, at.a, network(W, at.a))


def nullities(at: Instance) -> tuple[Tensor, Tensor]:
    """Return the zero eigenvalues of the Hessian by the hidden weights alone, and by all."""
    H, hidden = frozen_hessian(*at), at.W[0][0].numel()
    few, many = (
        (torch.linalg.eigvalsh(x).abs() < SMALL).sum(-1) for x in (H[:, :hidden, :hidden], H)
    )
    return few, many


@claim(
    "noise-and-fixed-weights-definite",
    "with output weights fixed at ±1 the Hessian at a teacher is definite, but for opposite pairs",
    "certified",
    "Proved for almost all long enough samples; zero eigenvalues counted.",
    hypotheses=("no two w_j on one ray", "inputs with a positive density", "N large enough"),
    uses=("near-memorization-kernel", "near-memorization-scaling"),
    variant="definite with as many data as hidden weights; definite for every number of opposite "
    "pairs; not definite with one",
    least=120,
)
def check_fixed(seed: int, count: int = 15, points: int = 300) -> Evidence:
    """Count zero eigenvalues with and without the output weights, and ranks of features.

    Below, at and above the input dimension, with no opposite pairs of units, one, and two; the
    ranks from inputs and switches alone. An instance counts if no two other units are nearly
    collinear. With copies of a unit on its ray, n_0 more are zero for each.
    """
    seen, seeds = Evidence(), [1000 * seed + t for t in range(count)]
    for widths in ((4, 3), (3, 3), (2, 3), (3, 4)):
        n0 = widths[0]
        teachers = fixed_outputs(widths, points, seeds)
        unit = teachers.W[0] / teachers.W[0].norm(dim=1, keepdim=True)
        apart = (unit.mT @ unit - torch.eye(widths[1])).abs().amax((-2, -1)) < 0.98
        for pairs in (0, 1, 2, 3):
            at = opposite_pairs(teachers, pairs) if pairs else teachers
            few, many = nullities(at)
            expected = n0 * max(pairs - 1, 0)
            on = (at.a @ at.W[0] > 0).to(at.a)
            features = torch.einsum("tnj,tnp->tnpj", on, at.a).flatten(2)
            wrong = (few != expected) | (features[0, 0].numel() - numerical_rank(features) != few)
            if pairs < 2:
                wrong |= many != at.W[0].shape[-1]
            short = nullities(fixed_outputs(widths, n0 * widths[1], seeds))[0] > 0
            refuted = (short, apart & (few > 0), apart & (pairs == 1) & (few == 0))
            seen.add(apart, wrong=wrong, refuted=refuted)
        copy = teachers.at(
            (torch.cat([teachers.W[0], 2 * teachers.W[0][..., :1]], -1), teachers.W[1])
        )
        on = (copy.a @ copy.W[0] > 0).to(copy.a)
        features = torch.einsum("tnj,tnp->tnpj", on, copy.a).flatten(2)
        seen.add(wrong=apart & (numerical_rank(features) != n0 * widths[1]))
    return seen
