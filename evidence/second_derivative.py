"""Checks of the bound on the second derivative, Lemma 3, and of what sharpens it.

Two quantities meet in almost every check, and share nothing but the instance:

- the bound, made of norms only (`pscore.certificate`);
- the second derivative of the frozen loss φ, in the direction that the exact Hessian
  (`pscore.curvature`) names as the worst, but read off *values* of φ on a line: φ is a polynomial
  of degree 2(H+1) there, which 2(H+1) + 1 values determine.

At a switch boundary nothing special happens: all of these statements are about a loss whose
switches are held, and the checks hold whichever switches they are given.
"""

import math

import torch
from torch import Tensor

from evidence.claims import Evidence, claim
from evidence.instances import WIDTHS, equality, near_equality, random_stack, steep, uniform
from evidence.measures import TOLERANCE, both_sides, exceeds, kappas, residual_and_radius
from pscore.curvature import flatten, frozen_hessian, least_eigenvalue
from pscore.instance import Instance
from pscore.loss import gradient, squared_norm
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator

_NORMS = ("‖a_i‖ ≤ r for every input", "switches held at their values at W")


@claim(
    "paper-lemma-3",
    "The frozen loss curves downwards at most as much as (4) says",
    "certified",
    "Proved, with each switch once. The constant is loose by the factor H + 1.",
    hypotheses=_NORMS,
    variant="(4) without φ^(1/2); (4) without r; (4) with H/2 for H(H+1)",
    least=1200,
)
@claim(
    "eq-4",
    "The bound of Lemma 3",
    "certified",
    "The inequality of Lemma 3, with its proof.",
    hypotheses=_NORMS,
    uses=("paper-lemma-3",),
    variant="(4) without φ^(1/2); (4) without r; (4) with H/2 for H(H+1)",
    least=1200,
)
def check_lemma_3(seed: int) -> Evidence:
    """Random networks at their own switches, with and without a ReLU on the output.

    The right-hand side of (4) is written out, with NumPy's norms, and the code's has to agree.
    """
    seen = Evidence()
    for H, widths in WIDTHS.items():
        for output_relu in (False, True):
            stack = random_stack(ReLUNetwork(widths, output_relu), seed)
            downward, kappa = both_sides(stack)
            root, r = residual_and_radius(stack)  # √(2φ), in which φ^(1/2) comes with its factor
            star = torch.stack([torch.linalg.svdvals(W)[:, 0] for W in stack.W]).amax(0)
            paper = H * (H + 1) * star ** (H - 1) * r * root
            variants = (paper * math.sqrt(2) / root, paper / r, paper / (2 * (H + 1)))
            refuted = tuple(exceeds(downward, variant) for variant in variants)
            wrong = exceeds(downward, paper) | ((kappa["paper"] - paper).abs() > TOLERANCE * paper)
            seen.add(stack.size, wrong=wrong, refuted=refuted, ratio=downward / paper)
    return seen


@claim(
    "sharper-bounds",
    "H in place of H(H+1), and two sharper bounds still",
    "certified",
    "Proved for any held switches with entries in [−1, 1] and any number of outputs.",
    hypotheses=("‖a_i‖ ≤ r for every input", "held switches with entries in [−1, 1]"),
    uses=("paper-lemma-3",),
    variant="9/10 of H in place of H",
    least=750,
)
def check_sharper_bounds(seed: int) -> Evidence:
    """The chain of three, for held switches that no network has, and two outputs.

    The variant falls to networks of width one near equality.
    """
    seen, draw = Evidence(), torch_generator(seed, "shuffling")
    for H, widths in WIDTHS.items():
        stack = random_stack(ReLUNetwork((*widths[:-1], 2)), seed)
        units = stack.network.widths[1:]
        S = tuple(2 * uniform(draw, *stack.a.shape[:2], n) - 1 for n in units)
        small = near_equality(H, 0.05 + 0.05 * uniform(draw, 50))
        for each, held in ((stack, S), (small, None)):
            downward, kappa = both_sides(each, held)
            data, layerwise, sharp = kappa["data"], kappa["layerwise"], kappa["sharp"]
            wrong = exceeds(downward, data) | exceeds(data, layerwise) | exceeds(layerwise, sharp)
            refuted = exceeds(downward, 0.9 * sharp)
            seen.add(each.size, wrong=wrong, refuted=refuted, ratio=downward / sharp)
    return seen


@claim(
    "second-derivative-equality",
    "The factor H can't be lowered, and is attained for H = 1",
    "certified",
    "Proved, by two families of networks of width one.",
    hypotheses=("the bound is not zero", "X ≠ 0"),
    uses=("sharper-bounds",),
    variant="the sharp bound is always strict; 99/100 of it holds at H = 1, 2, 3, 4",
    least=128,
)
def check_equality(seed: int) -> Evidence:
    """1: the family's ratio is the formula of the proof, for H = 1 to 4, and above 0.99 in the end.

    2: at H = 1 the bound is met on another family.
    """
    seen, near = Evidence(), []
    s = torch.tensor([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], dtype=torch.float64)
    for H in (1, 2, 3, 4):
        downward, kappa = both_sides(near_equality(H, s))
        ratio = downward / kappa["sharp"]
        formula = 1 - (H + 1) * s ** (H + 1) / (H * (1 - s ** (H + 1)))
        seen.add(len(s), wrong=(ratio - formula).abs() > 1e-7, ratio=ratio)
        near.append(bool(ratio[0] > 0.99))
    t, c = 0.1 + 2 * uniform(torch_generator(seed, "data"), 2, 100)
    downward, kappa = both_sides(equality(t, -c))
    ratio = downward / kappa["sharp"]
    attained = (ratio - 1).abs() < 1e-9
    refuted = (attained, all(near))
    seen.add(len(t), wrong=~attained | (not all(near)), refuted=refuted, ratio=ratio)
    return seen


@claim(
    "second-derivative-vector-outputs",
    "Lemma 3 and its sharper form for vector outputs, with the same constants",
    "certified",
    "The paper leaves it to the reader; proved.",
    hypotheses=("‖a_i‖ ≤ r for every input", "n_{H+1} ≥ 1"),
    uses=("paper-lemma-3", "sharper-bounds"),
    variant="a residual measured by its largest entry, not by its length",
    least=630,
)
def check_vector_outputs(seed: int) -> Evidence:
    """The sharp bound with two and three outputs, random and near equality."""
    seen, s = Evidence(), torch.linspace(0.02, 0.1, 5, dtype=torch.float64)
    for H, widths in WIDTHS.items():
        for outputs in (2, 3):
            network = ReLUNetwork((*widths[:-1], outputs))
            for stack in (random_stack(network, seed, 100), near_equality(H, s, outputs)):
                downward, kappa = both_sides(stack)
                sharp = kappa["sharp"]
                largest = stack.residuals().abs().amax(-1).square().mean(-1).sqrt()
                refuted = exceeds(downward, sharp * largest / residual_and_radius(stack)[0])
                wrong, ratio = exceeds(downward, sharp), downward / sharp
                seen.add(stack.size, wrong=wrong, refuted=refuted, ratio=ratio)
    return seen


@claim(
    "second-derivative-leaky",
    "Leaky units cost the factor max(1, |slope|)^H, and no less",
    "certified",
    "Proved for any slope; one more factor if the output is activated.",
    hypotheses=("‖a_i‖ ≤ r for every input", "a finite slope"),
    uses=("sharper-bounds",),
    variant="no factor for slopes steeper than 1",
    least=1224,
)
def check_leaky(seed: int) -> Evidence:
    """Slopes also steeper than 1; the variant falls where every unit is on its steep side."""
    seen = Evidence()
    for slope in (-3.0, -0.5, 0.1, 2.0):
        for H, widths in WIDTHS.items():
            for output_relu in (False, True):
                stack = random_stack(ReLUNetwork(widths, output_relu, slope), seed, 50)
                for each in (stack, steep(H, slope, output_relu)):
                    downward, kappa = both_sides(each)
                    sharp = kappa["sharp"]
                    wrong, refuted = (exceeds(downward, sharp / g) for g in (1, each.network.gain))
                    seen.add(each.size, wrong=wrong, refuted=refuted, ratio=downward / sharp)
    return seen


@claim(
    "second-derivative-each-switch-once",
    "A leaky network is the product with each switch once, not twice as in (26)",
    "certified",
    "(26) uses S² = S: right for ReLU, of which it speaks, and for no other slope but 1.",
    hypotheses=("a leaky network with a slope other than 0 and 1",),
    variant="each switch twice",
    least=200,
)
def check_switches_twice(seed: int) -> Evidence:
    """Multiply weights and switches out, each switch once and each twice, and compare with y."""
    stack = random_stack(ReLUNetwork((2, 3, 2, 1), True, 0.1), seed)
    y = stack.outputs()
    differs = []
    for power in (1, 2):
        x = stack.a
        for W, S in zip(stack.W, stack.switches(), strict=True):
            x = (x @ W) * S**power
        differs.append(((x.squeeze(-1) - y).abs() > TOLERANCE * (1 + y.abs())).any(-1))
    seen = Evidence()
    seen.add(stack.size, wrong=differs[0], refuted=differs[1])
    return seen


def jacobian(stack: Instance) -> Tensor:
    """Return the derivatives of each output in each weight, ``(T, N, m)``, for scalar outputs."""
    leaves = tuple(w.detach().clone().requires_grad_() for w in stack.W)
    y = stack.network(leaves, stack.a)
    rows = [
        torch.autograd.grad(y[:, i].sum(), leaves, retain_graph=True) for i in range(y.shape[1])
    ]
    return torch.stack([flatten(row) for row in rows], dim=-2)


@claim(
    "second-derivative-gram",
    "the Gram matrix: no word on convexity, but on the gradient and on the rows' span",
    "certified",
    "proved",
    hypotheses=("scalar output", "switches held"),
    uses=("sharper-bounds",),
    variant="a positive definite Gram matrix makes the Hessian positive semidefinite",
    least=240,
)
def check_gram(seed: int) -> Evidence:
    """Check what the Gram matrix says of the Hessian and of the gradient.

    The Jacobian is automatic differentiation of the outputs, the Hessian the exact one of the
    frozen loss, the gradient backpropagation: three pieces of code. The margin is that of
    ``‖∇ℓ‖² ≥ 2γℓ/N``.
    """
    seen = Evidence()
    for k, widths in enumerate(((2, 6, 1), (3, 4, 1), (2, 4, 3, 1), (1, 1, 1))):
        stack = random_stack(ReLUNetwork(widths, False), 10 * seed + k, count=60, points=3)
        if widths == (1, 1, 1):
            stack = stack._replace(a=stack.a[:, :1].abs(), f=stack.f[:, :1])
        J, H, e = jacobian(stack), frozen_hessian(*stack), stack.residuals()
        N = e.shape[-1]
        values, vectors = torch.linalg.eigh(J @ J.mT)
        gamma = values[:, 0]
        slope = squared_norm(gradient(*stack))
        exact = torch.einsum("ti,tij,tj->t", e, J @ J.mT, e) / N**2
        level = gamma * e.square().sum(-1) / N**2  # 2γℓ/N
        wrong = (slope - exact).abs() > 1e-8 * (1 + exact)
        wrong |= level > slope * (1 + 1e-8) + 1e-12
        sure = gamma > 1e-8 * values[:, -1]  # the Gram matrix is positive definite
        rows = (vectors.mT @ J / values.clamp(min=1e-300).sqrt()[..., None])[sure]
        on_rows, size = least_eigenvalue(rows @ H[sure] @ rows.mT), 1 + H[sure].abs().amax((-2, -1))
        wrong[sure] |= on_rows < (gamma / N - kappas(stack)["data"])[sure] - 1e-8 * size
        refuted = least_eigenvalue(H)[sure] < -1e-6 * size
        seen.add(len(gamma), wrong=wrong, refuted=refuted, ratio=(level / slope)[sure])
    return seen
