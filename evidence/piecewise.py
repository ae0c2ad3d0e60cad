"""Checks of Theorems 1 and 3: the pieces, the Hessian on them, and how they are glued.

Kinks are where these statements have their content, so every check goes to them: to points on the
boundary of a piece, with the switches that define the piece, which are not those of the point.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import torch
from scipy.optimize import linprog

from evidence import rational
from evidence.claims import Evidence, claim
from evidence.instances import normal, normal_weights, uniform, zero_weights
from evidence.measures import kappas
from evidence.rational import as_fractions, exact_output, exactly, relu_inputs
from evidence.solvers.patterns import Piece, Vector, dot, exact, pieces, unit_patterns
from pscore.certificate import certify, data_radius, star_norm
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue, unflatten
from pscore.descent import descend
from pscore.instance import Instance
from pscore.loss import frozen_loss, gradient, regularized_loss, squared_norm
from pscore.network import ReLUNetwork, Switches, Weights
from pscore.seeds import torch_generator

_SHALLOW = ("H = 1", "no ReLU on the output")

POINTS = 6  # of each piece, in `check_pieces_convex`
ROUNDING = 1e-9  # the numbers compared are of order 1 to 100, in float64


def shallow_problems(seed: int, count: int) -> list[Instance]:
    """Return problems with H = 1, n_0 and n_1 up to 2 and whole numbers as data; W is 0."""
    draw, problems = torch_generator(seed, "data"), []
    for k in range(count):
        network = ReLUNetwork((1 + k % 2, 1 + k // 2 % 2, 1), output_relu=False)
        a = torch.randint(-3, 4, (1 + k % 4, 1 + k % 2), generator=draw).double()
        f = torch.randint(-4, 5, (1 + k % 4,), generator=draw).double()
        problems.append(Instance(network, zero_weights(network), a, f))
    return problems


def whole_weights(network: ReLUNetwork, draw: torch.Generator, *count: int) -> Weights:
    """Draw weights −1, 0 and 1, so that kinks are hit."""
    return tuple(
        torch.randint(-1, 2, (*count, *shape), generator=draw).double() for shape in network.shapes
    )


@claim(
    "eq-11",
    "The pieces cover U(λ, θ)",
    "certified",
    "Proved; enumerated exactly for H = 1, n_0 ≤ 2, against brute force on a lattice.",
    hypotheses=(*_SHALLOW, "n_0 ≤ 2"),
    variant="the sets of the fat patterns cover without taking closures; one fat piece left out",
    least=120,
)
def check_cover(seed: int) -> Evidence:
    """(11): the enumeration of a unit's patterns against brute force, and the fat pieces cover.

    The lattice of whole numbers is so large that it meets every face of the arrangement; patterns
    are read off it by evaluating the unit, and dimensions as ranks, with no line, ray or angle.
    The cover is asked of the networks' pieces, with one or two units, at random lattice points.
    """
    draw, seen = torch_generator(seed, "shuffling"), Evidence()
    for network, _, a, _ in shallow_problems(seed, 40):
        n_0 = network.widths[0]
        grid = whole_lattice(n_0)
        on = grid @ a.mT > 0
        dimensions = {
            tuple(p.tolist()): int(torch.linalg.matrix_rank(grid[(on == p).all(-1)]))
            for p in on.unique(dim=0)
        }
        patterns = unit_patterns(a)
        seen.add(len(patterns), wrong=dimensions != {p.on: p.dimension for p in patterns})
        few = torch.randint(-2, 3, (300, n_0, network.widths[1]), generator=draw).double()
        z = a @ few
        fat = [piece.switches()[0] > 0 for piece in pieces(network, a) if not piece.thin]
        closed = torch.stack([torch.where(p, z >= 0, z <= 0).all((1, 2)) for p in fat])
        without_closure = torch.stack([((z > 0) == p).all((1, 2)) for p in fat])
        one_less = (~closed[1:].any(0)).any() if len(fat) > 1 else False
        seen.add(wrong=~closed.any(0), refuted=((~without_closure.any(0)).any(), one_less))
    return seen


def whole_lattice(n_0: int) -> torch.Tensor:
    """Return the points of n_0 whole numbers from −8 to 8."""
    axes = [torch.arange(-8, 9, dtype=torch.float64)] * n_0
    return torch.cartesian_prod(*axes).reshape(-1, n_0)


@claim(
    "piecewise-count",
    "The number of fat pieces for n_0 ≤ 2",
    "certified",
    "Proved; the enumeration and brute force on a lattice give the same number.",
    hypotheses=(*_SHALLOW, "n_0 ≤ 2", "not all inputs are 0"),
    variant="one fat pattern for each line; (2p) n_1 pieces",
    least=35,
)
def check_count(seed: int) -> Evidence:
    """The count of the fat pieces, from lines counted by cross products, two other ways.

    Those listed, and the patterns met by pairs of lattice points that lie on no kink.
    """
    seen = Evidence()
    for network, _, a, _ in shallow_problems(seed, 40):
        n_0, n_1 = network.widths[:2]
        inputs = [row for row in a.tolist() if any(row)]
        lines_met: list[list[float]] = []
        for x in inputs:
            if n_0 == 2 and all(x[0] * y[1] != x[1] * y[0] for y in lines_met):
                lines_met.append(x)
        of_unit = 2 * len(lines_met) if n_0 == 2 else 2
        z = whole_lattice(n_0) @ torch.tensor(inputs or [[0.0] * n_0], dtype=torch.float64).mT
        patterns = len((z[(z != 0).all(-1)] > 0).unique(dim=0))
        listed = sum(not piece.thin for piece in pieces(network, a))
        met, claimed = bool(inputs), of_unit**n_1
        seen.add(
            met,
            wrong=not (listed == claimed and patterns == of_unit),
            refuted=(met and listed != (of_unit // 2) ** n_1, met and listed != of_unit * n_1),
        )
    return seen


@claim(
    "piecewise-thin",
    "Thin pieces can be dropped; which they are for H = 1",
    "certified",
    "Proved, with Gordan's alternative for the second part.",
    hypotheses=("w has the pattern", "H = 1"),
    uses=("eq-11",),
    variant="a pattern is thin as soon as a point of it lies on a kink",
    least=330,
)
def check_thin(seed: int) -> Evidence:
    """Thin patterns by a linear programme, against the dimensions of the enumeration.

    Whether 0 is a convex combination of the inputs that vanish at a point of the set is decided
    by scipy's solver, which knows nothing of faces.
    """
    seen = Evidence()
    for network, _, a, _ in shallow_problems(seed, 60):
        points = exact(a)
        for pattern in unit_patterns(a):
            generators = pattern.generators or ((Fraction(),) * network.widths[0],)
            inner = tuple(sum(x, Fraction()) for x in zip(*generators, strict=True))
            for w in (inner, *pattern.generators[:1]):
                if tuple(dot(w, p) > 0 for p in points) != pattern.on:
                    continue  # a point of the closure only
                on_kink = [p for p in points if any(p) and dot(w, p) == 0]
                thin = bool(on_kink) and origin_in_hull(on_kink)
                wrong = thin != (pattern.dimension < network.widths[0])
                seen.add(1, wrong=wrong, refuted=bool(on_kink) and not thin)
    return seen


def origin_in_hull(points: list[Vector]) -> bool:
    """Whether some convex combination of the points is 0."""
    rows = [[float(x) for x in column] for column in zip(*points, strict=True)]
    rows.append([1.0] * len(points))
    target = [0.0] * (len(rows) - 1) + [1.0]
    return linprog([0.0] * len(points), A_eq=rows, b_eq=target, method="highs").status == 0


@claim(
    "eq-12",
    "Each φ_i has a Hessian of at least θ on V_i",
    "certified",
    "Proved with V_i given by the inequality of Definition 2 for φ_i.",
    hypotheses=("‖a_i‖ ≤ r, r > 0", "λ > θ > 0", "W ∈ V_i or W ∈ B_i ∩ U(λ, θ)", *_SHALLOW),
    uses=("paper-lemma-3", "paper-definition-2"),
    variant="θ up to λ − κ/4; φ_i on all of U, outside its V_i",
    least=40_000,
)
def check_pieces_convex(seed: int) -> Evidence:
    """(12) for H = 1: on ``B_i ∩ U`` and on ``V_i``, every φ_i has a Hessian of at least θ.

    The set is defined by norms, the Hessian is the exact one of the frozen loss with the switches
    of the *piece*. Points of B_i come from its generators, many on its boundary, where those are
    not the switches of the point; points of V_i from anywhere.
    """
    draw, seen = torch_generator(seed, "shuffling"), Evidence()
    for origin in shallow_problems(seed, 16):
        each = pieces(origin.network, origin.a)
        points = [weights_in(piece, origin.network.widths[0], draw) for piece in each]
        stack = origin.at(tuple(torch.cat(parts) for parts in zip(*points, strict=True)))
        kappa = kappas(stack)["paper"]
        decay = 1.2 * float(kappa.median()) + 0.1
        theta = 0.1 * decay
        in_U = kappa < decay - theta
        for i, piece in enumerate(each):
            least = least_eigenvalue(frozen_hessian(*stack, decay, piece.switches()))
            own = kappas(stack, piece.switches())["paper"]  # as κ, with the loss φ_i for ℓ
            in_B = torch.arange(stack.size) // POINTS == i
            in_V = own < decay - theta
            claimed = (in_B & in_U) | in_V
            not_in_V = in_B & in_U & (own > decay - theta + ROUNDING)
            too_high = claimed & (least < decay - own / 4 - ROUNDING)
            seen.add(
                claimed,
                wrong=(least < theta - ROUNDING) | not_in_V,
                refuted=(too_high, in_U & ~claimed & (least < theta)),
                ratio=torch.where(own > 0, (decay - least) / own, 0.0),
            )
    return seen


def weights_in(piece: Piece, n_0: int, draw: torch.Generator) -> Weights:
    """Return a stack of weights in the closed set ``B_i``, many of them on its boundary.

    Each hidden unit gets a combination of its cone's generators, with some coefficients 0.
    """
    columns = []
    for unit in piece.units:
        generators = unit.generators or ((Fraction(),) * n_0,)
        cone = torch.tensor([[float(x) for x in g] for g in generators], dtype=torch.float64)
        shares = uniform(draw, 2, POINTS, len(cone))
        columns.append((shares[0] * (shares[1] < 0.7)) @ cone)
    return torch.stack(columns, dim=-1), normal(draw, POINTS, len(columns), 1)


@claim(
    "paper-theorem-3",
    "Piecewise strong convexity",
    "certified",
    "Proved; Lemma 3 is needed for the switches of B_i, which are not those of W.",
    hypotheses=("‖a_i‖ ≤ r, r > 0", "λ > θ > 0", "W ∈ U(λ, θ)", "W lies in several B_i"),
    uses=("paper-definition-2", "eq-11", "eq-12", "eq-13"),
    variant="at a boundary the gradients of the pieces agree too",
    least=400,
)
def check_closures(seed: int) -> Evidence:
    """Theorem 3 at corners of networks with H = 1, 2, 3, with and without output ReLU.

    The weights are whole numbers, so that many inputs to ReLUs vanish exactly. On each piece that
    meets there, φ_i must equal ℓ_λ at the corner (13), and its Hessian must be at least the
    margin (12), whatever the corner's own switches are. If the gradients agreed as well, the
    pieces would be glued smoothly.
    """
    draw, decay, seen = torch_generator(seed, "shuffling"), 8.0, Evidence()
    for k in range(90):
        at = corner(1000 * seed + k, 1 + k % 3, k % 2 == 0)
        margin = certify(*at, decay)["paper"].margin
        S = adjacent_switches(at, draw)
        count = len(S[0])
        meets = margin > 0 and count > 1
        stack = at.at(tuple(matrix.expand(count, *matrix.shape) for matrix in at.W))
        loss, phi = regularized_loss(*at, decay), frozen_loss(*stack, S, decay)
        least = least_eigenvalue(frozen_hessian(*stack, decay, S))
        slopes = flatten(gradient(*stack, 0.0, S))
        seen.add(
            torch.full((count,), meets),
            wrong=(least < margin - ROUNDING) | ((phi - loss).abs() > 1e-12 * loss),
            refuted=meets and not torch.allclose(slopes, slopes[0]),
            ratio=(decay - least) / (decay - margin) if margin < decay else 0.0,
        )
    return seen


def corner(seed: int, H: int, output_relu: bool) -> Instance:
    """Return a deeper network with whole numbers as weights and inputs, so that kinks are hit."""
    draw = torch_generator(seed, "data")
    network = ReLUNetwork((2, *(2,) * H, 1), output_relu)
    W = whole_weights(network, draw)
    a = torch.randint(-1, 2, (3, 2), generator=draw).double()
    return Instance(network, W, a, network(W, a) + 0.1 * normal(draw, 3))


def adjacent_switches(at: Instance, draw: torch.Generator) -> Switches:
    """Return a stack of switches, those of the ``B_i`` that hold W, as points near W have them."""
    step = normal(draw, 40, at.network.parameter_count)
    S = at.network.switches(unflatten(at.network, flatten(at.W) + 1e-5 * step), at.a)
    patterns = torch.cat([layer.flatten(-2) for layer in S], dim=-1)
    first = np.unique(patterns.numpy(), axis=0, return_index=True)[1]
    return tuple(layer[first] for layer in S)


def exact_value(at: Instance, weight_decay: Fraction, piece: Piece | None = None) -> Fraction:
    """Return ``ℓ_λ(W)``, or the ``φ_i(W)`` of a piece, as a rational number; H = 1."""
    W, data = exactly(at)
    held = None
    if piece is not None:
        held = [[[unit.on[k] for unit in piece.units]] for k in range(len(data))]
    return rational.exact_loss(W, data, False, weight_decay=weight_decay, held=held)


@claim(
    "eq-13",
    "ℓ_λ equals φ_i on B_i",
    "certified",
    "Proved by continuity; compared in rational arithmetic, with no tolerance.",
    hypotheses=("W ∈ B_i", *_SHALLOW),
    variant="ℓ_λ equals φ_i off B_i too",
    least=210,
)
def check_gluing(seed: int) -> Evidence:
    """(13) in rational arithmetic: φ_i equals ℓ_λ at every sampled point of ``B_i``, exactly.

    ℓ_λ switches where its own inputs are positive, φ_i where the piece says. The points are whole
    numbers, most on boundaries, the arithmetic is Python's, and the comparison is of equal
    fractions.
    """
    draw, decay, seen = torch_generator(seed, "initialization"), Fraction(1, 3), Evidence()
    for origin in shallow_problems(seed, 12):
        stack = origin.at(whole_weights(origin.network, draw, 12))
        for at in map(stack.one, range(12)):
            loss, z = exact_value(at, decay), at.a @ at.W[0]
            for piece in pieces(at.network, at.a):
                if not piece.thin:
                    here = torch.where(piece.switches()[0] > 0, z >= 0, z <= 0).all()
                    differ = exact_value(at, decay, piece) != loss
                    seen.add(here, wrong=differ, refuted=~here & differ)
    return seen


@claim(
    "paper-theorem-1",
    "ℓ_λ is piecewise strongly convex on an open set",
    "corrected",
    "The origin is in the set for H ≥ 2; for H = 1 only if 2√2 r ℓ(0)^{1/2} < λ − θ, and without "
    "any condition in no such set.",
    hypotheses=(
        "‖a_i‖ ≤ r, r > 0",
        "λ > θ > 0",
        "W = 0, and H ≥ 2 or 2√2 r ℓ(0)^{1/2} < λ − θ; or ‖W‖_* ≤ R, and ℓ(W)^{1/2} below "
        "λ/(2√2 H(H+1) r R^{H−1}), θ ≤ λ/2; or W a global minimiser under (8)",
    ),
    uses=("paper-theorem-3", "origin-inside", "eq-7", "paper-lemma-4"),
    variant="the origin lies in U(λ, θ) for every H and λ; a threshold a tenth larger; (8) a tenth "
    "larger",
    least=1900,
)
def check_theorem_1(seed: int) -> Evidence:
    """Theorem 1 with its condition: what U contains, for H = 1, 2, 3.

    U is asked through `certify`; the conditions are computed from norms and the targets alone.
    The targets are chosen to meet the threshold of (2), from easily to barely. Points that enter
    by it must also be convex: the least eigenvalue of the frozen Hessian is at least θ = λ/2.
    """
    draw, seen, decay, theta, R = torch_generator(seed, "data"), Evidence(), 2.0, 0.2, 0.8
    for k in range(90):
        H = 1 + k % 3
        network = ReLUNetwork((2, *(2,) * H, 1), output_relu=k % 2 == 0)
        a, f = normal(draw, 4, 2), normal(draw, 4)
        f = f * 10.0 ** (-3 * (k // 6 % 2))  # the condition for the origin is met, or not
        r = data_radius(a).item()
        condition = H > 1 or 2 * math.sqrt(2) * r * float(f @ f / 8) ** 0.5 < decay - theta
        inside = certify(network, zero_weights(network), a, f, decay)["paper"].margin > theta
        seen.add(condition, wrong=not inside, refuted=(not inside, False, False))
        seen.add(wrong=inside and not condition)
        W = normal_weights(network, draw, 60)
        longest = (R / star_norm(W))[:, None, None]
        W = tuple(longest * w for w in W)
        threshold = (decay / (2 * math.sqrt(2) * H * (H + 1) * r * R ** (H - 1))) ** 2
        share, e = 0.2 + uniform(draw, 60), normal(draw, 60, 4)
        e = e * (2 * share * threshold / e.square().mean(-1)).sqrt()[:, None]
        stack = Instance(network, W, a.expand(60, 4, 2), network(W, a) - e)
        margin = torch.as_tensor(certify(*stack, decay)["paper"].margin)
        least = least_eigenvalue(frozen_hessian(*stack, decay))
        seen.add(
            share < 0.999,
            wrong=(margin <= decay / 2) | (least < decay / 2 - ROUNDING),
            refuted=(False, (share > 1) & (share < 1.1**2) & (margin <= decay / 2), False),
        )
    for H in (1, 2, 3):
        for size in (0.9, 1.1) if H == 1 else (0.9,):
            margin = margins_of_minimisers(H, size, draw)
            met = size < 1
            seen.add(met, wrong=met and (margin <= 0).any())
            seen.add(refuted=(False, False, (margin <= 0) & (not met)))
    return seen


def margins_of_minimisers(H: int, size: float, draw: torch.Generator) -> torch.Tensor:
    """The margins, at λ = 1, of the least points that descents find.

    ℓ(0) is a share of (8)'s level. Ten problems of five inputs with r = 1, six starts each.
    """
    network, (problems, starts) = ReLUNetwork((2, *(3,) * H, 1), output_relu=False), (10, 6)
    a, f = normal(draw, problems, 5, 2), normal(draw, problems, 5)
    a = a / data_radius(a)[:, None, None]
    f = f * (size * (H * (H + 1)) ** (-2 / H) / f.square().mean(-1)).sqrt()[:, None]
    a, f = (x.repeat_interleave(starts, 0) for x in (a, f))
    W = normal_weights(network, draw, problems * starts)
    *_, last = descend(network, W, a, f, weight_decay=1.0, learning_rate=0.1, steps=300)[1]
    loss = regularized_loss(network, last.W, a, f, 1.0).reshape(problems, starts)
    margin = torch.as_tensor(certify(network, last.W, a, f, 1.0)["paper"].margin)
    return margin.reshape(problems, starts)[loss <= loss.amin(1, keepdim=True) + ROUNDING]


def kink(at: Instance, X: Weights) -> Fraction:
    """Return the jump of the slope of ``t ↦ ℓ_λ(W + tX)`` at t = 0, by its formula, exactly.

    ``(1/N) Σ_k e_k Σ_{j: w_j·a_k = 0} v_j |X_0j · a_k|``: positive in a valley, negative at a
    ridge.
    """
    (W, data), turn, jump = exactly(at), as_fractions(X[0]), Fraction()
    for a, (f,) in data:
        z, change = relu_inputs(W, a)[0], relu_inputs([turn], a)[0]
        folds = [v * abs(x) for (v,), x, y in zip(W[1], change, z, strict=True) if y == 0]
        jump += (exact_output(W, a, False)[0] - f) * sum(folds)
    return jump / len(data)


@claim(
    "piecewise-ridge",
    "The jump of the slope at a kink",
    "certified",
    "Proved; one-sided gradients agree with it.",
    hypotheses=(*_SHALLOW, "some w_j · a_k = 0"),
    variant="every kink is a valley",
    least=50,
)
def check_ridge(seed: int) -> Evidence:
    """The formula for the jump of the slope, against one-sided gradients of the network itself.

    Just beside the kink ℓ_λ is smooth, and backpropagation gives its slope there; the difference
    of both sides tends to the jump. A negative jump must come with a midpoint above its chord, in
    exact arithmetic.
    """
    draw, decay, seen = torch_generator(seed, "initialization"), Fraction(1, 4), Evidence()
    for origin in shallow_problems(seed, 120):
        at = origin.at(whole_weights(origin.network, draw))
        X = tuple(x.float().double() for x in normal_weights(at.network, draw))
        jump, h = float(kink(at, X)), 2.0**-24
        sides = [flatten(gradient(*at.at(step(at.W, X, t)), float(decay))) for t in (-h, h)]
        left, right = (float(g @ flatten(X)) for g in sides)
        ridge = jump < -1e-3
        valley = above_chord(at, tuple(2.0**-16 * x for x in X), decay) <= 0
        on_kink = bool((at.a @ at.W[0] == 0).any())
        wrong = abs(right - left - jump) > 1e-4 or (ridge and valley)
        seen.add(on_kink, wrong=wrong, refuted=ridge)
    return seen


@claim(
    "piecewise-origin",
    "Ridges as near to the origin as one likes",
    "certified",
    "Proved from the jump of the slope; middles above chords in rational arithmetic.",
    hypotheses=(*_SHALLOW, "f(a_k) ≠ 0, a_k ≠ 0, and no other input but 0 on the line of a_k"),
    uses=("piecewise-ridge",),
    variant="with w_1 = 0, orthogonal to other inputs too",
    least=35,
)
def check_ridges_at_the_origin(seed: int) -> Evidence:
    """Near the origin ``ℓ_λ`` is not convex: the middle of a segment lies above its chord, exactly.

    The weights are those of the proof, of the size 2^-8; the segment is much shorter. The formula
    for the jump is not used. With w_1 = 0 other inputs have a say, and the middle may lie below.
    """
    draw, decay, seen = torch_generator(seed, "initialization"), Fraction(1), Evidence()
    for origin in shallow_problems(seed, 120):
        n_0, n_1 = origin.network.widths[:2]
        x = torch.randint(-3, 4, (n_0, n_1), generator=draw).double()
        X = (2.0**-24 * x, torch.zeros(n_1, 1).double())
        for k, (a_k, f_k) in enumerate(zip(origin.a, origin.f, strict=True)):
            others = torch.cat([origin.a[:k], origin.a[k + 1 :]])
            same_line = (others @ a_k).square() == others.square().sum(-1) * (a_k @ a_k)
            alone = not (same_line & others.any(-1)).any()
            if not (alone and a_k.any() and f_k != 0 and x[:, 0] @ a_k != 0):
                continue
            W = zero_weights(origin.network)
            W[1][0, 0] = 2.0**-8 * f_k.sign()
            flat = above_chord(origin.at(W), X, decay) <= 0
            if n_0 == 2:
                W[0][:, 0] = 2.0**-8 * torch.stack([-a_k[1], a_k[0]])
            seen.add(1, wrong=above_chord(origin.at(W), X, decay) <= 0, refuted=flat)
    return seen


def step(W: Weights, X: Weights, t: float) -> Weights:
    """Return ``W + tX``."""
    return tuple(w + t * x for w, x in zip(W, X, strict=True))


def above_chord(at: Instance, X: Weights, weight_decay: Fraction) -> Fraction:
    """Return by how much ``ℓ_λ(W)`` lies above the middle of the chord over ``W ± X``, exactly.

    W and X have to be short enough for float64 to hold their sum: single precision is.
    """
    ends = [exact_value(at.at(step(at.W, X, t)), weight_decay) for t in (-1.0, 1.0)]
    return exact_value(at, weight_decay) - sum(ends, Fraction()) / 2


def segment_in_set(at: Instance, X: Weights, room: Fraction) -> bool:
    """Return whether ``W + tX`` lies in U(λ, θ) for all t in [−1, 1], with ``room = λ − θ``; H = 1.

    Rigorous: between two changes of switches each residual is a quadratic in t, and lies between
    the least and the largest of its three Bernstein coefficients. All numbers are rational.
    """
    (W, data), turn = exactly(at), [as_fractions(x) for x in X]

    def residuals(t: Fraction) -> list[Fraction]:
        here = rational.moved(W, t, turn)
        return [exact_output(here, a, False)[0] - f for a, (f,) in data]

    times = {Fraction(k, 8) for k in range(-8, 9)}
    for a, _ in data:
        rates = zip(relu_inputs(W, a)[0], relu_inputs(turn, a)[0], strict=True)
        times |= {-z / change for z, change in rates if abs(z) < abs(change)}
    r_squared = max(dot(a, a) for a, _ in data)
    for s, t in itertools.pairwise(sorted(times)):
        triples = zip(residuals(s), residuals((s + t) / 2), residuals(t), strict=True)
        bounds = [max(abs(p), abs(q), abs(2 * m - (p + q) / 2)) for p, m, q in triples]
        if not 8 * r_squared * dot(bounds, bounds) / (2 * len(data)) < room**2:
            return False
    return True


def draw_segments(
    origin: Instance, weight_decay: float, theta: float, count: int, draw: torch.Generator
) -> tuple[Instance, Weights, torch.Tensor]:
    """Return segments ``W ± X``: a stack of W, X, and which lie in U(λ, θ), at 17 points of each.

    In single precision, so that W + X and W − X are exact in double.
    """
    W = tuple(w.float().double() for w in normal_weights(origin.network, draw, count))
    length = 10 ** (2 * uniform(draw, count, 1, 1) - 2)
    X = tuple((length * x).float().double() for x in normal_weights(origin.network, draw, count))
    return origin.at(W), X, least_margin(origin.at(W), X, weight_decay) > theta


def least_margin(stack: Instance, X: Weights, weight_decay: float) -> torch.Tensor:
    """Return the least margin at 17 points of each segment ``W ± X``, less a thousandth."""
    margins = [
        torch.as_tensor(certify(*stack.at(step(stack.W, X, t)), weight_decay)["paper"].margin)
        for t in torch.linspace(-1, 1, 17).tolist()
    ]
    return 0.999 * torch.stack(margins).amin(0)


@claim(
    "piecewise-segment",
    "Strongly convex on segments in one piece of U",
    "certified",
    "Proved; across pieces it fails, by counterexamples in rational arithmetic.",
    hypotheses=("[W − X, W + X] ⊂ B_i ∩ U(λ, θ)", *_SHALLOW),
    uses=("paper-theorem-3",),
    variant="ℓ_λ is convex on every segment in U(λ, θ); a twentieth more than θ/2",
    least=6800,
)
def check_segments(seed: int) -> Evidence:
    """Convex on segments of U in one piece, not on others: the counterexample is certified.

    The chord inequality is asked of the network's own loss, on segments drawn at random in U, with
    the largest θ for which a segment is in U(λ, θ), by 17 of its points. Of those that change
    switches the three worst are tried; a counterexample counts if it is confirmed in rational
    arithmetic, its membership of U at every point included.
    """
    draw, theta, seen = torch_generator(seed, "shuffling"), 0.5, Evidence()
    for origin in shallow_problems(seed, 16):
        decay = math.ceil(0.9 * kappas(origin)["paper"]) + 1  # most weights near 0 are in U
        stack, X, inside = draw_segments(origin, decay, theta, 2000, draw)
        ends = [origin.a @ w for w in (stack.W[0] - X[0], stack.W[0] + X[0])]
        same = ((ends[0] * ends[1] > 0) | (origin.a == 0).all(-1, keepdim=True)).all((1, 2))
        low, middle, high = (
            regularized_loss(*origin.at(step(stack.W, X, t)), decay) for t in (-1.0, 0.0, 1.0)
        )
        excess = middle - (low + high) / 2
        own = least_margin(stack, X, decay)  # the largest θ for which the segment is in U(λ, θ)
        bound = own / 2 * squared_norm(X)
        seen.add(
            inside & same,
            wrong=excess > ROUNDING - bound,
            refuted=(False, inside & same & (excess > ROUNDING - 1.05 * bound)),
            ratio=torch.where(bound > 1e-4, bound / -excess, 0.0),
        )
        for k in torch.where(inside & ~same, excess, -1.0).topk(3).indices.tolist():
            one, by = stack.one(k), tuple(x[k] for x in X)
            above = above_chord(one, by, Fraction(decay)) > 0
            confirmed = above and segment_in_set(one, by, Fraction(decay - theta))
            seen.add(refuted=(confirmed, False))
    return seen
