r"""Checks of more about the origin: values of critical points, toy flows, steep slopes, biases."""

import math
from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import WIDTHS, Biased, normal, problem_stack, random_stack, steep
from evidence.measures import ROUNDING, SETS, kappas, norms_in_numpy
from evidence.solvers.clarke import DECAY, clarke_points, mean_square_output, outward, samples
from evidence.solvers.critical import critical_points
from pscore.instance import Instance
from pscore.loss import regularized_loss, squared_norm, training_error
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator

_CRITICAL = ("λ > 0", "slopes between −1 and 1", "W ≠ 0 with 0 in Clarke's subdifferential of ℓ_λ")


@claim(
    "origin-values",
    "ℓ_λ = ℓ(0) − mean‖y‖²/2 + (H−1)λχ²/2 at critical points",
    "certified",
    "Proved; at H = 1 zero is a global minimiser exactly if nothing else is critical.",
    hypotheses=_CRITICAL,
    uses=("nothing-but-the-origin",),
    variant="without the last term",
    least=330,
)
def check_values(seed: int) -> Evidence:
    """Check ``ℓ_λ(W) = ℓ(0) − mean‖y‖²/2 + (H−1)λχ²/2`` at critical points.

    At H = 1 the last term is 0, and the variant is the claim.
    """
    seen = Evidence()
    for stack, _, _, kept in clarke_points(seed):
        H, loss = stack.network.depth, regularized_loss(*stack, DECAY)
        at_zero = training_error(*stack.at(tuple(0 * w for w in stack.W)))
        rest = loss - at_zero + mean_square_output(stack) / 2
        lift = (H - 1) / (H + 1) * DECAY / 2 * squared_norm(stack.W)
        seen.add(kept)
        seen.add(wrong=(rest - lift).abs() > 1e-8 * (1 + loss), refuted=rest.abs() > 1e-3 * loss)
    return seen


@claim(
    "origin-toy",
    "The gradient flows of both toy experiments converge to the zero network, from any start",
    "certified",
    "Proved, with the rates λ − Λ and λ; descents do so from usual starts, not from far ones.",
    hypotheses=("H = 1 without ReLU on the output, or targets 0",),
    uses=("origin-euler", "toy-zero-optimal"),
    variant="Λ/2 in place of Λ",
    least=1880,
)
def check_everywhere(seed: int) -> Evidence:
    """Check ``⟨G, W⟩ ≥ (λ − Λ)‖W‖²`` at H = 1 with one input, and ``≥ λ‖W‖²`` for targets 0.

    Margin: the largest ``(λ‖W‖² − ⟨G, W⟩)/(Λ‖W‖²)``.
    """
    seen, weight_decay = Evidence(), 0.4
    for slope in (0.0, -0.5):
        stack = random_stack(ReLUNetwork((1, 3, 1), False, slope), seed, 200, points=6)
        Lambda, steepest = along_the_line(stack)
        for at in (stack, steepest):
            square = squared_norm(at.W)
            share = (weight_decay * square - outward(at, weight_decay)) / (Lambda * square)
            seen.add(
                at.size, wrong=share > 1 + ROUNDING, refuted=share > 0.5, ratio=share.clamp(max=1)
            )
    for stack in samples(seed):
        zero = stack._replace(f=torch.zeros_like(stack.f))
        least = weight_decay * squared_norm(zero.W) * (1 - ROUNDING)
        seen.add(zero.size, wrong=outward(zero, weight_decay) < least)
    return seen


def along_the_line(stack: Instance) -> tuple[Tensor, Instance]:
    """Return Λ for inputs on a line, and small weights that the targets pull outwards most.

    Λ is the larger of two means, for the two directions u = ±1 of the line.
    """
    a, s = stack.a[..., 0], stack.network.negative_slope
    units = (torch.where(u * a > 0, u * a, s * u * a) for u in (1.0, -1.0))
    means = torch.stack([(stack.f * h).mean(-1) for h in units])
    best = means.abs().argmax(0)
    w, v = (torch.zeros(stack.size, *shape).double() for shape in stack.network.shapes)
    w[:, 0, 0] = 1e-4 * torch.where(best == 0, 1.0, -1.0)
    v[:, 0, 0] = 1e-4 * means.gather(0, best[None])[0].sign()
    return means.abs().amax(0), stack.at((w, v))


@claim(
    "origin-steep",
    "Slopes above one cost the factor γ; sets without critical points, γ/H and γ/(H(H+1))",
    "certified",
    "Proved; all of these are attained by networks of width one.",
    hypotheses=("any slope", "W ≠ 0 with 0 in Clarke's subdifferential of ℓ_λ"),
    uses=("nothing-but-the-origin", "sharper-sets-steep"),
    variant="99 hundredths of the factor, in D λ_max(M) or in the paper's set",
    least=110,
)
def check_steep(seed: int) -> Evidence:
    """Check that slopes above one cost the factor ``γ`` of `ReLUNetwork.gain`, and no less.

    Critical points of networks with slope −3 and 2: ``γ D λ_max(M) ≥ H λ``, where the κ of
    `norms_in_numpy` has the factor; and no set with the factor ``γ/H``, the paper's with
    ``γ/(H(H+1))``, holds one. Those of width one with all units on the steep side reach equality
    in each.
    """
    seen = Evidence()
    for slope, (H, widths) in product((-3.0, 2.0), WIDTHS.items()):
        _, W, a, f = steep(H, slope)
        f = (0.5 + torch.arange(20, dtype=torch.float64) / 10)[:, None] * f
        W = tuple(1e3 * w.expand(20, -1, -1) for w in W)
        narrow = Instance(ReLUNetwork((1,) * (H + 2), False, slope), W, a.expand(20, -1, -1), f)
        wide = problem_stack(ReLUNetwork(widths, False, slope), seed, 2, 30)
        for starts in (narrow, wide):
            found = critical_points(starts, DECAY, steps=40)
            kappa = norms_in_numpy(found.points)
            gain = starts.network.gain
            share = H * DECAY / kappa["data"]
            least = {name: gain / H for name in SETS} | {"paper": gain / (H * (H + 1))}
            inside = [DECAY / (kappa[name] / gain * least[name]) for name in SETS]
            seen.add(found.kept)
            seen.add(
                wrong=np.max([share, *inside], axis=0) > 1 + 1e-7,
                refuted=tuple(one > 0.995 for one in (share, *inside)),
                ratio=np.minimum(share, 1.0),
            )
    return seen


def two_groups(problem: Biased, vector: Tensor) -> Tensor:
    """Return the direction of the last matrix and of what feeds its units, other entries zero."""
    X = torch.zeros_like(vector)
    W, b = problem.split(vector)
    Y, c = problem.split(X)
    Y[-1] += W[-1]
    Y[-2] += W[-2]
    c[-2] += b[-2]
    return X


def biased_critical(a: float, norm: float, weight_decay: float) -> tuple[Biased, Tensor]:
    """H = 1, one unit, one data point: a critical point with ``‖W_1‖ = ‖(W_0, b_0)‖ = χ``."""
    length = math.hypot(a, 1.0)
    e = -weight_decay / length
    constant = -e / weight_decay
    y = norm**2 * length + constant
    one = torch.ones(1, dtype=torch.float64)
    vector = torch.tensor([norm * a / length, norm / length, norm, constant], dtype=torch.float64)
    return Biased((1, 1, 1), a * one[:, None], (y - e) * one, weight_decay), vector


def constant_network(a: Tensor, c: float, weight_decay: float) -> tuple[Biased, Tensor]:
    """H = 1, two units, all targets c: critical at ``b_1 = c/(1 + λ)``, all else 0."""
    vector = torch.zeros(9, dtype=torch.float64)
    vector[-1] = c / (1 + weight_decay)
    targets = torch.full((len(a),), c, dtype=torch.float64)
    return Biased((2, 2, 1), a, targets, weight_decay), vector


@claim(
    "origin-biases",
    "With biases: nothing but constant networks",
    "certified",
    "Proved; with biases 'nothing but the origin' is refuted.",
    hypotheses=(
        "no activation of the output",
        "the frozen Hessian without squares is positive",
    ),
    uses=("origin-euler", "origin-no-squares"),
    variant="nothing but the origin",
    least=120,
)
def check_biases(seed: int) -> Evidence:
    """Check networks with biases: the second derivative without its squares, and constants.

    At random points, H = 1, 2, 3: along `two_groups`, ``φ'' − mean(ỹ'²)`` plus the weight decay
    equals ``⟨∇ℓ_λ, X⟩``, so that it is zero at a critical point; the left side is read off values
    of the frozen network, the right is automatic differentiation. At critical points made by hand
    both are zero, and ``mean(|e_i| (1 + ‖a_i‖²)^½)`` is λ: the margin. The variant is refuted by
    constant networks: W = 0, ``b_H ≠ 0``, where that bound is below λ.
    """
    seen, draw = Evidence(), torch_generator(seed, "data")
    for instance in range(90):
        widths = ((2, 2, 1), (2, 2, 2, 1), (2, 3, 2, 2, 1))[instance % 3]
        sizes = sum(n * (m + 1) for m, n in pairwise(widths))
        a, f, vector = normal(draw, 5, 2), normal(draw, 5), normal(draw, sizes)
        slope, without = _along_two_groups(Biased(widths, a, f, 0.3), vector)
        seen.add(1, wrong=abs(slope - without) > 1e-8 * (1 + abs(slope)))
        if len(widths) > 3:
            continue
        problem, vector = biased_critical(float(a[0, 0]), abs(float(f[0])) + 0.1, 0.3)
        slope, without = _along_two_groups(problem, vector)
        ratio = problem.weight_decay / biased_bound(problem, vector)
        wrong = abs(slope) > 1e-12 or abs(without) > 1e-8
        seen.add(1, wrong=wrong, ratio=min(ratio, 1.0))
        problem, vector = constant_network(a, 0.2, 0.5)
        critical = bool(biased_gradient(problem, vector).norm() < 1e-12)
        seen.add(refuted=critical and biased_bound(problem, vector) < problem.weight_decay)
    return seen


def _along_two_groups(problem: Biased, vector: Tensor) -> tuple[float, float]:
    """``⟨∇ℓ_λ, X⟩`` and ``φ'' − mean(ỹ'²) + λ‖X‖²`` for X = `two_groups`."""
    X, S = two_groups(problem, vector), problem.switches(vector)
    slope = float(biased_gradient(problem, vector) @ X)
    low, middle, high = (problem.output(vector + t * X, S) for t in (-1.0, 0.0, 1.0))
    second = low - 2 * middle + high  # exact: along X the frozen output has degree 2
    rest = float(((middle - problem.f) * second).mean())
    return slope, rest + problem.weight_decay * float(X.square().sum())


def biased_gradient(problem: Biased, vector: Tensor) -> Tensor:
    """Return ``∇ℓ_λ`` by automatic differentiation."""
    leaf = vector.clone().requires_grad_()
    return torch.autograd.grad(problem.loss(leaf), leaf)[0]


def biased_bound(problem: Biased, vector: Tensor) -> float:
    """Return the data's bound with a constant unit; ``mean(|e_i| (1 + ‖a_i‖²)^½)`` at H = 1."""
    return float(kappas(problem.enlarged(vector))["data"])
