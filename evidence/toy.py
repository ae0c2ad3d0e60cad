"""The toy's proposition on the zero network, and the experiments' rows in the ledger."""

import torch

from evidence.claims import Evidence, claim, unchecked
from pscore.loss import regularized_loss, squared_norm, training_error
from pscore.network import ReLUNetwork
from pscore.seeds import torch_generator


@claim(
    "toy-zero-optimal",
    "H = 1: the zero network is optimal exactly for λ ≥ Λ",
    "certified",
    "Proved; random networks compared with the zero network on both sides of Λ.",
    hypotheses=("one hidden layer", "no ReLU on the output"),
    variant="the zero network is optimal at a fifth of Λ too",
    least=10_000,
)
def check_zero_network_is_optimal(seed: int, problems: int = 20, points: int = 500) -> Evidence:
    """Compare ``ℓ_λ(W)`` with ``ℓ(0)`` on both sides of ``Λ``, on data with one input.

    There are two directions then, so Λ is a maximum of two means, computed without a network; the
    loss is computed without Λ. At λ = 1.001 Λ no random network, of scales from 1e-3 to 1, may beat
    the zero network. The ratio says how little the loss rises, against the rise of the weight decay
    alone.
    """
    seen, draw = Evidence(), torch_generator(seed, "data")
    network = ReLUNetwork((1, 3, 1), output_relu=False)
    for _ in range(problems):
        a, f = (torch.randn(*shape, generator=draw).double() for shape in ((6, 1), (6,)))
        bound = max((f * (u * a[:, 0]).clamp(min=0)).mean().abs().item() for u in (-1, 1))
        scale = 10 ** -(3 * torch.rand(points, 1, 1, generator=draw).double())
        W = tuple(
            scale * torch.randn(points, *shape, generator=draw).double() for shape in network.shapes
        )
        at_zero = training_error(network, tuple(0 * w[0] for w in W), a, f)
        gain = regularized_loss(network, W, a, f, 1.001 * bound) - at_zero
        beaten = (regularized_loss(network, W, a, f, 0.2 * bound) < at_zero).any()
        decay = 1.001 * bound / 2 * squared_norm(W)
        seen.add(points, wrong=gain < -1e-12, refuted=beaten, ratio=1 - gain / decay)
    return seen


unchecked(
    __name__,
    "fig-toy-1",
    "Figure 1: most of a toy descent's fall in loss is inside U(λ)",
    "observed",
    "1000 trials on one data set; 87.2 % is among the means of 200 on each of twelve others.",
    uses=("paper-definition-2",),
)
