"""The certified set where weight space is a plane: one input, one hidden unit, three data points.

Several pages show it, and let it be moved. `explorer` draws the same frames for each of them, so a
page needs one cell, hidden or not, that ends with ``weight_plane.explorer()``.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from torch import Tensor

from pscore.certificate import certify
from pscore.curvature import frozen_hessian, least_eigenvalue
from pscore.figures import BLUE, INK, ORANGE, PALE, Explorer, explore
from pscore.network import ReLUNetwork

NETWORK = ReLUNetwork((1, 1, 1), output_relu=False)  # y = v σ(w a)
INPUTS = torch.tensor([[1.0], [0.6], [-0.5]], dtype=torch.float64)
TARGETS = torch.tensor([0.8, 0.45, -0.1], dtype=torch.float64)
DECAYS = [round(0.2 + 0.03 * k, 2) for k in range(41)]
THETAS = (0.02, 0.05, 0.15)


class Plane(NamedTuple):
    """What is computed once on a grid of weights; no λ and no θ is in it.

    Attributes:
        w: first weight.
        v: second weight.
        error: ℓ.
        kappa: the bound (4) for the downward curvature; U(λ, θ) is where it is below λ − θ.
        truth: the downward curvature of the frozen error, minus its least eigenvalue.
        square: ‖W‖².
        pull: the slope of ℓ along the ray from the origin, ⟨∇ℓ, W⟩, to which decay adds λ‖W‖².
    """

    w: Tensor
    v: Tensor
    error: Tensor
    kappa: Tensor
    truth: Tensor
    square: Tensor
    pull: Tensor

    def loss(self, decay: float) -> Tensor:
        """Return ℓ_λ."""
        return self.error + decay / 2 * self.square


@cache
def plane() -> Plane:
    """Return the grid: the origin is its 60th point in both directions."""
    ticks = torch.linspace(-2, 2, 121, dtype=torch.float64)
    v, w = torch.meshgrid(ticks, ticks, indexing="ij")
    W, a, f = [w.reshape(-1, 1, 1), v.reshape(-1, 1, 1)], INPUTS, TARGETS
    y, square = NETWORK(W, a), w**2 + v**2
    values = (
        (y - f).square().mean(-1) / 2,
        1 - torch.as_tensor(certify(NETWORK, W, a, f, 1.0)["paper"].margin),
        -least_eigenvalue(frozen_hessian(NETWORK, W, a, f)),
    )
    pull = 2 * ((y - f) * y).mean(-1)
    return Plane(w, v, *(x.reshape(w.shape) for x in (*values, square, pull)))


def draw(axes: Axes, decay: float, theta: float) -> None:
    """Draw U dark, where the Hessian really is at least θ pale, no slope along the ray dashed."""
    at, room = plane(), decay - theta
    axes.contourf(at.w, at.v, at.truth, levels=[at.truth.min() - 1, room], colors=[PALE])
    axes.contourf(at.w, at.v, at.kappa, levels=[-1, room], colors=[BLUE], alpha=0.75)
    loss = at.loss(decay)
    levels = loss.min().item() + np.linspace(0.02, 2.2, 9) ** 2
    axes.contour(at.w, at.v, loss, levels=levels, colors="0.45", linewidths=0.6)
    slope = at.pull / at.square.clamp(min=1e-12) + decay
    axes.contour(at.w, at.v, slope, levels=[0], colors=[ORANGE], linestyles="--", linewidths=2)
    axes.axvline(0, color=INK, linestyle=":", linewidth=1)
    low = loss.argmin()
    axes.plot(at.w.flatten()[low], at.v.flatten()[low], "o", color=INK, markerfacecolor="white")
    axes.set(xlabel="$w$", ylabel="$v$", xticks=range(-2, 3), yticks=range(-2, 3))


def legend(figure: Figure) -> None:
    """Say below what is drawn."""
    circle = {"color": INK, "marker": "o", "markerfacecolor": "white", "linestyle": ""}
    handles = [
        Patch(color=BLUE, alpha=0.75, label=r"$U(\lambda, \theta)$"),
        Patch(color=PALE, label=r"Hessian $\geq \theta$"),
        Line2D([], [], label=r"least $\ell_\lambda$", **circle),
        Line2D([], [], color=ORANGE, linestyle="--", linewidth=2, label="no slope along the ray"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)


def describe(decay: float, theta: float) -> str:
    """Say what a frame shows, for readers who don't see it."""
    at, room = plane(), decay - theta
    inside, convex = (at.kappa < room).double().mean(), (at.truth <= room).double().mean()
    held = "inside" if holds_zero(decay, theta) else "outside"
    lowest = "lowest" if lowest_at_zero(decay) else "not lowest"
    return (
        f"λ = {decay:g}, θ = {theta:g}: U covers {inside:.0%} of this square, the true region "
        f"{convex:.0%}. The origin is {held} U, and the loss is {lowest} there."
    )


def holds_zero(decay: float, theta: float) -> bool:
    """Say whether the origin is in U(λ, θ)."""
    return bool(plane().kappa[60, 60] < decay - theta)


def lowest_at_zero(decay: float) -> bool:
    """Say whether no point of the grid has a smaller ℓ_λ than the origin."""
    return bool(plane().loss(decay).argmin() == 60 * 121 + 60)


def draw_frame(figure: Figure, decay: float, theta: float = 0.05) -> None:
    """Draw the plane with its legend."""
    draw(figure.subplots(), decay, theta)
    legend(figure)


def explorer() -> Explorer:
    """Return U(λ, θ), to be moved by λ and θ."""
    return explore(
        draw_frame,
        along=("λ", DECAYS),
        choose=("θ", THETAS),
        describe=describe,
        landmarks=landmarks(*THETAS),
        start=(0.29, 0.05),
        figsize=(4.6, 4.7),
    )


def small_explorer() -> Explorer:
    """Return the same for θ = 0.05 alone, to be moved by λ: the front page's."""
    return explore(
        draw_frame,
        along=("λ", DECAYS),
        describe=lambda decay: describe(decay, 0.05),
        landmarks={key if key in DECAYS else key[0]: x for key, x in landmarks(0.05).items()},
        start=0.29,
        figsize=(4.6, 4.7),
    )


def landmarks(*thetas: float) -> dict[Any, str]:
    """Return the frames that deserve a button."""
    best = next(x for x in DECAYS if lowest_at_zero(x))
    entries = {(next(x for x in DECAYS if holds_zero(x, t)), t): "U takes in 0" for t in thetas}
    return {0.2: "U is a crescent", best: "The loss is lowest at 0", **entries}
