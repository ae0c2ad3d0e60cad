"""The toy experiment: a thousand trials as a stack against the same trials one after another.

Both sides run 1000 steps in float64 and record, at every step, the regularised loss and whether
the weights are in U(λ). The plain side is what one would write first: torch.nn.Sequential,
autograd, torch.optim.SGD, a loop over trials; a few of its trials are run and scaled up.
"""

import json
import math
import time
from pathlib import Path

import torch
from torch import nn

from pscore.toy import run_toy, toy_data
from pscore.trials import provenance

TRIALS, STEPS, WEIGHT_DECAY, LEARNING_RATE = 1000, 1000, 0.4, 0.1
PLAIN_TRIALS = 3


def plain_trial(seed: int) -> tuple[list[float], list[bool]]:
    """One trial, the plain way."""
    torch.manual_seed(seed)
    x, f = toy_data("x/4", 0)
    model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    model = model.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    threshold = WEIGHT_DECAY / (2 * math.sqrt(2) * x.abs().max().item())
    losses, inside = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        error = 0.5 * nn.functional.mse_loss(model(x)[:, 0], f)
        error.backward()
        norm = sum(w.detach().square().sum() for w in model.parameters())
        losses.append(float(error.detach() + WEIGHT_DECAY / 2 * norm))
        inside.append(math.sqrt(error.item()) < threshold)
        optimizer.step()
    return losses, inside


def seconds(function, *arguments) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    """Print the ratio, and keep it for the chapter."""
    plain_trial(0)
    run_toy(range(TRIALS), steps=10)
    plain, stacked = [], []
    for _ in range(3):  # interleaved, so that a busy moment falls on both
        plain.append(sum(seconds(plain_trial, s) for s in range(PLAIN_TRIALS)) / PLAIN_TRIALS)
        stacked.append(seconds(lambda: run_toy(range(TRIALS), steps=STEPS, log_every=STEPS)))
    ratios = sorted(TRIALS * p / s for p, s in zip(plain, stacked, strict=True))
    # The least arithmetic of a step: per point 2 multiply-adds for each of W_0, W_1, and as many
    # for each of the two gradients, at the rate of a matrix product on this machine.
    A = torch.randn(1000, 1000, dtype=torch.float64)
    flops = 2e9 / min(seconds(torch.mm, A, A) for _ in range(5))
    arithmetic = TRIALS * STEPS * 100 * 2 * 8 / flops
    record = {
        "plain_seconds_a_trial": min(plain),
        "stack_seconds": min(stacked),
        "ratio_min": ratios[0],
        "ratio": ratios[1],
        "ratio_max": ratios[-1],
        "arithmetic_limit_seconds": arithmetic,
        "provenance": provenance(),
    }
    print(
        f"toy, {TRIALS} trials of {STEPS} steps: {min(stacked):.1f} s as a stack, "
        f"{min(plain):.2f} s a trial one by one\n"
        f"ratio {ratios[1]:.0f} (from {ratios[0]:.0f} to {ratios[-1]:.0f} in three rounds); "
        f"the arithmetic alone would take {arithmetic:.2f} s"
    )
    folder = Path(__file__).resolve().parent.parent / "results" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "toy.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
