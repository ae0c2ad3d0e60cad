r"""Checks of what a step of gradient descent has to do with the curvature that is measured on it.

The losses are quartic polynomials in rational numbers, so that both sides are exact: their Hessians
are written out, and along a step the curvature is a quadratic polynomial, whose weighted mean

.. math:: \bar c = \frac2{\eta^2}\int_0^\eta(\eta - s)\,c(s)\,ds = \tfrac13(c(0) + 2c(\eta/2))

Simpson's rule gives without error.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from torch.autograd.functional import hessian, jacobian

from evidence.claims import Evidence, claim
from evidence.descents.polynomials import (
    Folded,
    mean_second,
    mean_value,
    random_fractions,
    random_polynomial,
)
from evidence.descents.solvable import shares, two_weights
from evidence.descents.waves import Waves
from evidence.instances import Normalised, draw_normalised
from pscore.seeds import rng, torch_generator


@claim(
    "step-size-parabola",
    "a step changes the loss by −η‖g‖²(1 − ηc̄/4), with the curvature's mean along it",
    "certified",
    "Proved; both sides in rational numbers, for polynomials.",
    hypotheses=("ℓ twice continuously differentiable along the step", "∇ℓ(W) ≠ 0"),
    uses=("eq-17",),
    variant="1 − ηc̄/2, as for the flow",
    least=50,
)
def check_one_step(seed: int, problems: int = 60) -> Evidence:
    """Compare the change of a loss over a step with the curvature's mean along it, exactly.

    One side is the difference of two values, the other uses gradient and Hessian. Every other loss
    is quadratic: for it also the step 2/c must end at the lowest point of its line, and 4/c as
    high as it began.
    """
    seen, draw = Evidence(), rng(seed, "data")
    for index in range(problems):
        n = int(draw.integers(1, 4))
        loss = random_polynomial(draw, n, 2 if index % 2 else 4)
        W, eta = random_fractions(draw, n), Fraction(int(draw.integers(1, 9)), 16)
        g = loss.gradient(W)
        square = g @ g
        if not square:
            seen.add(False)
            continue
        change = loss.value(W - eta * g) - loss.value(W)
        bend = eta * mean_second([loss], W, g, eta) / square
        wrong = change != -eta * square * (1 - bend / 4)
        c = 2 * loss.second(W, g) / square
        if index % 2 and c > 0:
            wrong |= loss.gradient(W - 2 / c * g) @ g != 0
            wrong |= loss.value(W - 4 / c * g) != loss.value(W)
        seen.add(True, wrong=wrong, refuted=change != -eta * square * (1 - bend / 2))
    return seen


@claim(
    "step-size-budget",
    "over steps on random batches the mean curvature is 4β/η, less what the loss has fallen",
    "certified",
    "Proved; both sides in rational numbers, over all runs of two steps.",
    hypotheses=(
        "steps along the gradients of batches drawn independently",
        "losses differentiable and their mean twice continuously differentiable",
        "gradients not all zero",
    ),
    uses=("step-size-parabola",),
    variant="1 in place of the share β, as if each step followed the whole gradient",
    least=12,
)
def check_budget(seed: int, problems: int = 12) -> Evidence:
    """Compare both sides of the budget of curvature, exactly, over all runs of two steps.

    Three losses, each step follows the gradient of one of them, drawn evenly: nine runs, all of
    which are gone through. One side is the loss at their ends, the other the sums over their steps.
    """
    seen, draw = Evidence(), rng(seed, "data")
    for _ in range(problems):
        losses = [random_polynomial(draw, 2) for _ in range(3)]
        start, eta = random_fractions(draw, 2), Fraction(1, int(draw.integers(8, 33)))
        ends, bends, squares, wholes = (Fraction(0) for _ in range(4))
        for order in product(range(3), repeat=2):
            W = start
            for chosen in order:
                slopes = [q.gradient(W) for q in losses]
                g, whole = slopes[chosen], sum(slopes) / 3
                bends += mean_second(losses, W, g, eta)
                squares += g @ g
                wholes += whole @ whole
                W = W - eta * g
            ends += mean_value(losses, W)
        if not squares:
            seen.add(False)
            continue
        C, beta = bends / squares, wholes / squares
        fall = 9 * mean_value(losses, start) - ends
        wrong = (eta * C / 4 != beta - fall / (eta * squares)) | (not 0 <= beta <= 1)
        wrong |= (fall > 0) != (C < 4 * beta / eta)
        seen.add(True, wrong=wrong, refuted=eta * C / 4 != 1 - fall / (eta * squares))
    return seen


@claim(
    "step-size-standstill",
    "a bounded loss and squared gradients without a finite sum: the mean curvature is 4β/η",
    "certified",
    "Proved; descents on bounded waves, one or all at a time, with Hessians along each step.",
    hypotheses=("|E L| bounded along the steps", "the bound below 1/20 after the steps made"),
    uses=("step-size-budget",),
    variant="2/η in place of 4/η; 1 in place of β where batches differ",
    least=20,
)
def check_standstill(seed: int, runs: int = 40, steps: int = 2000) -> Evidence:
    r"""Follow descents on bounded functions, along the whole gradient and along one of five.

    The functions are means of five waves :math:`\cos(a_k^TW + b_k)` in the plane, the learning
    rates so large that most runs never come to rest. The curvature's mean along each step is
    taken by Gauss's rule, from Hessians; the other side knows only that the values lie in
    [−1, 1] and how large the gradients were: by the budget,
    :math:`|\eta C_T/4 - \beta| \le 2/(\eta\,S_T)`. For single waves expectations are means over
    300 runs, allowed five standard errors of the noise. Along the whole gradient the largest
    eigenvalue has to reach :math:`2/\eta`, up to such a bound, in the last quarter again.
    """
    seen, draw = Evidence(varies=True), rng(seed, "data")
    waves = Waves(draw.normal(size=(runs, 5, 2)), draw.uniform(0, 2 * np.pi, (runs, 5)))
    W, eta = draw.normal(size=(runs, 2)), draw.uniform(1, 6, runs)
    bends, squares, steepest = np.zeros(runs), np.zeros(runs), np.zeros(runs)
    for step in range(steps):
        g = waves.slopes(W).mean(1)
        bends += waves.bend(W, g, eta)
        squares += (g**2).sum(1)
        if 4 * step >= 3 * steps:
            steepest = np.maximum(steepest, waves.steepest(W, g, eta))
        else:
            before = squares.copy()
        W = W - eta[:, None] * g
    bound = 2 / (eta * squares)
    mean, use = eta * bends / squares / 4, bound < 0.05
    late = 2 / np.maximum(eta * (squares - before), 1e-300)
    wrong = (abs(mean - 1) > bound + 1e-6) | (eta * steepest / 2 < 1 - late - 1e-6)
    seen.add(use, wrong=wrong, refuted=(use & (abs(mean - 0.5) > bound), False))
    for _ in range(8):
        _add_single_waves(seen, draw)
    return seen


def _add_single_waves(seen: Evidence, draw: np.random.Generator, runs: int = 300) -> None:
    """Follow steps along single waves of one mean, from one place, and take means over runs."""
    one = draw.normal(size=(1, 5, 2)), draw.uniform(0, 2 * np.pi, (1, 5))
    waves = Waves(*(np.repeat(x, runs, 0) for x in one))
    W, eta = np.repeat(draw.normal(size=(1, 2)), runs, 0), np.full(runs, draw.uniform(1, 3))
    bends, squares, wholes, noise = (np.zeros(runs) for _ in range(4))
    for _ in range(300):
        slopes = waves.slopes(W)
        whole, g = slopes.mean(1), slopes[np.arange(runs), draw.integers(5, size=runs)]
        bends += waves.bend(W, g, eta)
        squares += (g**2).sum(1)
        wholes += (whole**2).sum(1)
        noise += (whole * (g - whole)).sum(1)
        W = W - eta[:, None] * g
    bound, beta = 2 / (eta[0] * squares.mean()), wholes.sum() / squares.sum()
    allowed = bound + 5 * noise.std() / (runs**0.5 * squares.mean()) + 1e-6
    mean, use = eta[0] * bends.sum() / squares.sum() / 4, bool(bound < 0.05)
    wrong, other = bool(abs(mean - beta) > allowed), bool(abs(mean - 1) > allowed)
    seen.add(np.array([use]), wrong=wrong, refuted=(False, use and other))


@claim(
    "step-size-lengths",
    "steps lengthen weights before a batch norm, by exactly η²‖∇ℓ‖²; the flow never does",
    "certified",
    "Proved; lengths after a step, and along flows solved numerically, against the formulas.",
    hypotheses=("ℓ(cU, V) = ℓ(U, V) for c > 0", "ℓ differentiable at W", "U ≠ 0"),
    uses=("cifar-scale-invariance",),
    variant="(1 − ηλ)²‖U‖² without the square of the step; e^(−λt) in place of e^(−2λt)",
    least=30,
)
def check_lengths(seed: int, problems: int = 40) -> Evidence:
    """Follow the length of weights before a batch norm over a step, and along the flow.

    One side is the length of the weights after the step, the other the length before it and that
    of the gradient; with the learning rate at which the length should stay, it has to. Flows, for
    smooth units, are solved by scipy. The networks normalise the outputs of their first layer; an
    instance counts if the gradient is not small and no unit's outputs are all alike.
    """
    seen, draw = Evidence(), torch_generator(seed, "data")
    for index in range(problems):
        one = draw_normalised(draw, index)
        eta, decay = (float(torch.rand((), generator=draw)) for _ in range(2))
        slope, square = jacobian(one.loss, one.U), one.U.square().sum()
        use = (slope.norm() >= 1e-2) & (one.spread >= 1e-3)
        shrunk = (1 - eta * decay) ** 2 * square
        after = (one.U - eta * (slope + decay * one.U)).square().sum()
        still = 2 * decay * square / (slope.square().sum() + decay**2 * square)
        same = (one.U - still * (slope + decay * one.U)).square().sum()
        wrong = (after - shrunk - eta**2 * slope.square().sum()).abs() > 1e-12 * after
        wrong |= (same - square).abs() > 1e-9 * square
        slower = False
        if index % 2 == 0 and use:
            length = flow_length(one, decay)
            wrong |= abs(length / (square * math.exp(-2 * decay)) - 1) > 1e-6
            slower = abs(length / (square * math.exp(-decay)) - 1) > 1e-3
        seen.add(use, wrong=wrong, refuted=(use & ((after - shrunk).abs() > 1e-9 * after), slower))
    return seen


def flow_length(one: Normalised, decay: float) -> float:
    """Return ``‖U‖²`` at the time 1 of the flow of the regularised loss, in both layers."""
    sizes, shapes = (one.U.numel(), one.V.numel()), (one.U.shape, one.V.shape)

    def velocity(_: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        parts = torch.from_numpy(flat).split(sizes)
        U, V = (part.reshape(x).requires_grad_() for part, x in zip(parts, shapes, strict=True))
        slopes = torch.autograd.grad(one.loss(U, V), (U, V))
        return -torch.cat([g.flatten() for g in slopes]).numpy() - decay * flat

    start = torch.cat([one.U.flatten(), one.V.flatten()]).numpy()
    end = solve_ivp(velocity, (0, 1), start, rtol=1e-9, atol=1e-11).y[: sizes[0], -1]
    return float(end @ end)


@claim(
    "step-size-order",
    "whatever the order of the batches, and with kinks: ηC/4 + kinks = β + ω − fall, for each run",
    "certified",
    "Proved; both sides in rational numbers, for folded parabolas and any directions.",
    hypotheses=(
        "L continuous, and twice differentiable along each step but for finitely many kinks",
        "no step begins on a kink",
    ),
    uses=("step-size-budget",),
    variant="without the kinks; without ω, as for batches drawn independently",
    least=40,
)
def check_order(seed: int, problems: int = 60, steps: int = 3) -> Evidence:
    """Compare both sides of the budget of a single run, exactly, along directions of any kind."""
    seen, draw = Evidence(), rng(seed, "data")
    for _ in range(problems):
        A, a, b, d = (random_fractions(draw, *shape) for shape in ((2, 2), (3,), (3, 2), (3,)))
        loss, eta = Folded(A + A.T, a, b, d), Fraction(int(draw.integers(1, 5)), 8)
        start = W = random_fractions(draw, 2) + Fraction(1, 97)
        use, squares, wholes, chance, bends, kinks = True, *[Fraction(0)] * 5
        for _ in range(steps):
            g, v = loss.gradient(W), random_fractions(draw, 2)
            use &= bool(all(loss.b @ W != loss.d))
            squares, wholes, chance = squares + v @ v, wholes + g @ g, chance + g @ (v - g)
            bends, kinks = bends + 2 * v @ loss.A @ v, kinks + loss.kinks(W, v, eta)
            W = W - eta * v
        if not squares:
            seen.add(False)
            continue
        fall = (loss.value(start) - loss.value(W)) / (eta * squares)
        bent, folded = eta * bends / squares / 4, kinks / (eta * squares)
        share, kappa = wholes / squares, chance / squares
        wrong = bent + folded != share + kappa - fall
        refuted = (use and bent != share + kappa - fall, use and bent + folded != share - fall)
        seen.add(use, wrong=wrong, refuted=refuted)
    return seen


@claim(
    "step-size-noisy-quadratic",
    "on a noisy quadratic the curvature is 2h at every learning rate, and β is what follows it",
    "certified",
    "Proved; runs of SGD on two parabolas, drawn independently and reshuffled.",
    hypotheses=("batches h/2 ‖W − ξ‖² of one h", "0 < ηh < 2"),
    uses=("step-size-budget", "step-size-order"),
    variant="β of independent batches for reshuffled ones, and the other way round",
    least=16,
)
def check_noisy_quadratic(seed: int) -> Evidence:
    """Compare the share β of many long runs with the formulas, up to six standard errors."""
    seen, draw = Evidence(), rng(seed, "data")
    for slope in draw.uniform(0.1, 1.2, 8):
        formulas = slope / 2, slope**2 / (2 + slope)
        for reshuffled in (False, True):
            found = shares(draw, slope, reshuffled)
            allowed = 6 * found.std() / len(found) ** 0.5 + 1e-3 * found.mean()
            right, other = (formulas[k] for k in (reshuffled, not reshuffled))
            off, far = abs(found.mean() - right) > allowed, abs(found.mean() - other) > allowed
            seen.add(1, wrong=bool(off), refuted=bool(far))
    return seen


@claim(
    "step-size-two-weights",
    "on (wv − 1)²/2 steps that converge end where c ≤ 4/η, and the flow ends where it likes",
    "certified",
    "Proved; identities in rational numbers, descents to their ends, flows by scipy.",
    hypotheses=("steps converge to a minimum and land on none before",),
    uses=("step-size-parabola",),
    variant="2/η in place of 4/η; w² − v² kept by the steps as by the flow",
    least=50,
)
def check_two_weights(seed: int, starts: int = 200) -> Evidence:
    """Follow steps and flows from sharp places, and compare the curvature where they end."""
    seen, draw = Evidence(varies=True), rng(seed, "data")
    for _ in range(20):  # one step, and the quotient, in rational numbers
        w, v, eta = (x + Fraction(1, 97) for x in random_fractions(draw, 3))
        rest, gap = w * v - 1, w * w - v * v
        g = np.array([rest * v, rest * w], dtype=object)
        H = np.array([[v * v, 2 * w * v - 1], [2 * w * v - 1, w * w]], dtype=object)
        c = 2 * (g @ H @ g) / (g @ g)
        one, other = w - eta * g[0], v - eta * g[1]
        wrong = c != 2 * (w**4 + v**4 + 4 * (w * v) ** 2 - 2 * w * v) / (w * w + v * v)
        wrong |= one**2 - other**2 != gap * (1 - (eta * rest) ** 2)
        seen.add(1, wrong=wrong, refuted=(False, gap and one**2 - other**2 != gap))
    w, v = draw.uniform(1, 4, starts), draw.uniform(0, 0.3, starts)
    for eta in (0.1, 0.2, 0.4):
        one, other = two_weights(w, v, eta, 20000)
        ended = abs(one * other - 1) < 1e-9
        c = 2 * (one**2 + other**2)
        seen.add(ended, wrong=c > 4 / eta * (1 + 1e-6), refuted=(ended & (c > 2 / eta), False))
    for k in range(5):
        field = lambda _, W: -(W[0] * W[1] - 1) * W[::-1]  # noqa: E731
        one, other = solve_ivp(field, (0, 50), (w[k], v[k]), rtol=1e-9, atol=1e-11).y[:, -1]
        c = 2 * math.hypot(w[k] ** 2 - v[k] ** 2, 2)
        seen.add(1, wrong=abs(2 * (one**2 + other**2) / c - 1) > 1e-6)
    return seen


@claim(
    "step-size-cross-entropy",
    "a small cross-entropy bounds the curvature where the outputs' derivatives are bounded",
    "certified",
    "Proved; second derivatives of products of two matrices, by torch, against the bound.",
    hypotheses=("outputs twice continuously differentiable",),
    uses=("eq-17",),
    variant="the bound without the Jacobian's size",
    least=100,
)
def check_cross_entropy(seed: int, problems: int = 120) -> Evidence:
    """Compare curvature and bound for y = VUx, and for y = (z, −z) with z linear, near equality."""
    seen, draw = Evidence(), torch_generator(seed, "data")
    x = torch.randn(2, 4, generator=draw, dtype=torch.float64)
    for index in range(problems):
        W = torch.randn(10, generator=draw, dtype=torch.float64)
        stretch = 10.0 ** (index % 3)  # some with U small and V large
        W = torch.cat([W[:4] / stretch, W[4:] * stretch])
        labels = torch.tensor([0, 1, 2, 0])
        c, bound, unsized = curvature_and_bound(_product(x), W, labels, x.norm(dim=0).max())
        seen.add(1, wrong=c > bound * (1 + 1e-9), refuted=c > unsized, ratio=c / bound)
        w = 3 * x[:, index % 4] / x[:, index % 4].square().sum() + W[:2] / (30 * stretch)
        c, bound, _ = curvature_and_bound(_two_signs(x[:, index % 4]), w, labels[:1], 0)
        seen.add(1, wrong=c > bound * (1 + 1e-9), ratio=c / bound)
    return seen


def _product(x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the outputs VUx, (N, 3), of which the second derivative is at most the largest ‖x‖."""
    return lambda W: (W[4:].view(3, 2) @ W[:4].view(2, 2) @ x).T


def _two_signs(x: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the outputs (wᵀx, −wᵀx), (1, 2), which have no second derivative."""
    return lambda w: torch.stack([w @ x, -(w @ x)])[None]


def curvature_and_bound(
    outputs: Callable[[torch.Tensor], torch.Tensor],
    W: torch.Tensor,
    labels: torch.Tensor,
    bend: float | torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the curvature (17) of a cross-entropy, its bound, and that with 1 for the Jacobian."""

    def loss(W: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(outputs(W), labels)

    g, H = jacobian(loss, W), hessian(loss, W)
    J = torch.linalg.matrix_norm(jacobian(outputs, W), 2).max()
    small = -torch.expm1(-loss(W))
    rest = 2 * 2**0.5 * bend * small
    return 2 * (g @ H @ g) / (g @ g), 4 * J**2 * small + rest, 4 * small + rest
