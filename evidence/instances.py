"""The instances that claims are checked on: every generator that more than one chapter uses.

First random networks, then single ones at which a bound is nearly met, then networks of other
kinds. What only one chapter draws stands in that chapter's file. A generator with a seed draws from
a stream of its own, see `pscore.seeds`; the others take what they are given to draw from.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pscore.curvature import unflatten
from pscore.instance import Instance
from pscore.network import ReLUNetwork, Weights
from pscore.seeds import torch_generator


def normal(draw: torch.Generator, *shape: int) -> Tensor:
    """Draw standard normal numbers in float64, whatever the default is."""
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def uniform(draw: torch.Generator, *shape: int) -> Tensor:
    """Draw numbers in [0, 1) in float64, whatever the default is."""
    return torch.rand(*shape, generator=draw, dtype=torch.float64)


def normal_weights(network: ReLUNetwork, draw: torch.Generator, *count: int) -> Weights:
    """Draw standard normal weights of one network, or of a stack if a count is given."""
    return tuple(normal(draw, *count, *shape) for shape in network.shapes)


def zero_weights(network: ReLUNetwork, *count: int) -> Weights:
    """Return the origin of weight space, in float64, or a stack of it."""
    return tuple(torch.zeros(*count, *shape, dtype=torch.float64) for shape in network.shapes)


def normal_instance(network: ReLUNetwork, draw: torch.Generator, points: int) -> Instance:
    """Draw one network with N = ``points`` data points, all standard normal."""
    return normal_stack(network, draw, 1, points).one(0)


def normal_stack(network: ReLUNetwork, draw: torch.Generator, count: int, points: int) -> Instance:
    """Draw T = ``count`` networks with N = ``points`` data points each, all standard normal."""
    outputs = () if network.widths[-1] == 1 else (network.widths[-1],)
    W = normal_weights(network, draw, count)
    a = normal(draw, count, points, network.widths[0])
    return Instance(network, W, a, normal(draw, count, points, *outputs))


def random_stack(
    network: ReLUNetwork, seed: int, count: int = 200, points: int = 4, spread: float = 1.0
) -> Instance:
    """Draw T = ``count`` networks with normal weights and data, each at scales of its own.

    The scales of weights, inputs and targets are log-normal, so that no factor of a bound is near
    1 by chance.

    Args:
        network: the architecture.
        seed: of the draw.
        count: T.
        points: N.
        spread: standard deviation of the logarithms of the three scales.
    """
    draw = torch_generator(seed, "data")
    scales = torch.exp(spread * normal(draw, count, 3))
    unit = normal_stack(network, draw, count, points)
    of_weights, of_inputs = scales[:, 0, None, None], scales[:, 1, None, None]
    of_targets = scales[:, 2].reshape(-1, *(1,) * (unit.f.ndim - 1))
    W = tuple(of_weights * w for w in unit.W)
    return Instance(network, W, of_inputs * unit.a, of_targets * unit.f)


def problem_stack(network: ReLUNetwork, seed: int, points: int, count: int) -> Instance:
    """Draw normal weights and data from a stream that also depends on the widths and on N."""
    draw = torch_generator(1000 * seed + 10 * sum(network.widths) + points, "data")
    stack = normal_stack(network, draw, count, points)
    return stack._replace(f=2 * stack.f)


def ball(network: ReLUNetwork, radius: float, count: int, draw: torch.Generator) -> Weights:
    """Draw weights uniformly from the Euclidean ball ``‖W‖ ≤ radius`` of weight space.

    Args:
        network: the architecture.
        radius: R.
        count: how many.
        draw: the source of randomness.
    """
    m = network.parameter_count
    direction = normal(draw, count, m)
    length = uniform(draw, count, 1) ** (1 / m)
    return unflatten(network, radius * length * direction / direction.norm(dim=-1, keepdim=True))


def on_boundaries(network: ReLUNetwork, seed: int, count: int = 150) -> Instance:
    """Draw networks whose units often have the input 0: small whole numbers, times a scale."""
    draw = torch_generator(seed, "data")

    def whole(*shape: int) -> Tensor:
        return torch.randint(-1, 2, (count, *shape), generator=draw).double()

    scale = 0.2 + 0.8 * uniform(draw, count, 1, 1)
    outputs = () if network.widths[-1] == 1 else (network.widths[-1],)
    W = tuple(scale * whole(*shape) for shape in network.shapes)
    return Instance(network, W, whole(4, network.widths[0]), 0.5 * whole(4, *outputs))


WIDTHS = {1: (2, 3, 1), 2: (2, 3, 2, 1), 3: (2, 2, 3, 2, 1)}


def near_equality(H: int, s: Tensor, outputs: int = 1) -> Instance:
    """Width 1, every weight s, a = 1, every target 1: near equality with factor H as s → 0."""
    network = ReLUNetwork((1,) * (H + 1) + (outputs,), output_relu=False)
    W = tuple(s.reshape(-1, 1, 1).expand(-1, *shape) for shape in network.shapes)
    ones = torch.ones(len(s), 1, 1, dtype=s.dtype)
    return Instance(network, W, ones, ones[..., 0] if outputs == 1 else ones.expand(-1, 1, outputs))


def equality(t: Tensor, target: Tensor) -> Instance:
    """H = 1, width 1, ``w = v = t > 0``, a = 1, f = ``target`` < 0, ReLU on the output."""
    network = ReLUNetwork((1, 1, 1))
    W = (t.reshape(-1, 1, 1), t.reshape(-1, 1, 1))
    return Instance(network, W, torch.ones(len(t), 1, 1, dtype=t.dtype), target.reshape(-1, 1))


def steep(H: int, slope: float, output_relu: bool = False, s: float = 1e-3) -> Instance:
    """Width 1 with every unit on its leaky side, and f so that equality is near."""
    network = ReLUNetwork((1,) * (H + 2), output_relu, slope)
    later = -s if slope < 0 else s  # a negative slope turns the sign: every input stays negative
    W = tuple(torch.full((1, 1, 1), w, dtype=torch.float64) for w in (-s, *(later,) * H))
    a = torch.ones(1, 1, 1, dtype=torch.float64)
    return Instance(network, W, a, network(W, a).sign())


def width_one(H: int, size: float, seed: int, count: int = 60) -> Instance:
    """Width one, all units on, every residual negative and of the order of ``size``."""
    draw = torch_generator(seed, "data")

    def positive(*shape: int) -> Tensor:
        return 0.2 + 1.3 * uniform(draw, count, *shape)

    network = ReLUNetwork((1,) * (H + 2), output_relu=False)
    W, a = tuple(positive(1, 1) for _ in range(H + 1)), positive(3, 1)
    return Instance(network, W, a, network(W, a) + size * positive(3))


def aligned_network(network: ReLUNetwork, point: Tensor, products: Tensor) -> Weights:
    """Return networks of one active path along a data point, all layers of equal norm.

    Their output at the point is ``‖a‖`` times the product of the layers' norms, the largest that
    these norms allow, at the least ``‖W‖`` that this product allows.

    Args:
        network: the architecture.
        point: ``(n_0,)``, not 0.
        products: of the layers' norms, ``(T,)``, for a stack of T networks.
    """
    sizes = products ** (1 / (network.depth + 1))
    weights = tuple(torch.zeros(len(sizes), *shape).to(products) for shape in network.shapes)
    weights[0][:, :, 0] = sizes[:, None] * point / torch.linalg.vector_norm(point)
    for W in weights[1:]:
        W[:, 0, 0] = sizes
    return weights


def scaled_problem(
    network: ReLUNetwork, W: Weights, a: Tensor, f: Tensor, targets: float, inputs: float = 1.0
) -> tuple[Weights, Tensor, Tensor, float]:
    """Return weights and data of the scaled problem, and the factor of λ.

    Args:
        network: the architecture.
        W: its weights.
        a: inputs.
        f: targets.
        targets: c, the factor of the targets.
        inputs: b, the factor of the inputs.

    Returns:
        ``(c/b)^{1/(H+1)} W``, ``b a``, ``c f`` and ``c^{2H/(H+1)} b^{2/(H+1)}``.
    """
    layers = network.depth + 1
    weights = tuple((targets / inputs) ** (1 / layers) * w for w in W)
    factor = targets ** (2 * network.depth / layers) * inputs ** (2 / layers)
    return weights, inputs * a, targets * f, factor


class Biased(NamedTuple):
    """A ReLU network with biases, ``x_{k+1} = σ(W_k^T x_k + b_k)`` and ``y = W_H^T x_H + b_H``.

    Attributes:
        widths: ``(n_0, …, n_H, 1)``.
        a: inputs ``(N, n_0)``.
        f: targets ``(N,)``.
        weight_decay: λ, on weights and biases.
    """

    widths: tuple[int, ...]
    a: Tensor
    f: Tensor
    weight_decay: float

    def split(self, vector: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the matrices ``W_k`` and the biases ``b_k`` that a vector holds."""
        sizes = [n * (m + 1) for m, n in zip(self.widths, self.widths[1:], strict=False)]
        parts = vector.split(sizes)
        shaped = [p.reshape(-1, n) for p, n in zip(parts, self.widths[1:], strict=True)]
        return [x[:-1] for x in shaped], [x[-1] for x in shaped]

    def through(
        self, vector: Tensor, switches: list[Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return ``y``, ``(N,)``, and the hidden switches: those given, or the network's own."""
        x, S = self.a, []
        *hidden, (last, constant) = zip(*self.split(vector), strict=True)
        for k, (w, c) in enumerate(hidden):
            z = x @ w + c
            S.append((z > 0).to(z) if switches is None else switches[k])
            x = z * S[-1]
        return (x @ last + constant)[:, 0], S

    def output(self, vector: Tensor, switches: list[Tensor] | None = None) -> Tensor:
        """Return ``y``, with held switches if given, ``(N,)``."""
        return self.through(vector, switches)[0]

    def switches(self, vector: Tensor) -> list[Tensor]:
        """Return which hidden units are on, ``(N, n_k)`` each."""
        return self.through(vector)[1]

    def enlarged(self, vector: Tensor) -> Instance:
        """Return the same network without biases: one more unit in each layer, whose value is 1."""
        W, b = self.split(vector)
        joined = [torch.cat([w, c[None]]) for w, c in zip(W, b, strict=True)]
        for k in range(len(W) - 1):  # a column that hands the constant on
            joined[k] = torch.cat([joined[k], torch.eye(len(joined[k])).to(vector)[:, -1:]], 1)
        network = ReLUNetwork((*(n + 1 for n in self.widths[:-1]), 1), output_relu=False)
        a = torch.cat([self.a, torch.ones_like(self.a[:, :1])], 1)
        return Instance(network, joined, a, self.f)

    def loss(self, vector: Tensor, switches: list[Tensor] | None = None) -> Tensor:
        """Return ``ℓ + λ/2 (‖W‖² + ‖b‖²)``."""
        error = (self.output(vector, switches) - self.f).square().mean() / 2
        return error + self.weight_decay / 2 * vector.square().sum()


class Normalised(NamedTuple):
    """A small network whose first layer is normalised over the batch, and data with three classes.

    Attributes:
        x: the inputs, (N, inputs).
        labels: their classes, (N,).
        unit: the activation after the first layer.
        U: the first layer's weights, (inputs, units).
        V: the last layer's weights, (units, 3).
    """

    x: Tensor
    labels: Tensor
    unit: Callable[[Tensor], Tensor]
    U: Tensor
    V: Tensor

    def loss(self, U: Tensor, V: Tensor | None = None) -> Tensor:
        """Return the cross-entropy at weights U and V (by default its own), with ε = 0."""
        z = self.x @ U
        normal = (z - z.mean(0)) / z.std(0, correction=0)
        return functional.cross_entropy(
            self.unit(normal) @ (self.V if V is None else V), self.labels
        )

    @property
    def spread(self) -> Tensor:
        """How much the outputs of the first layer differ between inputs, in the least of units."""
        return (self.x @ self.U).std(0).min()


def draw_normalised(draw: torch.Generator, index: int) -> Normalised:
    """Draw a network and its data; its unit is a ReLU for an odd index, smooth for an even one."""
    inputs, units, count = (int(torch.randint(2, 6, (), generator=draw)) for _ in range(3))
    x = torch.randn(count + 4, inputs, generator=draw).double()
    labels = torch.randint(3, (count + 4,), generator=draw)
    V = torch.randn(units, 3, generator=draw).double()
    U = torch.randn(inputs, units, generator=draw).double()
    return Normalised(x, labels, functional.relu if index % 2 else functional.softplus, U, V)


def canonical_radius(f: Tensor, weight_decay: float) -> float:
    """Return ``(2ℓ(0)/λ)^{1/2}``: no W with ``ℓ_λ(W) ≤ ℓ_λ(0)`` is further from 0."""
    return math.sqrt(f.square().mean().item() / weight_decay)


def sphere_data(points: int, seed: int, inputs: int = 4) -> tuple[Tensor, Tensor]:
    """Draw inputs on the unit sphere and normal targets, with ``r = 2ℓ(0) = 1``."""
    draw = torch_generator(seed, "data")
    a, f = normal(draw, points, inputs), normal(draw, points)
    return functional.normalize(a), f / f.square().mean().sqrt()


def random_planar(seed: int, count: int, units: int = 3, points: int = 5) -> Instance:
    """Draw networks of one hidden layer on one data set in the plane, with ``r = 2ℓ(0) = 1``."""
    draw = torch_generator(seed, "data")
    a, f = normal(draw, points, 2), normal(draw, points)
    network = ReLUNetwork((2, units, 1), output_relu=False)
    W = normal_weights(network, draw, count)
    return Instance(network, W, a / a.norm(dim=-1).max(), f / f.square().mean().sqrt())
