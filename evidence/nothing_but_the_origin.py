r"""Checks of 'nothing but the origin': no critical point but W = 0 in any of the certified sets.

Clarke's subdifferential of ``ℓ_λ`` at W is the convex hull of the limits of gradients at points
that tend to W. Near almost all of them the switches are constant, and the limit is the gradient at
W of the loss frozen at those switches: that is how its elements are computed here, on switch
boundaries too. Norms and their products are computed once more in NumPy (`norms_in_numpy`).
"""

import numpy as np
import torch
from numpy.typing import NDArray

from evidence.claims import Evidence, claim
from evidence.instances import WIDTHS, random_stack
from evidence.measures import (
    ROUNDING,
    SETS,
    clarke_gradient,
    norms_in_numpy,
    second_derivative,
    share_of_bound,
)
from evidence.solvers.clarke import (
    DECAY,
    aligned,
    clarke_points,
    descents,
    mean_product,
    mean_square_output,
    outward,
    samples,
)
from pscore.certificate import certify
from pscore.curvature import flatten
from pscore.instance import Instance
from pscore.loss import gradient, regularized_loss, squared_norm
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator

_CRITICAL = ("λ > 0", "slopes between −1 and 1", "W ≠ 0 with 0 in Clarke's subdifferential of ℓ_λ")


@claim(
    "origin-euler",
    "⟨G_k, W_k⟩ = mean e·y + λ‖W_k‖² for every Clarke subgradient G and every layer",
    "certified",
    "Proved by scaling one layer, which needs no derivative of the outputs.",
    hypotheses=("a positively homogeneous activation",),
    uses=("no-local-maxima-scaling",),
    variant="λ‖W_k‖ in place of λ‖W_k‖²",
    least=3240,
)
def check_euler(seed: int) -> Evidence:
    """Check Euler's identity, layer by layer, for random elements of Clarke's subdifferential.

    ``⟨G_k, W_k⟩`` by backpropagation through frozen networks against ``A + λ‖W_k‖²`` from outputs
    and norms. Half of the networks are on switch boundaries.
    """
    seen, draw = Evidence(), torch_generator(seed, "shuffling")
    for stack in samples(seed):
        G, A = clarke_gradient(stack, 0.3, draw), mean_product(stack)
        for g, w in zip(G, stack.W, strict=True):
            rest, square = (g * w).sum((1, 2)) - A, w.square().sum((1, 2))
            scale = 1e-9 * (1 + A.abs() + square)
            wrong, refuted = ((rest - 0.3 * x).abs() > scale for x in (square, square.sqrt()))
            seen.add(stack.size, wrong=wrong, refuted=refuted)
    return seen


@claim(
    "origin-slope",
    "⟨G, W⟩ ≥ (λ − D λ_max(M)/H)‖W‖² for every Clarke subgradient G",
    "certified",
    "Proved for any activation with slopes in [−1, 1], any depth and any data.",
    hypotheses=("slopes between −1 and 1", "W ≠ 0 and D λ_max(M) > 0"),
    uses=("origin-euler", "sharper-bounds"),
    variant="H + 1 in place of H",
    least=1000,
)
def check_slope(seed: int) -> Evidence:
    """Check ``⟨G, W⟩ ≥ (λ − D λ_max(M)/H) ‖W‖²`` on random networks, and near equality.

    G is a random element of Clarke's subdifferential; for equality, the networks of `aligned`.
    """
    seen, weight_decay = Evidence(), 0.3
    draw = torch_generator(seed, "shuffling")
    for stack in [*samples(seed), *(aligned(H, seed) for H in (1, 2, 3))]:
        positive = torch.from_numpy(norms_in_numpy(stack)["data"] > 1e-9)
        seen.add(met := positive & (squared_norm(stack.W) > 0))
        H, stack = stack.network.depth, stack.rows(met)
        share = share_of_bound(stack, clarke_gradient(stack, weight_decay, draw), weight_decay)
        seen.add(
            wrong=share > 1 + ROUNDING,
            refuted=share > H / (H + 1) * (1 + ROUNDING),
            ratio=share.clamp(max=1),
        )
    return seen


@claim(
    "origin-equality",
    "Equality: layers of rank one and one norm, and every output against its residual",
    "certified",
    "Proved, with the degenerate cases.",
    hypotheses=("W ≠ 0", "slopes between −1 and 1"),
    uses=("origin-slope",),
    variant="there is never equality",
    least=1440,
)
def check_equality(seed: int) -> Evidence:
    """Check when ``⟨G, W⟩ = (λ − D λ_max(M)/H) ‖W‖²``, by networks that meet it and some that miss.

    Equality: `aligned` networks; networks whose outputs are the targets; three zero layers. None:
    the first with one layer a tenth longer, with a second direction in one layer, with an input
    turned, or with one target below the output; and one zero layer, or two.
    """
    seen = Evidence()
    for H in (1, 2, 3):
        stack = random_stack(ReLUNetwork(WIDTHS[H], False), seed, 60)
        for zeros in range(H + 1):
            W = tuple(0 * w if k < zeros else w for k, w in enumerate(stack.W))
            one = stack.at(W) if zeros else stack._replace(f=stack.outputs())
            kappa, square = torch.from_numpy(norms_in_numpy(one)["data"]), squared_norm(one.W)
            excess = outward(one, 0.3) / square - (0.3 - kappa / H)
            equal = excess.abs() < 1e-9 * (1 + kappa)
            seen.add(one.size, wrong=equal == (zeros in (1, 2)))
        exact = aligned(H, seed)
        second = 0.1 * torch.ones_like(exact.W[0]) - 0.05 * torch.eye(2, dtype=torch.float64)
        turned, low = exact.a.clone(), exact.f.clone()
        turned[:, 0] = turned[:, 0] * torch.tensor([1.0, 1.5])
        low[:, 0] -= 3
        missed = (
            exact.at((1.1 * exact.W[0], *exact.W[1:])),
            exact.at((exact.W[0] + second, *exact.W[1:])),
            exact._replace(a=turned),
            exact._replace(f=low),
        )
        share = share_of_bound(exact, gradient(*exact, 0.3), 0.3)
        equal = (share - 1).abs() <= ROUNDING
        seen.add(exact.size, wrong=~equal, refuted=equal, ratio=share.clamp(max=1))
        for stack in missed:
            share = share_of_bound(stack, gradient(*stack, 0.3), 0.3)
            seen.add(stack.size, wrong=share > 1 - 1e-7)
    return seen


@claim(
    "nothing-but-the-origin",
    "Every non-zero critical point has equal layers, λ ≤ D min M and D λ_max(M) ≥ Hλ",
    "certified",
    "Proved; smooth critical points and ones on kinks, H = 1, 2, 3.",
    hypotheses=_CRITICAL,
    uses=("origin-euler", "origin-slope", "sharper-bounds"),
    variant="H + 1 in place of H in D λ_max(M) ≥ Hλ",
    least=330,
)
def check_nothing(seed: int) -> Evidence:
    """Check 1, 2, 3 at non-zero Clarke-critical points, smooth ones and ones on kinks.

    That 0 is in the subdifferential is confirmed first: the gradient of the loss frozen at the
    point's switches is zero, the kink's switch between its two values. Then the norms of the
    layers, ``A`` from outputs, and the products of operator norms in NumPy. Margin: the largest
    ``H λ / (D λ_max(M))``.
    """
    seen = Evidence()
    for stack, switches, _, kept in clarke_points(seed):
        H, kappa = stack.network.depth, norms_in_numpy(stack)
        slope = flatten(gradient(*stack, DECAY, switches)).norm(dim=-1)
        squares = torch.stack([w.square().sum((1, 2)) for w in stack.W], dim=-1)
        seen.add(kept)
        seen.add(wrong=slope > ROUNDING)
        seen.add(wrong=(DECAY * squares + mean_product(stack)[:, None]).abs() > 1e-9)
        norms = np.stack([np.linalg.svd(w.numpy())[1][:, 0] for w in stack.W], axis=-1)
        least = np.sort(norms, axis=-1)[:, : H - 1].prod(-1)  # M_jk for the two longest layers
        D, above = _data_mean(stack), 1 - ROUNDING
        seen.add(wrong=D * least < DECAY * above)
        seen.add(wrong=kappa["sharp"] / H < D * least * above)
        seen.add(
            wrong=kappa["data"] < H * DECAY * above,
            refuted=kappa["data"] < (H + 1) * DECAY * above,
            ratio=np.minimum(H * DECAY / kappa["data"], 1.0),
        )
    return seen


def _data_mean(stack: Instance) -> NDArray[np.float64]:
    """``D = (1/N) Σ ‖e_i‖ ‖a_i‖``."""
    e = stack.residuals().numpy().reshape(*stack.a.shape[:2], stack.network.widths[-1])
    return (np.linalg.norm(e, axis=-1) * np.linalg.norm(stack.a.numpy(), axis=-1)).mean(-1)


@claim(
    "origin-one-point",
    "With one data point the bounds are exactly H(H+1)λ and Hλ at critical points",
    "certified",
    "Proved for ReLU and linear networks.",
    hypotheses=(
        "N = 1",
        "W ≠ 0, the frozen gradient is 0",
        "switches are 0, 1 or −1",
        "a scalar output, or none activated",
    ),
    uses=("nothing-but-the-origin",),
    variant="the same with more data points",
    least=68,
)
def check_one_point(seed: int) -> Evidence:
    """Check that with one data point the four bounds are exactly H(H+1)λ, and Hλ three times.

    The variant is refuted by the critical points of two data points or four.
    """
    seen = Evidence()
    for stack, _, kind, kept in clarke_points(seed):
        network, H, kappa = stack.network, stack.network.depth, norms_in_numpy(stack)
        activated = network.output_relu and network.widths[-1] > 1
        if network.negative_slope not in (0.0, 1.0) or activated or kind == "kink":
            continue
        expected = dict.fromkeys(SETS, H * DECAY) | {"paper": H * (H + 1) * DECAY}
        off = np.max([np.abs(kappa[name] / expected[name] - 1) for name in SETS], axis=0)
        if kind == "one point":
            seen.add(kept)
            seen.add(wrong=off > 1e-7)
        else:
            seen.add(refuted=off > 1e-3)
    return seen


@claim(
    "origin-lemma-7",
    "Lemma 7 for networks with switches: no non-zero critical point in any of the sets",
    "certified",
    "Proved for any widths, and kinks included.",
    hypotheses=_CRITICAL,
    uses=("nothing-but-the-origin", "sharper-bounds"),
    variant="U replaced by the set κ < 1.01 H(H+1) λ",
    least=290,
)
def check_sets(seed: int) -> Evidence:
    """Check that no critical point of a network with switches is in any of the four sets.

    As `check_nothing`, but by `certify`, and without linear networks. Margin: the largest λ/κ, of
    the paper's κ. At H = 1 the other sets may have the point on their boundary.
    """
    seen = Evidence()
    for stack, _, _, kept in clarke_points(seed):
        if stack.network.negative_slope == 1 or not stack.size:
            continue
        seen.add(kept)
        certificates, H = certify(*stack, DECAY), stack.network.depth
        for name in SETS:
            allowed = ROUNDING * DECAY if H == 1 and name != "paper" else 0.0
            seen.add(wrong=torch.as_tensor(certificates[name].margin) > allowed)
        kappa = DECAY - torch.as_tensor(certificates["paper"].margin)
        seen.add(refuted=kappa < 1.01 * H * (H + 1) * DECAY, ratio=DECAY / kappa)
    return seen


@claim(
    "origin-theorem-2",
    "Theorem 2, Lemmas 5 and 6 are statements about W = 0",
    "certified",
    "Proved; checked on the ends of gradient descent.",
    hypotheses=("λ > 0", "slopes between −1 and 1", "a descent that settles in U_data"),
    uses=("nothing-but-the-origin", "origin-slope"),
    variant="the set κ_data < 1.5 Hλ in place of U_data",
    least=310,
)
def check_ends(seed: int) -> Evidence:
    """Check that every descent that ends in one of the sets ends at the origin.

    The ends are those of gradient descent, which knows nothing of the sets. Counted as met are
    ends inside U_data; at the origin means ``‖W‖ < 1e-2``, settled that the gradient is below
    λ/1000.
    """
    seen = Evidence()
    for stack, weight_decay in descents(seed):
        elsewhere = flatten(stack.W).norm(dim=-1) > 1e-2
        settled = flatten(gradient(*stack, weight_decay)).norm(dim=-1) < 1e-3 * weight_decay
        kappa = torch.from_numpy(norms_in_numpy(stack)["data"])
        wide = settled & (kappa < 1.5 * stack.network.depth * weight_decay)
        inside = settled & (kappa < 0.99 * weight_decay)
        seen.add(inside, wrong=elsewhere, refuted=wide & elsewhere)
    return seen


@claim(
    "origin-lemma-4",
    "U holds all global minimisers exactly if 0 is the only one and is in U",
    "certified",
    "Proved; at H = 1 that is that 0 is in U, at H ≥ 2 that it is the only global minimiser.",
    hypotheses=("λ > 0", "slopes between −1 and 1"),
    uses=(
        "nothing-but-the-origin",
        "origin-collapse",
        "origin-inside",
    ),
    variant="U holds the best point whenever that is 0",
    least=90,
)
def check_lemma_4(seed: int) -> Evidence:
    """Check that U(λ) holds the best point found exactly if that is 0 and 0 is in U(λ).

    The best end of eight descents for each problem. At H = 1 the right-hand side is computed as
    ``ℓ(0) < λ²/(8r²)``, eq. (10), from the data alone.
    """
    seen = Evidence()
    for stack, weight_decay in descents(seed):
        dead = (flatten(stack.W).norm(dim=-1) < 1e-2).reshape(-1, 1, 1)
        stack = stack.at(tuple(w.masked_fill(dead, 0.0) for w in stack.W))
        loss = regularized_loss(*stack, weight_decay)
        best = loss.reshape(-1, 8).argmin(-1) + 8 * torch.arange(len(loss) // 8)
        stack = stack.rows(best)
        zero, r = squared_norm(stack.W) == 0, stack.a.norm(dim=-1).amax(-1)
        low = stack.f.square().mean(-1) / 2 < weight_decay**2 / (8 * r**2)
        inside = torch.as_tensor(certify(*stack, weight_decay)["paper"].inside)
        expected = low if stack.network.depth == 1 else zero
        seen.add(stack.size, wrong=inside != expected, refuted=zero & ~inside)
    return seen


@claim(
    "origin-no-squares",
    "Without its squares the second derivative along X = W is (1 − H)λ‖W‖² ≤ 0",
    "certified",
    "Proved: no certificate that drops the squares holds at a non-zero critical point.",
    hypotheses=_CRITICAL,
    uses=("nothing-but-the-origin",),
    variant="the same with the squares",
    least=330,
)
def check_no_squares(seed: int) -> Evidence:
    """Check the second derivative without its squares, in the direction X = W of critical points.

    ``φ''`` from values of the frozen loss on the line, minus ``(H+1)² mean‖y‖²``, against
    ``−Hλ‖W‖²``; and in the direction of two layers, with ``4 mean‖y‖²``, against ``−λ‖X‖²``.
    """
    seen = Evidence()
    for stack, switches, _, kept in clarke_points(seed):
        seen.add(kept)
        H, mean = stack.network.depth, mean_square_output(stack)
        for layers, factor in ((range(H + 1), H), ((0, H), 1)):
            X = tuple(w if i in layers else 0 * w for i, w in enumerate(stack.W))
            off = second_derivative(stack, X, switches) + factor * DECAY * squared_norm(X)
            scale = 1e-7 * (1 + mean * (H + 1) ** 2)
            wrong = (off - len(layers) ** 2 * mean).abs() > scale
            seen.add(wrong=wrong, refuted=off.abs() > scale)
    return seen


@claim(
    "origin-collapse",
    "Inside U gradient flow shrinks ‖W‖, and from a ball around 0 it goes to 0",
    "certified",
    "Proved, with rates and the radius of the ball.",
    hypotheses=("λ > 0", "slopes between −1 and 1", "W ≠ 0 in U(λ)"),
    uses=("origin-slope", "sharper-bounds"),
    variant="the rate λ in U",
    least=280,
)
def check_collapse(seed: int) -> Evidence:
    """Check the rate of collapse in U, and in the ball of the origin's basin.

    In U: ``⟨G, W⟩ ≥ λ(1 − 1/(H(H+1)))‖W‖²``. In the ball ``‖W‖² < (H+1)(λ/D(0))^{2/(H−1)}``:
    ``⟨G, W⟩ ≥ (λ − D(0) (‖W‖²/(H+1))^{(H−1)/2})‖W‖²``, with ``D(0)`` from inputs and targets alone,
    which holds outside the ball as well. Random W, on boundaries too.
    """
    seen, weight_decay = Evidence(), 2.0
    draw = torch_generator(seed, "shuffling")
    for stack in [*samples(seed), *(aligned(H, seed) for H in (1, 2, 3))]:
        H, square = stack.network.depth, squared_norm(stack.W)
        inner = (flatten(clarke_gradient(stack, weight_decay, draw)) * flatten(stack.W)).sum(-1)
        slack = 1e-9 * (1 + square)
        f = stack.f.reshape(*stack.a.shape[:2], -1)
        at_zero = (f.norm(dim=-1) * stack.a.norm(dim=-1)).mean(-1)
        speed = weight_decay - at_zero * (square / (H + 1)) ** ((H - 1) / 2)
        seen.add(wrong=inner < speed * square - slack)
        inside = torch.as_tensor(certify(*stack, weight_decay)["paper"].inside) & (square > 0)
        rate = weight_decay * (1 - 1 / (H * (H + 1)))
        seen.add(
            inside,
            wrong=inner < rate * square - slack,
            refuted=(inner < weight_decay * square - slack) & inside,
            ratio=rate * square / inner,
        )
    return seen
