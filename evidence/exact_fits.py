"""Checks of what the theory says where the training error is zero.

The points are those of `solvers.memorization`. Errors, slopes and ranks are computed in rational
arithmetic, from outputs alone; the certificate and gradients in float64, where nothing is rounded.
"""

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import qr
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.fits import Matrices, data, error, one_weight_off
from evidence.instances import normal, normal_weights, random_stack
from evidence.measures import TOLERANCE, kappas
from evidence.rational import rank
from evidence.solvers.memorization import as_fractions, exact_outputs, extended, memorize
from pscore.certificate import certify
from pscore.curvature import flatten
from pscore.instance import Instance
from pscore.loss import gradient, regularized_loss, squared_norm, training_error
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import rng, torch_generator


def slope(W: Matrices, X: Matrices, a: np.ndarray, f: np.ndarray) -> Fraction:
    """Return the derivative of ℓ at W along X, exactly, from values: ℓ is a polynomial nearby.

    A central difference of 2n values, exact for polynomials of the degree ``2n = 2(H + 2)``.
    """
    n, step = len(W) + 1, Fraction(1, 2**60)

    def at(k: int) -> Fraction:
        return error(tuple(w + k * step * x for w, x in zip(W, X, strict=True)), a, f)

    weights = {k: Fraction((-1) ** (k + 1) * comb(2 * n, n - k), k) for k in range(1, n + 1)}
    total = sum((c * (at(k) - at(-k)) for k, c in weights.items()), Fraction(0))
    return total / (comb(2 * n, n) * step)


@claim(
    "exact-fits-inside",
    "where ℓ = 0, all four margins are λ, and ∇ℓ_λ(W) = λW, on kinks too",
    "certified",
    "Proved; checked in rational arithmetic and, where nothing is rounded, in float64.",
    hypotheses=("ℓ(W) = 0",),
    uses=("paper-definition-2",),
    variant="slope zero with one weight of the output changed by a thousandth",
    least=317,
)
def check_inside(seed: int) -> Evidence:
    """Compute slopes of ℓ in fractions, and the margin of U and the gradient in float64.

    In fractions: the left side of (6) is zero because ℓ is, and so is the slope of ℓ in random
    directions, from its values alone. In float64, `on_whole_numbers`, where nothing is rounded: the
    margin of U is λ and the gradient λW, to the last bit. And teachers on kinks: all four margins.
    """
    seen = Evidence()
    draw = rng(seed, "initialization")
    for number, (N, n, d) in enumerate(((2, 1, 1), (5, 2, 1), (6, 2, 2), (9, 3, 1))):
        a, f = data(20 * seed + number, N, n, d)
        W = memorize(a, f).matrices
        for _ in range(2):
            X = tuple(as_fractions(draw.integers(-3, 4, size=matrix.shape)) for matrix in W)
            wrong = (error(W, a, f) != 0) | (slope(W, X, a, f) != 0)
            seen.add(1, wrong=wrong, refuted=slope(one_weight_off(W, draw), X, a, f) != 0)
    for N in (4, 9, 25):
        at = on_whole_numbers(N, seed)
        for decay in (1e-6, 1.0, 1e3):
            off = certify(*at, decay)["paper"].margin != decay
            G = flatten(gradient(*at, decay))
            seen.add(1, wrong=off | bool((G != decay * flatten(at.W)).any()))
    for widths in ((2, 3, 1), (2, 3, 2, 1), (1, 2, 2, 2, 1)):
        seen.add(100, wrong=missed_on_kinks(widths, seed))
    return seen


def missed_on_kinks(widths: tuple[int, ...], seed: int, decay: float = 0.3) -> Tensor:
    """Say of teachers with an input on a kink whether a margin is not λ, or the slope not λW.

    The slope along W is a difference of values of ``ℓ_λ`` on either side.
    """
    h, network = 1e-4, ReLUNetwork(widths, len(widths) == 4)
    stack = random_stack(network, seed, count=100, points=3, spread=0.3)
    if widths[0] == 2:  # the first data point on the first unit's kink
        w = stack.W[0][..., 0]
        stack.a[:, 0] = torch.stack([-w[:, 1], w[:, 0]], -1)
    at, size = stack._replace(f=stack.outputs()), squared_norm(stack.W)
    nearer, further = (
        regularized_loss(*at.at(tuple(t * w for w in at.W)), decay) for t in (1 - h, 1 + h)
    )
    slope = (further - nearer) / (2 * h)
    wrong = (slope - decay * size).abs() > 1e-3 * (decay * size + at.f.square().amax(-1))
    return wrong | torch.stack([kappa > 1e-9 for kappa in kappas(at).values()]).any(0)


def on_whole_numbers(N: int, seed: int = 0) -> Instance:
    """Return a memorizer of N signs at neighbouring whole numbers: float64 holds it exactly."""
    a = np.arange(N)[:, None] - (N - 1) // 2
    f = rng(seed, "data").choice([-1.0, 1.0], size=N)
    net = memorize(a, f)
    inputs = extended(torch.from_numpy(a.astype(np.float64)))
    return Instance(net.network, net.weights, inputs, torch.from_numpy(f))


def stays_from(depth: int, f: float) -> float:
    """Return the λ above which the flow of the proposition stays in U, at width one."""
    norm = ((depth - 1) * f / (2 * depth)) ** (1 / (depth + 1))
    return (depth + 1) ** 2 / 2 * f * norm ** (depth - 1)


@claim(
    "exact-fits-leaves",
    "from ℓ = 0, below the zero network, the way leads out of U; at large λ it need not",
    "certified",
    "Proved for convergent descents, and at width one in closed form.",
    hypotheses=(
        "ℓ = 0 at the start",
        "λ‖W‖² < 2ℓ(0), ℓ_λ does not increase, and the end is critical",
        "for staying inside: width one, equal layers, a = 1, f > 0, H ≥ 2",
    ),
    uses=("how-large-time",),
    variant="every way from ℓ = 0 leaves U",
    least=60,
)
def check_leaves(seed: int) -> Evidence:
    """Follow descents from teachers to their ends, and flows at width one on both sides of λ.

    Ends count that are critical up to a thousandth of λ‖W‖. The flows are solved by scipy, for one
    variable, and the network's own κ is compared with λ along them.
    """
    seen = Evidence(varies=True)
    for H, widths in ((1, (2, 3, 1)), (2, (2, 3, 3, 1))):
        network = ReLUNetwork(widths, output_relu=False)
        draw = torch_generator(seed, "data")
        W, a = normal_weights(network, draw, 150), normal(draw, 150, 2, 2)
        at = Instance(network, tuple(0.8 * w for w in W), a, network(W, a) * 0.8 ** (H + 1))
        decay = 0.9 * at.f.square().mean(-1) / squared_norm(at.W)
        use, decay = decay > 0.03, decay.clamp(min=0.03)
        for _ in range(1500):
            g = gradient(*at, 0.0)
            g = tuple(x + decay[:, None, None] * w for x, w in zip(g, at.W, strict=True))
            at = at.at(tuple(w - 0.05 * x for w, x in zip(at.W, g, strict=True)))
        norm = squared_norm(at.W).sqrt()
        still = use & (squared_norm(g).sqrt() < 1e-3 * decay * norm)
        seen.add(still, wrong=kappas(at)["paper"] < 0.99 * H * (H + 1) * decay)
    one = torch.ones(1, 1, dtype=torch.float64)
    for H, f in product((2, 3, 4), (0.1, 0.3, 1.0, 5.0)):
        network = ReLUNetwork((1,) * (H + 2), output_relu=False)
        for share in (0.98, 1.02):
            decay = share * stays_from(H, f)
            way = solve_ivp(
                lambda _, norm, H=H, f=f, decay=decay: (
                    (f - norm ** (H + 1)) * norm**H - decay * norm
                ),
                (0, 15 / decay),
                [f ** (1 / (H + 1))],
                rtol=1e-8,
                max_step=0.05 / decay,
            ).y[0]
            stack = tuple(torch.from_numpy(way).reshape(-1, 1, 1) for _ in range(H + 1))
            kappa = kappas(Instance(network, stack, one, f * one[0]))["paper"]
            inside = bool((kappa < decay).all())
            wrong = inside != (share > 1) or (inside and way[-1] > 1e-4)
            seen.add(1, wrong=wrong, refuted=inside)
    return seen


def jacobian(matrices: Matrices, a: np.ndarray) -> np.ndarray:
    """Return the derivatives of all outputs by all weights, ``(N d, m)``, in fractions.

    Without output ReLU; at a switch boundary those of the side where the unit is off.
    """
    layers = [np.hstack([a, as_fractions(np.ones((len(a), 1)))]), *exact_outputs(matrices, a)[1]]
    back: list[np.ndarray] = []
    way = np.stack([as_fractions(np.eye(matrices[-1].shape[1], dtype=int))] * len(a))
    for k in range(len(matrices) - 1, -1, -1):
        back.append(np.einsum("pi,pjo->poij", layers[k], way).reshape(-1, matrices[k].size))
        if k:
            way = (layers[k] > 0)[:, :, None] * np.stack([matrices[k] @ B for B in way])
    return np.hstack(back[::-1])


def rescalings(matrices: Matrices) -> np.ndarray:
    """Return for each hidden unit the way in which its weights grow and those after it shrink.

    ``(Σ n_k, m)``; their sums over a layer rescale that layer against the next.
    """
    rows = []
    for k, matrix in enumerate(matrices[:-1]):
        for unit in range(matrix.shape[1]):
            X = [np.zeros_like(W) for W in matrices]
            X[k][:, unit] = matrix[:, unit]
            X[k + 1][unit] = -matrices[k + 1][unit]
            rows.append(np.concatenate([V.ravel() for V in X]))
    return as_fractions(np.stack(rows))


@claim(
    "exact-fits-flat",
    "the Hessian of ℓ there has nullity m − Nd; rescalings of units are in its kernel",
    "certified",
    "Proved; ranks computed in rational arithmetic.",
    hypotheses=("W is a memorizer as built here",),
    uses=("memorization-depth", "minima-scaling"),
    variant="a unit's weights and those after it grow together",
    least=51,
)
def check_flat(seed: int) -> Evidence:
    """Find the kernel of the Hessian ``JᵀJ/N`` of ℓ, that of J, by ranks in fractions.

    J has the rank N d, and is zero on the rescalings of units, which are independent. An instance
    is a hidden unit.
    """
    seen = Evidence()
    for number, (N, n, d, groups) in enumerate(
        ((2, 1, 1, None), (5, 2, 1, None), (6, 1, 2, None), (9, 2, 1, None), (6, 1, 1, (3, 3)))
    ):
        a, f = data(20 * seed + number, N, n, d)
        matrices = memorize(a, f, groups=groups).matrices
        J, X = jacobian(matrices, a), rescalings(matrices)
        full = (rank(J) == N * d) & (rank(X) == len(X))
        seen.add(
            len(X),
            wrong=(J @ X.T != 0).any(0) | (not full),
            refuted=(J @ np.abs(X).T != 0).any(0),
        )
    return seen


def interpolating(a: Tensor, f: Tensor, draw: torch.Generator) -> Weights:
    """Return a network of width N without biases that fits N inputs, no two of them collinear."""
    directions = normal(draw, 200, a.shape[-1])
    features = (a @ directions.mT).relu()
    _, order = qr(features.numpy(), mode="r", pivoting=True)  # independent columns first
    chosen = torch.from_numpy(order[: len(a)]).long()
    v = torch.linalg.solve(features[:, chosen], f)
    return directions[chosen].mT, v[:, None]


def best_on_a_ray(a: Tensor, c: float, f: Tensor) -> Instance:
    """Return the best network for inputs a and ca: one path, by least squares on the ray."""
    s = float(f[0] + c * f[1]) / (1 + c * c)
    first = torch.outer(a / a.square().sum(), torch.tensor([1.0, 0.0]).to(a))
    W = (first, torch.tensor([[s], [0.0]]).to(a))
    return Instance(ReLUNetwork((2, 2, 1), False), W, torch.stack([a, c * a]), f)


@claim(
    "exact-fits-zero-error",
    "zero error without biases: impossible on one ray, possible if no ray is shared",
    "certified",
    "proved",
    hypotheses=("no biases", "for the bound: two inputs on one ray", "to fit: none on another's"),
    variant="two collinear inputs can be fitted",
    least=1320,
)
def check_zero_error(seed: int) -> Evidence:
    """Check when zero training error can be had without biases.

    Two inputs on one ray: the bound at random networks, and at the best one for the two, which
    attains it. No two collinear: a network of width N, made by solving N linear equations, whose
    error is then computed from its weights.
    """
    seen = Evidence()
    draw = torch_generator(seed, "data")
    for k in range(60):
        c = float(torch.rand(1, generator=draw)) + 0.2
        a, f = normal(draw, 2, 2), normal(draw, 2)
        floor = float((f[1] - c * f[0]) ** 2) / (4 * (1 + c * c))
        best = best_on_a_ray(a[0], c, f)
        least = training_error(*best)
        missed = (least - floor).abs() > 1e-6 * floor + 1e-12
        seen.add(1, wrong=missed, refuted=floor > 1e-3, ratio=floor / least)
        stack = random_stack(ReLUNetwork((2, 2, 2, 1), False), 1000 * seed + k, count=20, points=2)
        error = training_error(stack.network, stack.W, best.a, f)
        seen.add(20, wrong=error < floor * (1 - TOLERANCE))
        points, targets = normal(draw, 5, 3), normal(draw, 5)
        network = ReLUNetwork((3, 5, 1), False)
        error = training_error(network, interpolating(points, targets, draw), points, targets)
        seen.add(1, wrong=error > 1e-12)
    return seen
