"""The image experiments' proposition on scale invariance, and their rows in the ledger."""

import torch
from torch.autograd.functional import hessian, jacobian

from evidence.claims import Evidence, claim, unchecked
from evidence.instances import draw_normalised
from pscore.curvature import curvature_along
from pscore.probe import measure
from pscore.seeds import torch_generator


@claim(
    "cifar-scale-invariance",
    "weights before a batch norm, ε = 0: curvature falls like their size squared; no minimiser",
    "certified",
    "Proved for ε = 0; the curvature at cU compared with an explicit Hessian at U.",
    hypotheses=("ℓ(cU, V) = ℓ(U, V) for c > 0", "ℓ twice differentiable at W", "U ≠ 0"),
    uses=("eq-17",),
    variant="c⁻¹ in place of c⁻²",
    least=32,
)
def check_scale_invariance(seed: int, problems: int = 40) -> Evidence:
    """Compare the curvature at cU with that at U over c², for losses with batch norm.

    The network normalises the outputs of its first layer, whose weights are U, over the batch as
    batch norm does (with ε = 0, so that the invariance is exact) and feeds them through a smooth or
    a ReLU unit to fixed further weights. The curvature at cU comes from two backpropagations there,
    the other side from an explicit Hessian at U and nothing at cU. That ⟨∇ℓ(U), U⟩ = 0 is checked
    to the rounding of its terms. An instance counts if the gradient at U is not zero and no unit's
    outputs are all alike.
    """
    seen, draw = Evidence(), torch_generator(seed, "data")
    for index in range(problems):
        one = draw_normalised(draw, index)
        U = one.U
        c = float(10 ** (2 * torch.rand((), generator=draw) - 1))
        g = jacobian(one.loss, U).flatten()
        H = hessian(one.loss, U).reshape(U.numel(), U.numel())
        expected = curvature_along(g, H @ g)
        scaled = (c * U).requires_grad_()
        measured = measure(one.loss(scaled), [scaled])[0].curvature
        size = torch.maximum(expected.abs(), H.norm())
        wrong = (c**2 * measured - expected).abs() > 1e-8 * size
        wrong |= (g @ U.flatten()).abs() > 1e-10 * g.norm() * U.norm()
        use = (g.norm() >= 1e-6) & (one.spread >= 1e-3)
        refuted = use & ((c * measured - expected).abs() > 1e-3 * size)
        seen.add(use, wrong=wrong, refuted=refuted)
    return seen


unchecked(
    __name__,
    "fig-cifar10-start",
    "Figure 2, CIFAR10: the path is convex from the first step to the last",
    "inconclusive",
    "One of the paper's twenty trials of 65 epochs, and one other's first. At step 0 the loss of a "
    "batch curves downwards in both, that of twenty batches upwards; from the first weights of the "
    "network's source a batch's curves upwards in 20 draws of 20, from torch's in 3.",
    uses=("eq-17",),
)
