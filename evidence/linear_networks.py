r"""Lemma 7: a linear network has no non-zero critical point in U(λ), eq. (14).

A linear network is `ReLUNetwork` with ``negative_slope=1``. It has no switch boundaries, so that
``ℓ_λ`` is a polynomial and every derivative here exists everywhere; kinks enter only in
`check_switches_interfere`, which is about ReLU networks and works away from them.
"""

import math

import numpy as np
import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import normal, normal_weights, uniform
from evidence.measures import TOLERANCE, kappas
from evidence.solvers.critical import CriticalPoints, critical_points
from pscore.curvature import flatten, frozen_hessian
from pscore.instance import Instance
from pscore.loss import gradient, regularized_loss, squared_norm
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import torch_generator

WIDTHS = ((2, 3, 1), (3, 2, 1), (2, 2, 3, 1), (2, 2, 2, 2, 1))
NARROW = ((2, 1, 1), (1, 1, 1, 1), (2, 1, 2, 2), (1, 2, 1, 1, 2))
DECAY = 0.1  # λ of the critical points
ROUNDING = 1e-9


def linear_network(widths: tuple[int, ...]) -> ReLUNetwork:
    """Return the linear network of the given widths."""
    return ReLUNetwork(widths, output_relu=False, negative_slope=1.0)


def rotate_hidden(weights: Weights, layer: int, rotation: Tensor) -> Weights:
    """Return ``(W_0, …, W_{i−1} R^T, R W_i, …, W_H)``, eq. (53) of the paper, for hidden layer i.

    Args:
        weights: ``(…, n_i, n_{i+1})``.
        layer: i, from 1 to H: which layer's units are rotated.
        rotation: R, ``(n_i, n_i)``.
    """
    W = list(weights)
    W[layer - 1], W[layer] = W[layer - 1] @ rotation.mT, rotation @ W[layer]
    return tuple(W)


def plane_rotation(size: int, angle: float) -> Tensor:
    """Return the rotation of the first two coordinates by an angle in radians, ``(size, size)``."""
    R = torch.eye(size, dtype=torch.float64)
    c, s = math.cos(angle), math.sin(angle)
    R[:2, :2] = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return R


def random_critical_points(
    widths: tuple[int, ...], starts: int, seed: int, points: int = 4
) -> CriticalPoints:
    """Go from random starts to critical points, each of a problem with data of its own.

    That the problems differ makes the points distinct: no two are copies by a symmetry.
    """
    draw, network = torch_generator(seed, "data"), linear_network(widths)
    a = normal(draw, starts, points, widths[0])
    f = 2 * normal(draw, starts, points, widths[-1])
    at = Instance(network, normal_weights(network, draw, starts), a, f)
    return critical_points(at, DECAY, steps=60, least_norm=0.1)


def slope_by_autograd(at: Instance) -> Tensor:
    """``‖∇ℓ_λ‖`` with no code of `pscore.loss`: the product ``a W_0 ⋯ W_H``, differentiated."""
    leaves = [matrix.clone().requires_grad_() for matrix in at.W]
    y = at.a
    for matrix in leaves:
        y = torch.bmm(y, matrix)
    loss = (y - at.f.reshape(y.shape)).square().sum() / (2 * at.a.shape[1])
    loss = loss + DECAY / 2 * sum(matrix.square().sum() for matrix in leaves)
    slopes = torch.autograd.grad(loss, leaves)
    return sum(g.square().sum((1, 2)) for g in slopes).sqrt()


@claim(
    "paper-lemma-7",
    "A linear network has no non-zero critical point in U(λ)",
    "certified",
    "Proved with the skipped case i = H closed; the hypothesis n_i > 1 is not needed.",
    hypotheses=("linear network", "λ > 0", "W ≠ 0", "∇ℓ_λ(W) = 0"),
    uses=("paper-lemma-3", "paper-definition-2", "eq-14", "linear-networks-rotation"),
    variant="λ in place of λ / (H(H+1)) in (14), a hundredth enlarged",
    least=195,
)
def check_lemma_7(seed: int) -> Evidence:
    """The contrapositive: non-zero critical points, of H = 1, 2, 3, are all outside U(λ).

    The points come from a second-order method that knows nothing of U(λ); that they are critical
    is confirmed by automatic differentiation; membership comes from singular values. Near to
    equality is the largest λ/κ, which U(λ) needs above 1. The variant fails at critical points
    on one data point.
    """
    seen = Evidence()
    for k, widths in enumerate(WIDTHS):
        for points in (1, 4):
            ends = random_critical_points(widths, 60, 100 * seed + k, points)
            H, kappa = len(widths) - 2, kappas(ends.points)["paper"]
            seen.add(ends.kept)
            seen.add(
                wrong=(kappa < DECAY) | (slope_by_autograd(ends.points) > ROUNDING),
                refuted=kappa / (H * (H + 1)) < 1.01 * DECAY,
                ratio=DECAY / kappa,
            )
    return seen


@claim(
    "linear-networks-rotation",
    "Rotating a hidden layer keeps the loss; at a critical point it is a flat direction",
    "certified",
    "Proved for every hidden layer, the one before the output included.",
    hypotheses=("linear network", "∇ℓ_λ(W) = 0", "the rotation moves W"),
    variant="the layer after the rotated one is not turned back",
    least=90,
)
def check_rotation(seed: int) -> Evidence:
    """Rotating a hidden layer keeps ``ℓ_λ``, and at a critical point makes the Hessian singular.

    Every hidden layer, the one before the output included, is rotated by a random angle; the loss
    is evaluated anew. The derivative of the rotation is a direction X, and the exact Hessian times
    X must vanish: the second computation differentiates nothing along the rotation.
    """
    draw, seen = torch_generator(seed, "shuffling"), Evidence()
    for k, widths in enumerate(WIDTHS):
        ends = random_critical_points(widths, 30, 100 * seed + k)
        at = ends.points
        before, hessian = regularized_loss(*at, DECAY), frozen_hessian(*at, DECAY)
        for layer in range(1, at.network.depth + 1):
            R = plane_rotation(widths[layer], 0.2 + uniform(draw, 1).item())
            after = regularized_loss(*at.at(rotate_hidden(at.W, layer, R)), DECAY)
            skew = torch.zeros_like(R)
            skew[0, 1], skew[1, 0] = -1.0, 1.0
            X = [torch.zeros_like(matrix) for matrix in at.W]
            X[layer - 1], X[layer] = at.W[layer - 1] @ skew.mT, skew @ at.W[layer]
            length, bent = flatten(X).norm(dim=-1), (hessian @ flatten(X).unsqueeze(-1)).norm(dim=1)
            one_side = list(at.W)
            one_side[layer] = R @ one_side[layer]
            changed = regularized_loss(*at.at(tuple(one_side)), DECAY)
            moves = torch.zeros_like(ends.kept)
            moves[ends.kept] = length > 1e-3
            seen.add(moves)
            seen.add(
                wrong=((after - before).abs() > ROUNDING) | (bent[:, 0] > 1e-7 * length),
                refuted=(changed - before).abs() > 1e-6,
            )
    return seen


def radial_derivative(at: Instance, weight_decay: float) -> Tensor:
    """Return ``⟨∇ℓ_λ(W), W⟩``, the slope on the way away from the origin, times ``‖W‖``."""
    return torch.linalg.vecdot(flatten(gradient(*at, weight_decay)), flatten(at.W))


@claim(
    "linear-networks-radial",
    "A bound from below for the slope away from the origin",
    "certified",
    "Proved; gives Lemma 7 on a set larger by the factor H(H+1), for all widths.",
    hypotheses=("linear network",),
    variant="half the factor in front of the norms",
    least=1970,
)
def check_radial(seed: int) -> Evidence:
    """``⟨∇ℓ_λ, W⟩ ≥ (λ − √2 r ℓ^{1/2} ‖W‖_*^{H−1}) ‖W‖²``, for all widths and outputs.

    The left side is backpropagation, the right side norms. Random W, and critical points on one
    data point, where both sides are 0. Widths of 1 and several outputs take part: nothing here
    rotates. Compared is what the training error contributes to both sides.
    """
    draw, seen = torch_generator(seed, "data"), Evidence()
    for k, widths in enumerate(WIDTHS + NARROW):
        network, H = linear_network(widths), len(widths) - 2
        a, f = normal(draw, 4, widths[0]), normal(draw, 4, widths[-1])
        sizes = uniform(draw, 300, 1, 1)
        W = tuple(sizes * w for w in normal_weights(network, draw, 300))
        ends = random_critical_points(widths, 20, 100 * seed + k, points=1)
        seen.add(300)
        seen.add(ends.kept)
        for at, decay in ((Instance(network, W, a, f), 0.5), (ends.points, DECAY)):
            square = squared_norm(at.W)
            pull = decay * square - radial_derivative(at, decay)
            ratio = pull / (kappas(at)["paper"] / (H * (H + 1)) * square)
            seen.add(wrong=ratio > 1 + ROUNDING, refuted=ratio > 0.5, ratio=ratio)
    return seen


@claim(
    "linear-networks-one-point",
    "On one data point the bound for critical points is an equality",
    "certified",
    "Proved: all layers are of rank one, of one norm, and aligned; so the factor H(H+1) is all "
    "that can be gained.",
    hypotheses=("linear network", "one data point, not 0", "W ≠ 0", "∇ℓ_λ(W) = 0"),
    uses=("linear-networks-radial",),
    variant="the same on four data points; a power H in place of H − 1",
    least=100,
)
def check_one_point(seed: int) -> Evidence:
    """``√2 r ℓ^{1/2} ‖W‖_*^{H−1} = λ``, and ranks, at critical points on one data point.

    The points are found by a second-order method; norms and ranks are read off singular values.
    """
    seen = Evidence()
    for k, widths in enumerate(WIDTHS + NARROW):
        shares = {}
        for points in (1, 4):
            ends = random_critical_points(widths, 40, 100 * seed + k, points)
            at, H = ends.points, len(widths) - 2
            values = [torch.linalg.svdvals(matrix) for matrix in at.W]
            star = torch.stack([v[:, 0] for v in values]).amax(0)
            e = (at.network(at.W, at.a) - at.f).reshape(*at.a.shape[:2], -1)
            size = at.a.norm(dim=-1).amax(-1) * e.square().sum(-1).mean(-1).sqrt()
            shares[points] = size * star ** (H - 1) / DECAY
            if points == 1:
                seen.add(ends.kept)
                others = torch.cat([v[:, 1:] for v in values], dim=-1)
                rank_one = (others < 1e-6 * star[:, None]).all(-1)
                wrong = ~rank_one | ((shares[1] - 1).abs() > 1e-6)
                other_power = (shares[1] * star - 1).abs() > 1e-3
        seen.add(
            wrong=wrong, refuted=(int(((shares[4] - 1).abs() > 1e-3).sum()), int(other_power.sum()))
        )
    return seen


@claim(
    "linear-networks-outward",
    "In U(λ) the loss of a linear network grows along every ray from the origin",
    "certified",
    "Proved: the slope is at least λ (1 − 1/(H(H+1))) ‖W‖ at every W ≠ 0 of U(λ).",
    hypotheses=("linear network", "W in U(λ)", "W ≠ 0"),
    uses=("linear-networks-radial", "eq-14"),
    variant="the same for all W",
    least=1220,
)
def check_outward_inside(seed: int) -> Evidence:
    """At every W ≠ 0 of U(λ) the loss grows on the way out: Lemma 7 tested where it speaks.

    Random points of many sizes, around the origin and far from it. The slope is a central
    difference of ``ℓ_λ`` along the ray, with an error of second order in its step, and never sees
    a gradient.
    """
    draw, decay, h, seen = torch_generator(seed, "data"), 1.0, 1e-4, Evidence()
    for widths in WIDTHS + NARROW:
        network, H = linear_network(widths), len(widths) - 2
        a, f = normal(draw, 4, widths[0]), normal(draw, 4, widths[-1])
        a = a / a.norm(dim=-1).max()
        f = f * (0.3 if H == 1 else 40.0) / f.square().sum().sqrt()
        sizes = 10 ** (0.3 - 3 * uniform(draw, 400, 1, 1))
        W = tuple(sizes * w for w in normal_weights(network, draw, 400))
        at = Instance(network, W, a, f)
        outer, inner = (
            regularized_loss(*at.at(tuple(s * w for w in W)), decay) for s in (1 + h, 1 - h)
        )
        slope = (outer - inner) / (2 * h) / squared_norm(W)
        least = decay * (1 - 1 / (H * (H + 1)))
        inside = kappas(at)["paper"] < decay
        seen.add(inside, wrong=slope < least - 1e-6, refuted=slope < 0, ratio=least / slope)
    return seen


@claim(
    "linear-networks-switches",
    "Switches interfere with the rotation",
    "certified",
    "Proved by an example in closed form, with and without switches; the paper's remark.",
    hypotheses=("H = 1, two units, a = 1, W_0 = (b, −b'), W_1 = (c, c')", "the second unit is off"),
    variant="a rotation keeps the output of the ReLU network too; the second unit counts",
    least=100,
)
def check_switches_interfere(seed: int) -> Evidence:
    """The paper's remark: in a ReLU network a rotation of hidden units changes the output.

    The networks' own outputs after a rotation, against ``(b cos t + b' sin t)(c cos t − c' sin t)``
    with ReLUs, and against ``b c − b' c'`` without.
    """
    draw, seen = torch_generator(seed, "data"), Evidence()
    curved, straight = ReLUNetwork((1, 2, 1), output_relu=False), linear_network((1, 2, 1))
    one = torch.ones(1, 1, dtype=torch.float64)
    for u in (0.2 + uniform(draw, 200, 5)).tolist():
        p, q, s, other = u[:4]
        t = 2 * (u[4] - 0.7)
        W = tuple(torch.tensor(w, dtype=one.dtype) for w in ([[p, -q]], [[s], [other]]))
        turned = rotate_hidden(W, 1, plane_rotation(2, t))
        on, off = (network(turned, one).item() for network in (curved, straight))
        first, second = p * math.cos(t) + q * math.sin(t), p * math.sin(t) - q * math.cos(t)
        expected = first * (s * math.cos(t) - other * math.sin(t))
        met = first > 0 > second
        seen.add(
            met,
            wrong=abs(on - expected) > ROUNDING or abs(off - (p * s - q * other)) > ROUNDING,
            refuted=(met and abs(on - p * s) > 1e-3, met and abs(on - off) > 1e-3),
        )
    return seen


def first_slope(A: Tensor, a: Tensor, f: Tensor, identity: float) -> tuple[float, float]:
    """Return the gradient's norm in the first layer ``cI + A_0``, and the bound of the statement.

    Args:
        A: the matrices ``(H+1, n, n)``.
        a: inputs ``(N, n)``.
        f: targets ``(N, n)``.
        identity: c.
    """
    leaf = A.clone().requires_grad_()
    x = a
    for matrix in leaf:
        x = identity * x + x @ matrix
    error = (x - f).square().sum(-1).mean() / 2
    slope = torch.autograd.grad(error, leaf)[0][0].norm().item()
    norms = np.linalg.norm(A.numpy(), 2, axis=(1, 2))
    moments = a.numpy().T @ (x - f).detach().numpy() / len(a)
    return slope, float(np.prod(1 - norms[1:]) * np.linalg.norm(moments))


@claim(
    "linear-networks-residual",
    "linear residual networks: critical with all norms below 1 is a global minimum",
    "certified",
    "proved; the theorem is Hardt and Ma's, here for any data",
    hypotheses=("square layers I + A_k", "‖A_k‖_2 < 1", "λ = 0"),
    variant="likewise for the product of the A_k",
    least=120,
)
def check_residual(seed: int) -> Evidence:
    """Check linear residual networks: the gradient of one layer against the least-squares slope.

    The gradient is automatic differentiation through the product, the right side norms and a
    matrix of moments in NumPy.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for instance in range(120):
        n, depth = 2 + instance % 2, 2 + instance % 3
        A = normal(draw, depth, n, n)
        size = 0.05 + 0.9 * uniform(draw, depth)
        A = A * (size / torch.linalg.matrix_norm(A, 2))[:, None, None]
        a, f = normal(draw, 2, 6, n)
        (slope, floor), (plain, plain_floor) = (first_slope(A, a, f, c) for c in (1.0, 0.0))
        seen.add(
            1,
            wrong=slope < floor * (1 - TOLERANCE),
            refuted=plain < plain_floor * (1 - TOLERANCE),
            ratio=floor / slope,
        )
    return seen
