r"""The MNIST experiment: the share (20), and its rows in the ledger."""

import numpy as np
import pandas as pd

from evidence.claims import Evidence, claim, unchecked
from pscore.experiments.share import loss_share
from pscore.seeds import rng


@claim(
    "eq-20",
    "the share of the fall in loss after the path turns convex",
    "certified",
    "A definition; its code is compared with a loop over the steps.",
    hypotheses=("the loss falls", "a t_0 exists and is not the start"),
    uses=("eq-16",),
    variant="from the first positive curvature on, though a negative one may follow",
    least=150,
)
def check_loss_share(seed: int, paths: int = 200) -> Evidence:
    """Compare `loss_share` with (20) by a loop over the steps, on falling paths.

    The loop walks backwards until a curvature is not positive.
    """
    seen, draw = Evidence(), rng(seed, "data")
    for _ in range(paths):
        loss = np.sort(draw.uniform(size=30))[::-1]
        curvature = np.linspace(-1, 1, 30) + draw.normal(scale=0.5, size=30)
        table = pd.DataFrame({"step": np.arange(30), "loss": loss, "curvature": curvature})
        start = 30
        while start > 0 and curvature[start - 1] > 0:
            start -= 1
        if not 0 < start < 30:
            seen.add(False)
            continue
        first = int(np.argmax(curvature > 0))
        by_loop, by_first = ((loss[t] - loss[-1]) / (loss[0] - loss[-1]) for t in (start, first))
        wrong = abs(loss_share(table).loss_fraction - by_loop) > 1e-12
        seen.add(True, wrong=wrong, refuted=abs(by_first - by_loop) > 1e-12)
    return seen


unchecked(
    __name__,
    "fig-mnist-full-shares",
    "Figure 2 and Table 2, MNIST: the path is convex after a short start",
    "observed",
    "100 trials on real MNIST at the paper's settings. Of Table 2's figures the 10th percentile is "
    "equivalent within margins; accuracy and share are undecided.",
    uses=("eq-17",),
)
unchecked(
    __name__,
    "fig-mnist-dense",
    "the share of the loss after t_0 depends on which steps the curvature is measured at",
    "observed",
    "Ten of the hundred trials on MNIST, with every step measured.",
    uses=("eq-20",),
)
