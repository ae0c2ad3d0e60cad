r"""Checks of §4: the loss along its gradient path, eqs (15) to (19), and Lemma 8.

The paths come from `evidence.solvers.flow`, stretch by stretch: within one no switch changes, and
at its ends all values are limits from inside. No check differentiates across a boundary;
`check_kinks` measures what happens there, and `check_ends` where a path stops.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from evidence.claims import Evidence, claim
from evidence.instances import normal_instance, uniform
from evidence.solvers.flow import Crossing, Path, Samples, Stretch, gradient_flow
from pscore.curvature import flatten, frozen_hessian, unflatten
from pscore.descent import descend
from pscore.instance import Instance
from pscore.loss import gradient, regularized_loss, squared_norm
from pscore.network import ReLUNetwork, Weights
from pscore.probe import measure
from pscore.seeds import torch_generator

INSIDE = "no input to an activation vanishes on the part of the path that is looked at"

SHAPES = ((2, 3, 1), (2, 3, 2, 1), (2, 2, 3, 2, 1))
NARROW = ((1, 3, 1), (1, 3, 2, 1), (2, 2, 1, 1))  # where several switches change at once
DECAY, DURATION = 0.05, 4.0
SHARES = torch.tensor([0.02, 0.06, 0.15, 0.4, 0.7], dtype=torch.float64)  # of a stretch's time


def random_start(
    seed: int, widths: tuple[int, ...], output_relu: bool = False, slope: float = 0.0
) -> Instance:
    """Draw a network with normal weights and six data points."""
    draw = torch_generator(seed, "data")
    return normal_instance(ReLUNetwork(widths, output_relu, slope), draw, 6)


@lru_cache(maxsize=8)
def paths(seed: int, count: int = 3) -> tuple[Path, ...]:
    """Follow the flow from random weights, ``count`` paths for each of the depths 1, 2, 3.

    Every third starts with small weights and large targets, where the gradient first has to grow.
    """
    starts = [random_start(100 * seed + k, widths) for widths in SHAPES for k in range(count)]
    starts[2::3] = [s._replace(W=tuple(0.4 * w for w in s.W), f=4 * s.f) for s in starts[2::3]]
    return tuple(gradient_flow(s, weight_decay=DECAY, duration=DURATION) for s in starts)


def total(path: Path, value: Callable[[Samples], Tensor]) -> float:
    """Integrate what is smooth between kinks over a path.

    By Gauss and Legendre's rule, with five nodes in each step of the integrator.
    """
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.legendre.leggauss(5))
    result = 0.0
    for stretch in path.stretches:
        ends = torch.as_tensor(np.asarray(stretch.solution.ts))  # type: ignore[attr-defined]
        half, middle = (ends[1:] - ends[:-1]) / 2, (ends[1:] + ends[:-1]) / 2
        times = (middle[:, None] + half[:, None] * nodes).flatten()
        values = value(path.sample_at(stretch, times))
        result += ((half[:, None] * weights).flatten() * values).sum().item()
    return result


def losses(path: Path, stretch: Stretch, times: list[float]) -> Tensor:
    """``ℓ_λ`` by the network's own switches at times of a stretch: no frozen form, no gradient."""
    points = path.points(stretch, torch.tensor(times, dtype=torch.float64))
    return regularized_loss(*points, path.weight_decay)


@claim(
    "eq-15",
    "Gradient flow",
    "corrected",
    "Solved up to the first boundary that it can't cross; past it there is no solution.",
    hypotheses=("no boundary is met but those that are crossed",),
    uses=("flow-ends",),
    variant="gradient descent with learning rate 0.1 spends its loss by the same law",
    least=9,
)
def check_flow(seed: int) -> Evidence:
    """(15) by its energy: the loss lost is the integral of ``‖∇ℓ_λ‖²``, kinks or not.

    The loss comes from the network's own forward pass at both ends of a path, the integral from
    quadrature of the gradient in between; at kinks the loss is continuous and the integrand only
    jumps, so nothing special is done.
    """
    seen = Evidence()
    for path in paths(seed):
        end = path.stretches[-1]
        lost = regularized_loss(*path.start, DECAY) - losses(path, end, [end.end])
        spent = total(path, lambda s: s.squared_gradient_norm)
        problem, states = descend(*path.start, weight_decay=DECAY, learning_rate=0.1, steps=10)
        *steps, last = states
        lost_in_steps = (problem.loss(steps[0]) - problem.loss(last)).item()
        spent_in_steps = sum(0.1 * squared_norm(state.gradient).item() for state in steps)
        seen.add(
            1,
            wrong=not math.isclose(lost.item(), spent, rel_tol=1e-6),
            refuted=not math.isclose(lost_in_steps, spent_in_steps, rel_tol=1e-2),
        )
    return seen


class Place(NamedTuple):
    """A time inside a stretch, with the values there and a time step that stays inside.

    Attributes:
        path: the path.
        stretch: one of it.
        time: a time inside.
        step: ``0.02/‖H‖``; both sides of the time have room for two.
        rate: ``‖H‖``, one over the flow's shortest time.
        samples: the values there, each a number.
    """

    path: Path
    stretch: Stretch
    time: float
    step: float
    rate: float
    samples: Samples


@lru_cache(maxsize=8)
def places(seed: int) -> tuple[Place, ...]:
    """Look for five times in every stretch where there is room, and a gradient to speak of."""
    with_room = []
    for path in paths(seed):
        for one in path.stretches:
            times = one.start + (one.end - one.start) * SHARES
            samples = path.sample_at(one, times)
            H = frozen_hessian(*path.points(one, times), path.weight_decay, one.switches)
            rates = torch.linalg.eigvalsh(H).abs().amax(-1)
            for k, (time, rate) in enumerate(zip(times.tolist(), rates.tolist(), strict=True)):
                step, here = 0.02 / rate, Samples(*(value[k] for value in samples))
                inside = one.start + 2 * step < time < one.end - 2 * step
                if inside and rate * here.squared_gradient_norm > 1e-3:
                    with_room.append(Place(path, one, time, step, rate, here))
    return tuple(with_room)


@claim(
    "eq-16",
    "The second derivative of the loss along its path",
    "certified",
    "Proved, by the chain rule, where the loss is twice differentiable.",
    hypotheses=(INSIDE,),
    uses=("eq-15",),
    variant="without the factor 2",
    least=20,
)
def check_second_derivative(seed: int) -> Evidence:
    """(16) by differences of the loss alone along the flow, against the explicit Hessian.

    Five losses at equal times on the integrated path give ``γ''``; neither a gradient nor a
    Hessian is used, beyond the path itself. All five lie in one region.
    """
    seen = Evidence(varies=True)
    stencil = torch.tensor([-1.0, 16.0, -30.0, 16.0, -1.0], dtype=torch.float64)
    for path, stretch, time, h, rate, here in places(seed):
        values = losses(path, stretch, [time + k * h for k in range(-2, 3)])
        second = (stencil @ values) / (12 * h * h)
        tolerance = 1e-4 * rate * here.squared_gradient_norm + 1e-6
        seen.add(
            1,
            wrong=(second - here.second_derivative).abs() > tolerance,
            refuted=(second - here.second_derivative / 2).abs() > tolerance,
        )
    return seen


@claim(
    "flow-three-signs",
    "Convex in time, a shrinking gradient and convex in arc length are one",
    "certified",
    "Proved by the chain rule, where the loss is twice differentiable.",
    hypotheses=(INSIDE, "the gradient is not zero"),
    uses=("eq-16",),
    variant="along a gradient flow the gradient always gets shorter",
    least=20,
)
def check_norm_and_arc(seed: int) -> Evidence:
    """The signs of ``γ''``, of minus the change of ``‖∇ℓ_λ‖``, and of ``d²ℓ/ds²`` are the same.

    ``γ''`` is from the Hessian; the change of the norm from two gradients, a step before and after;
    ``d²ℓ/ds²`` from three losses and the two chords between them, and compared with
    ``g^T H g / ‖g‖²`` as a number. Points where ``|γ''|`` is below a thousandth of its largest
    possible value have no sign to speak of, and do not count.
    """
    seen = Evidence(varies=True)
    for path, stretch, time, h, rate, here in places(seed):
        curvature = here.curvature.item()
        times = torch.tensor([time - h, time, time + h], dtype=torch.float64)
        norms = path.sample_at(stretch, times).squared_gradient_norm
        change = (norms[2] - norms[0]).item()
        lengths = flatten(path.points(stretch, times).W).diff(dim=0).norm(dim=1)
        slopes = losses(path, stretch, times.tolist()).diff() / lengths
        arc = (slopes.diff() / lengths.mean()).item()
        agree = (change < 0) == (curvature > 0) == (arc > 0)
        clear = abs(curvature) >= 2e-3 * rate
        wrong = not (agree and abs(arc - curvature / 2) < 1e-2 * rate)
        seen.add(clear, wrong=wrong, refuted=clear and change > 0)
    return seen


def module_of(at: Instance) -> nn.Sequential:
    """Build the same network from torch's own layers."""
    layers: list[nn.Module] = []
    for i, matrix in enumerate(at.W):
        layer = nn.Linear(*matrix.shape, bias=False, dtype=torch.float64)
        layer.weight = nn.Parameter(matrix.mT.clone())
        layers.append(layer)
        if i < at.network.depth or at.network.output_relu:
            layers.append(nn.LeakyReLU(at.network.negative_slope))
    return nn.Sequential(*layers)


def two_backpropagations(model: nn.Module, a: Tensor, f: Tensor, weight_decay: float) -> Tensor:
    """Return ``∇ℓ_λ^T ∇‖∇ℓ_λ‖²``, the right-hand side of (19), as it is written there."""
    parameters = list(model.parameters())
    loss = (model(a).squeeze(-1) - f).square().mean() / 2
    loss = loss + weight_decay / 2 * sum(p.square().sum() for p in parameters)
    g = torch.autograd.grad(loss, parameters, create_graph=True)
    again = torch.autograd.grad(sum(x.square().sum() for x in g), parameters)
    return torch.stack([(x * y).sum() for x, y in zip(g, again, strict=True)]).sum().detach()


@claim(
    "eq-19",
    "The second derivative by two backpropagations",
    "certified",
    "Proved: the gradient of the squared norm is twice the Hessian times the gradient.",
    hypotheses=(INSIDE,),
    uses=("eq-16",),
    variant="the weight decay left out of the Hessian",
    least=9,
)
def check_two_backpropagations(seed: int) -> Evidence:
    """(19) by automatic differentiation of a torch module, against the Hessian written by hand.

    The left-hand side is ``2 g^T H g`` with `frozen_hessian` and no automatic differentiation; the
    right-hand side is (19) word by word on layers of torch; a third value is what
    `pscore.probe.measure` says. No random point lies on a boundary; there both sides would be
    those of one adjacent region.
    """
    seen, decay = Evidence(), 0.3
    for widths in SHAPES:
        for k, (output_relu, slope) in enumerate([(False, 0.0), (True, 0.0), (False, 0.1)]):
            at = random_start(1000 * seed + k, widths, output_relu, slope)
            g = flatten(gradient(*at, decay))
            left, square = (2 * g @ frozen_hessian(*at, decay) @ g).item(), (g @ g).item()
            model = module_of(at)
            right = two_backpropagations(model, at.a, at.f, decay).item()
            error = (model(at.a).squeeze(-1) - at.f).square().mean() / 2
            probe, _ = measure(error, list(model.parameters()), decay)
            others = right, probe.curvature * probe.squared_gradient_norm
            seen.add(
                1,
                wrong=not all(math.isclose(left, x, rel_tol=1e-9, abs_tol=1e-9) for x in others),
                refuted=not math.isclose(left - 2 * decay * square, right, rel_tol=1e-3),
            )
    return seen


def least_curvature(path: Path, stretch: Stretch) -> float:
    """Return the largest C of (17) for a stretch: the least ``2 g^T H g / ‖g‖²``, refined."""

    def curvature(time: float) -> float:
        return path.sample_at(stretch, torch.tensor([time], dtype=torch.float64)).curvature.item()

    s = path.sample(stretch, 60)
    k = int(s.curvature.argmin())
    bounds = s.time[max(k - 1, 0)].item(), s.time[min(k + 1, len(s.time) - 1)].item()
    refined = minimize_scalar(curvature, bounds=bounds, method="bounded").fun
    return min(refined, s.curvature.min().item())


def quadratic(seed: int) -> Path:
    """A network that is off at every data point, for good: ``ℓ_λ`` is a constant plus λ/2 ‖W‖²."""
    s = random_start(seed, (2, 3, 1), output_relu=True)
    off = s._replace(W=(s.W[0].abs(), -s.W[1].abs()), a=s.a.abs())
    return gradient_flow(off, weight_decay=0.7, duration=2.0)


@claim(
    "eq-17",
    "The normalised second derivative",
    "certified",
    "The hypothesis of Lemma 8, asked for where the gradient is not zero: on a stretch it vanishes "
    "always or never.",
    hypotheses=(INSIDE,),
    uses=("eq-16",),
    variant="a constant C larger by one per cent",
    least=10,
)
@claim(
    "paper-lemma-8",
    "The squared gradient norm decays exponentially",
    "certified",
    "Proved with its hypotheses made explicit; they hold between kinks only.",
    hypotheses=(INSIDE, "the normalised second derivative is at least C"),
    uses=("eq-15", "eq-16", "eq-17"),
    variant="a constant C larger by one per cent",
    least=10,
)
@claim(
    "eq-18",
    "The rate of the decay",
    "certified",
    "The conclusion of Lemma 8; an equality for a quadratic with Hessian cI and C = 2c.",
    hypotheses=(INSIDE, "the normalised second derivative is at least C"),
    uses=("paper-lemma-8",),
    variant="a constant C larger by one per cent",
    least=10,
)
def check_decay(seed: int) -> Evidence:
    """Lemma 8 on every stretch of the paths, which is where its hypothesis C² holds.

    C is the least value of (17) on the stretch, from the Hessian; the decay is of the gradient's
    own norm at sixty times of the integrated flow. A quadratic with Hessian ``λI`` is among the
    instances: there C = 2λ and (18) is an equality. Stretches shorter than a millionth do not
    count.
    """
    seen = Evidence(varies=True)
    for path in (quadratic(seed), *paths(seed)):
        for stretch in path.stretches:
            s, C = path.sample(stretch, 60), least_curvature(path, stretch)
            t, square = s.time - stretch.start, s.squared_gradient_norm
            decayed, faster = (square / square[0] * (c * t).exp() for c in (C, C + 0.01 * abs(C)))
            lasts = stretch.end - stretch.start >= 1e-6
            seen.add(
                lasts,
                wrong=(decayed > 1 + 1e-6).any(),
                refuted=lasts and bool((faster > 1 + 1e-6).any()),
                ratio=decayed[-1].clamp(max=1.0),
            )
    return seen


class Budget(NamedTuple):
    """Where the change of ``‖g‖² = ‖∇ℓ_λ‖²`` along a path came from.

    Attributes:
        change: ``‖g‖²`` at the end minus that at the start.
        smooth: minus the integral of ``2 g^T H g``, what automatic differentiation sees.
        jumps: ``‖g‖²`` after minus before, one for each kink crossed.
    """

    change: float
    smooth: float
    jumps: list[float]


def budget(path: Path) -> Budget:
    """Split the change of ``‖∇ℓ_λ‖²`` along a path into its smooth part and its jumps."""
    first, last = (
        path.sample(path.stretches[k], 2).squared_gradient_norm[k].item() for k in (0, -1)
    )
    smooth = -total(path, lambda s: s.second_derivative)
    return Budget(last - first, smooth, [c.after - c.before for c in crossed(path)])


def crossed(path: Path) -> list[Crossing]:
    """The kinks that a path crosses, without the one where it ends."""
    return path.crossings if path.ended == "time" else path.crossings[:-1]


class Switch(NamedTuple):
    """One switch that changes at a crossing: the unit's layer (from 0), data point and unit."""

    layer: int
    point: int
    unit: int


def changed(old: Stretch, new: Stretch) -> list[Switch]:
    """The switches that differ between two stretches."""
    pairs = zip(old.switches, new.switches, strict=True)
    return [
        Switch(layer, *entry)
        for layer, (before, after) in enumerate(pairs)
        for entry in (before != after).nonzero().tolist()
    ]


def predicted_jump(path: Path, k: int, only_first: bool = False) -> float:
    """The jump of ``‖∇ℓ_λ‖²`` at the k-th crossing, ``−Σ s c (ż⁻ + ż⁺)`` over the switches.

    s is the change of the switch; c is the mean's share of the error that reaches the unit,
    ``e_i · ∂y_i/∂x / N``, by automatic differentiation of the one data point's output, with the
    old switches above; ż are one-sided differences of the unit's input along the path, with the
    new switches below. No gradient of the loss is used.
    """
    (network, _, a, f), crossing = path.start, path.crossings[k]
    old, new = path.stretches[k], path.stretches[k + 1]
    W, jump = unflatten(network, crossing.weights), 0.0
    for at in changed(old, new)[: 1 if only_first else None]:
        x = a[at.point]
        for i in range(at.layer + 1):
            x = new.switches[i][at.point] * (x @ W[i])
        x = x.clone().requires_grad_()
        y = x
        for i in range(at.layer + 1, len(W)):
            y = old.switches[i][at.point] * (y @ W[i])
        error = (y - f[at.point]).detach()
        c = torch.autograd.grad(error @ y, x)[0][at.unit].item() / len(a)
        change = (new.switches[at.layer] - old.switches[at.layer])[at.point, at.unit].item()
        rates = sum(
            _rate(path, one, sign, crossing.time, new, at) for one, sign in ((old, -1), (new, 1))
        )
        jump -= change * c * rates
    return jump


def _rate(path: Path, along: Stretch, sign: int, time: float, new: Stretch, at: Switch) -> float:
    """The rate of a unit's input before (sign −1) or after a time, with new switches below it."""
    step = sign * min(1e-4, (along.end - along.start) / 10)
    W = path.points(along, time + step * torch.arange(3, dtype=torch.float64)).W
    z = _unit_input(path, W, new, at)
    return (-3 * z[0] + 4 * z[1] - z[2]).item() / (2 * step)


def _unit_input(path: Path, W: Weights, held: Stretch, at: Switch) -> Tensor:
    """The input of a unit at a data point for a stack of weights, at a stretch's switches."""
    x = path.start.a[at.point, None]
    for i in range(at.layer):
        x = held.switches[i][at.point] * (x @ W[i])
    return (x @ W[at.layer])[:, 0, at.unit]


@lru_cache(maxsize=8)
def narrow_paths(seed: int) -> tuple[Path, ...]:
    """Follow the flow where one number turns a unit at several data points, or a layer above.

    The first path is `three_at_once`.
    """
    starts = [random_start(100 * seed + k, widths) for widths in NARROW for k in range(6)]
    return (
        three_at_once(),
        *(gradient_flow(s, weight_decay=DECAY, duration=DURATION) for s in starts),
    )


def three_at_once() -> Path:
    """Follow the flow of one unit with a = 1, 2, −1 through w = 0, where all three data switch."""
    network = ReLUNetwork((1, 1, 1), output_relu=False)
    at = Instance(network, ([[0.5]], [[1.0]]), [[1.0], [2.0], [-1.0]], [-1.0, -1.0, 1.0])
    return gradient_flow(at, weight_decay=0.0, duration=1.0)


@claim(
    "flow-kinks",
    "What a kink does to the squared gradient norm",
    "certified",
    "Proved for a path that goes from one region to another, whatever switches change there.",
    hypotheses=("the path is in one region before the crossing, and in one after it",),
    uses=("eq-15", "eq-16"),
    variant="the change of the squared norm without the jumps, as autograd sees it; of several "
    "switches that change at once the first alone",
    least=5,
)
def check_kinks(seed: int) -> Evidence:
    """What a kink does to ``‖∇ℓ_λ‖²``: each jump by its formula, and the sum by the budget.

    The jump is measured from the gradients on both sides, and predicted by `predicted_jump`, which
    uses no gradient; then the change over a whole path is compared with the smooth integral plus
    the jumps. Some of the networks have one input or a layer with one unit, so that several
    switches change at once. Stretches shorter than a millionth are left out, since their rates
    can't be told.
    """
    seen = Evidence(varies=True)
    for path in (*paths(seed), *narrow_paths(seed)):
        parts = budget(path)
        scale = abs(parts.smooth) + sum(map(abs, parts.jumps))
        rest = parts.change - parts.smooth
        wrong = abs(rest - sum(parts.jumps)) > 1e-6 * scale
        seen.add(wrong=wrong, refuted=(abs(rest) > 1e-4 * scale, False))
        for k, jump in enumerate(parts.jumps):
            old, new = path.stretches[k : k + 2]
            if min(old.end - old.start, new.end - new.start) < 1e-6:
                seen.add(False)
                continue
            scale = abs(jump) + 1e-4 * path.crossings[k].before
            of_one = predicted_jump(path, k, only_first=True)
            seen.add(
                1,
                wrong=abs(predicted_jump(path, k) - jump) > 1e-3 * scale,
                refuted=(False, abs(of_one - jump) > 1e-2 * scale),
            )
    return seen


def time_to_the_boundary(b: float, c: float, weight_decay: float) -> float:
    """When the path from (b, c) of `flow-ends` reaches w = 0, from one equation in one unknown.

    ``dt/ds = −1/(1 + ½ (c² − b²) e^{−2λt} sinh 2s)``, from ``s = artanh(b/c)``, t = 0, to s = 0.
    """

    def slope(s: float, t: np.ndarray) -> np.ndarray:
        return -1 / (1 + (c * c - b * b) / 2 * np.exp(-2 * weight_decay * t) * math.sinh(2 * s))

    solved = solve_ivp(slope, (math.atanh(b / c), 0.0), [0.0], rtol=1e-12, atol=1e-13)
    return float(solved.y[0, -1])


def slopes_away(path: Path, k: int) -> tuple[float, float]:
    """The slopes of ``ℓ_λ`` away from the k-th boundary of a path, back and onwards.

    One-sided differences of the loss by the network's own switches, along the gradient of the
    input that vanishes there; no gradient of the loss.
    """
    crossing, held = path.crossings[k], path.stretches[k]
    at = Switch(crossing.layer - 1, crossing.point, crossing.unit)
    w = crossing.weights.clone().requires_grad_()
    z = _unit_input(path, unflatten(path.start.network, w[None]), held, at)
    normal = torch.autograd.grad(z.sum(), w)[0]
    w, u = w.detach(), normal / normal.norm() * (1 if crossing.turned_on else -1)
    w = w - z.detach() / normal.norm() * normal / normal.norm()  # onto the boundary

    def slope(step: float) -> float:
        points = w + step * torch.arange(3, dtype=torch.float64)[:, None] * u
        stack = path.start.at(unflatten(path.start.network, points))
        loss = regularized_loss(*stack, path.weight_decay)
        return (-3 * loss[0] + 4 * loss[1] - loss[2]).item() / (2 * abs(step))

    return slope(-1e-5), slope(1e-5)


@claim(
    "flow-ends",
    "Boundaries from which neither side leads away end a path",
    "certified",
    "Proved; with a path whose end is known, and the units that die as a case.",
    hypotheses=("a path that ends at a boundary",),
    variant="the same of every boundary that a path meets; the path of the example ends after "
    "the time artanh(b/c)",
    least=6,
)
def check_ends(seed: int) -> Evidence:
    """Where paths end, neither side leads away: by values of the loss; and the example's time.

    At each boundary where a path of the integrator ends, the slopes of ``ℓ_λ`` on both sides, away
    from the boundary, must not be negative, and one must be positive, so that there is no gradient.
    Where paths cross, one slope is negative. In the example the time, and v, are compared with the
    solution of one equation in one unknown; idle units and an output ReLU change nothing.
    """
    seen = Evidence(varies=True)
    for path in (*paths(seed), *narrow_paths(seed)):
        for k in range(len(path.crossings)):
            back, onwards = slopes_away(path, k)
            ends = path.ended != "time" and k == len(path.crossings) - 1
            held = onwards > 1e-7 if path.ended == "sliding" else abs(onwards) < 1e-7
            stays = min(back, onwards) > -1e-7
            wrong = not (back > 1e-7 and held and stays)
            seen.add(ends, wrong=wrong, refuted=(not ends and not stays, False))
    draw = torch_generator(seed, "data")
    for k, x in enumerate(uniform(draw, 6, 3).tolist()):
        c = 0.2 + 1.5 * x[0]
        b, decay = c * (0.1 + 0.8 * x[1]), 0.0 if k < 2 else x[2]
        path = dying_path(b, c, decay, units=1 + k % 3, output_relu=k % 2 == 1)
        t, bound = time_to_the_boundary(b, c, decay), math.atanh(b / c)
        v = math.exp(-decay * t) * math.sqrt(c * c - b * b)
        end = path.crossings[-1]
        found = end.time, end.weights[path.start.network.widths[1]].item()
        wrong = path.ended != "resting" or not np.allclose(found, (t, v), rtol=0, atol=1e-8)
        seen.add(1, wrong=wrong, refuted=(False, abs(found[0] - bound) > 1e-3), ratio=t / bound)
    return seen


def dying_path(
    b: float, c: float, weight_decay: float, units: int = 1, output_relu: bool = False
) -> Path:
    """Follow (15) from ``w_1 = b``, ``v_1 = c`` with a = 1, f = −1; all other units are off."""
    network = ReLUNetwork((1, units, 1), output_relu)
    idle = units - 1
    W = ([[b] + [-0.5] * idle], [[c]] + [[0.0]] * idle)
    at = Instance(network, W, [[1.0]], [-1.0])
    return gradient_flow(at, weight_decay=weight_decay, duration=2 * math.atanh(b / c))


@claim(
    "flow-decay-kinks",
    "Lemma 8 for paths with kinks",
    "certified",
    "Proved: each kink multiplies the bound by the ratio of its two squared norms.",
    hypotheses=("the path crosses boundaries", "(17) holds between them"),
    uses=("paper-lemma-8", "flow-kinks"),
    variant="(18) as it stands, for paths that cross kinks",
    least=3,
)
def check_decay_with_kinks(seed: int) -> Evidence:
    """(18) across kinks, with the factor by which they change the gradient; and without it.

    Around each crossing the path from a short time before it to a short time after it, which is
    itself a gradient path; C is the least value of (17) on both parts. The factor is that of the
    gradients at the crossing, and counts behind it only.
    """
    seen = Evidence(varies=True)
    for path in (*paths(seed), *narrow_paths(seed)):
        for k, crossing in enumerate(crossed(path)):
            parts = []
            for one, side in ((path.stretches[k], -1), (path.stretches[k + 1], 1)):
                width = min(1e-3, one.end - one.start)
                ends = sorted((crossing.time, crossing.time + side * width))
                times = torch.linspace(ends[0], ends[1], 20, dtype=torch.float64)
                parts.append(path.sample_at(one, times))
            t, _, u, curvature = (torch.cat(values) for values in zip(*parts, strict=True))
            bound = u[0] * (-curvature.min() * (t - t[0])).exp() * (1 + 1e-6)
            factor = torch.ones_like(t)
            factor[20:] = crossing.after / crossing.before
            share = u / (bound * factor)
            seen.add(1, wrong=(share > 1).any(), refuted=(u > bound).any(), ratio=share[1:].max())
    return seen


@claim(
    "flow-logistic",
    "The path of a linear network of width one",
    "certified",
    "Proved by separation of variables, after Saxe et al.",
    hypotheses=("width 1, one hidden layer, no activation, equal weights, one input 1",),
    uses=("eq-15",),
    variant="the weight decay left out of the rate",
    least=3,
)
def check_logistic(seed: int) -> Evidence:
    """A linear network of width 1 with equal weights follows the logistic curve of Saxe et al.

    The curve is in closed form; the path comes from the integrator.
    """
    draw, seen = torch_generator(seed, "data"), Evidence()
    network = ReLUNetwork((1, 1, 1), output_relu=False, negative_slope=1.0)
    one = torch.ones(1, 1, dtype=torch.float64)
    t = torch.linspace(0, 4, 50, dtype=torch.float64)
    for u in uniform(draw, 3, 3).tolist():
        target, decay, p0 = 1 + 2 * u[0], u[1] / 2, 0.01 + u[2] / 20
        start = Instance(network, (p0**0.5 * one,) * 2, one, target * one[0])
        path = gradient_flow(start, weight_decay=decay, duration=4.0)
        w, v = path.points(path.stretches[0], t).W
        p = (w * v).flatten()
        seen.add(
            1,
            wrong=not torch.allclose(p, logistic(t, target - decay, p0), rtol=1e-6),
            refuted=not torch.allclose(p, logistic(t, target, p0), rtol=1e-3),
        )
    return seen


def logistic(t: Tensor, limit: float, p0: float) -> Tensor:
    """The solution of ``p' = 2p(limit − p)`` with ``p(0) = p0``."""
    return limit / (1 + (limit / p0 - 1) * (-2 * limit * t).exp())
