r"""Where training ends, kinks and zero neurons included, by a second-order method.

At a minimum on a kink some units' inputs are zero for some data points, and no Newton step of
`solvers.critical` arrives there: the gradient jumps. But along the kink the loss is smooth. So the
units' inputs that gradient descent has brought near zero are held at zero, the other switches are
held too, and Newton's method solves

.. math:: ∇φ_λ(W) + Σ_k μ_k ∇z_k(W) = 0, \qquad z_k(W) = 0,

with φ_λ the frozen loss of the piece where the held units are off. Going over to the side where
such a unit is on adds ``c_k max(z_k, 0)`` to the loss, to first order, with ``c_k`` the slope of
the loss in that unit's output; units behind it that nothing else feeds come on with it. So to first
order the kink holds the point if ``0 < μ_k < c_k``.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from pscore.curvature import flatten, unflatten
from pscore.instance import Instance
from pscore.loss import gradient
from pscore.network import ReLUNetwork, Switches, Weights

_NEAR, _IDLE, _ZERO = 3e-3, 1e-2, 1e-9  # how near to a switch, to a zero neuron, to zero
_NUDGE = 1e-6  # added to a unit's output to see what it does


class Ends(NamedTuple):
    """Ends of descents, solved for. P is the number of pairs of a hidden unit and a data point.

    Attributes:
        at: the points, a stack of T.
        solved: whether the equations hold to 1e-10 and all switches are as assumed, ``(T,)``.
        on: the switches, ``(T, P)``, layer by layer, data point by data point; off where held.
        held: which inputs are held at zero, ``(T, P)``.
        multipliers: ``μ_k``, ``(T, P)``, 0 where nothing is held.
        slopes: ``c_k``, ``(T, P)``, to about 1e-6.
        idle: whether the network has zero neurons, ``(T,)``. They are held at zero.
        reduced: the least eigenvalue along the kinks of ``φ_λ + Σ μ_k z_k``, without the zero
            neurons' weights, ``(T,)``.
    """

    at: Instance
    solved: Tensor
    on: Tensor
    held: Tensor
    multipliers: Tensor
    slopes: Tensor
    idle: Tensor
    reduced: Tensor

    @property
    def on_kink(self) -> Tensor:
        """Whether some input is held at zero, ``(T,)``."""
        return self.held.any(-1)

    @property
    def held_strictly(self) -> Tensor:
        """Whether ``0 < μ_k < c_k`` for all inputs that are held, ``(T,)``."""
        inside = (self.multipliers > 1e-5) & (self.multipliers < self.slopes - 1e-5)
        return (inside | ~self.held).all(-1)

    def switches(self, held_on: bool) -> Switches:
        """Return the switches of a piece at each point: the held units all on, or all off."""
        widths, (*_, points, _) = self.at.network.widths, self.at.a.shape
        on = (self.on | self.held if held_on else self.on).to(self.at.a)
        parts = on.split([points * width for width in widths[1:-1]], dim=-1)
        hidden = [part.unflatten(-1, (points, -1)) for part in parts]
        return (*hidden, on.new_ones(len(on), points, 1))


def settle(at: Instance, weight_decay: float) -> Instance:
    """Descend with momentum, and then without and in ever smaller steps, onto the kinks."""
    speed = [torch.zeros_like(matrix) for matrix in at.W]
    for size, momentum, steps in ((0.03, 0.9, 700), (0.03, 0, 60), (0.006, 0, 60), (0.001, 0, 60)):
        for _ in range(steps):
            G = gradient(*at, weight_decay)
            length = flatten(G).norm(dim=-1)[:, None, None].clamp(min=1)
            speed = [momentum * v - size * g / length for v, g in zip(speed, G, strict=True)]
            at = at.at(tuple(w + v for w, v in zip(at.W, speed, strict=True)))
    return at


def finish(at: Instance, weight_decay: float, *, steps: int = 12) -> Ends:
    """Solve for the critical points near the ends of descents.

    Args:
        at: the ends, a stack of T with data of their own; networks of ReLUs with a scalar output,
            and none on the output.
        weight_decay: λ.
        steps: of Newton's method.

    Raises:
        ValueError: for another network.
    """
    network, m = at.network, at.network.parameter_count
    if network.output_relu or network.negative_slope or network.widths[-1] != 1:
        raise ValueError("network must have ReLUs, a scalar output, and no ReLU on the output")
    start, S, held, free = _assumptions(at)
    equations = partial(_equations, network, weight_decay)
    given = (S, at.a, at.f, held, free)
    both = torch.cat([start, torch.zeros_like(held, dtype=start.dtype)], dim=-1)
    for _ in range(steps):
        value, slope = vmap(equations)(both, *given), vmap(jacrev(equations))(both, *given)
        both = both - (torch.linalg.pinv(slope, rtol=1e-9) @ value.unsqueeze(-1)).squeeze(-1)
    point, multipliers = both[:, :m] * free, both[:, m:] * held
    residual = vmap(equations)(torch.cat([point, multipliers], -1), *given).norm(dim=-1)
    z, bend, normals, slopes = vmap(partial(_at_point, network, weight_decay))(
        point, multipliers, S, at.a, at.f
    )
    on = torch.cat([layer.flatten(-2) for layer in S], dim=-1) > 0
    consistent = ((z > _ZERO) == on) | held | (z.abs() <= _ZERO)
    moved = (point - start).norm(dim=-1) > 0.1
    W = unflatten(network, point)
    return Ends(
        at.at(W),
        (residual < 1e-10) & consistent.all(-1) & ~moved,
        on,
        held,
        multipliers,
        slopes,
        torch.cat(_small_units(W, 1e-6), dim=-1).any(-1),
        _reduced(bend, normals * held.unsqueeze(-1), free),
    )


def _assumptions(at: Instance) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Where to start, the switches, which inputs are held, and which weights are not."""
    idle = _small_units(at.W, _IDLE)
    kept = [torch.ones_like(matrix) for matrix in at.W]
    for k, units in enumerate(idle):
        kept[k] = kept[k] * ~units.unsqueeze(-2)
        kept[k + 1] = kept[k + 1] * ~units.unsqueeze(-1)
    free = flatten(kept)
    start = flatten(at.W) * free
    S, held, x = [], [], at.a
    for k, matrix in enumerate(unflatten(at.network, start)[:-1]):
        z = x @ matrix
        close = (z.abs() < _NEAR) & ~idle[k].unsqueeze(-2) & (x.norm(dim=-1, keepdim=True) > 0)
        S.append(((z > 0) & ~close).to(z))
        held.append(close.flatten(-2))
        x = z * S[-1]
    return start, S, torch.cat(held, dim=-1), free


def _equations(
    network: ReLUNetwork,
    weight_decay: float,
    both: Tensor,
    switches: list[Tensor],
    a: Tensor,
    f: Tensor,
    held: Tensor,
    free: Tensor,
) -> Tensor:
    """What has to vanish: at weights and multipliers, one after the other, of one network."""
    point, multipliers = both.split([len(free), len(held)])
    slope = grad(_lagrangian, argnums=2)(
        network, weight_decay, point, multipliers * held, switches, a, f
    )
    z = _outputs(network, point, switches, a)[1]
    return torch.cat([torch.where(free > 0, slope, point), torch.where(held, z, multipliers)])


def _at_point(
    network: ReLUNetwork,
    weight_decay: float,
    point: Tensor,
    multipliers: Tensor,
    switches: list[Tensor],
    a: Tensor,
    f: Tensor,
) -> tuple[Tensor, ...]:
    """The units' inputs, the Lagrangian's Hessian, the inputs' gradients, and the slopes ``c``."""
    z = _outputs(network, point, switches, a)[1]
    bend = jacrev(grad(_lagrangian, argnums=2), argnums=2)(
        network, weight_decay, point, multipliers, switches, a, f
    )
    normals = jacrev(lambda v: _outputs(network, v, switches, a)[1])(point)
    nudges = _NUDGE * torch.eye(len(multipliers), dtype=point.dtype)
    nudges = torch.cat([0 * nudges[:1], nudges])
    errors = vmap(lambda t: _mean_square(_outputs(network, point, None, a, t)[0] - f))(nudges)
    return z, bend, normals, (errors[1:] - errors[0]) / _NUDGE


def _small_units(W: Weights, size: float) -> list[Tensor]:
    """Which hidden units have weights in or out that are all but zero, ``(T, n_i)`` each."""
    return [
        torch.minimum(before.norm(dim=-2), after.norm(dim=-1)) < size
        for before, after in zip(W[:-1], W[1:], strict=True)
    ]


def _outputs(
    network: ReLUNetwork,
    vector: Tensor,
    switches: list[Tensor] | None,
    a: Tensor,
    added: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Outputs ``(N,)`` and all units' inputs ``(P,)``.

    At held switches, or at the network's own for None; with ``added`` to the units' outputs.
    """
    x, inputs, start = a, [], 0
    *hidden, last = unflatten(network, vector)
    for layer, matrix in enumerate(hidden):
        z = x @ matrix
        inputs.append(z.flatten())
        x = z.relu() if switches is None else z * switches[layer]
        if added is not None:
            x = x + added[start : start + z.numel()].reshape(z.shape)
            start += z.numel()
    return (x @ last).squeeze(-1), torch.cat(inputs)


def _lagrangian(
    network: ReLUNetwork,
    weight_decay: float,
    vector: Tensor,
    multipliers: Tensor,
    switches: list[Tensor],
    a: Tensor,
    f: Tensor,
) -> Tensor:
    y, z = _outputs(network, vector, switches, a)
    loss = _mean_square(y - f) + weight_decay / 2 * vector.square().sum()
    return loss + (multipliers * z).sum()


def _mean_square(e: Tensor) -> Tensor:
    return e.square().mean() / 2


def _reduced(bend: Tensor, normals: Tensor, free: Tensor) -> Tensor:
    """Least eigenvalues of Hessians on what is orthogonal to the normals and to zero neurons."""
    least = []
    for hessian, rows, mask in zip(bend, normals, free, strict=True):
        _, values, basis = torch.linalg.svd(torch.cat([rows, torch.diag(1 - mask)]))
        along = basis[int((values > _ZERO).sum()) :]
        inner = along @ hessian @ along.mT
        least.append(torch.linalg.eigvalsh(inner)[0] if len(along) else hessian.new_tensor(0.0))
    return torch.stack(least)
