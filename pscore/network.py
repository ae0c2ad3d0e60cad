r"""The network of eq. (1), its switches, eq. (2), and its frozen form.

A network is a pure function of its weights, a tuple ``W = (W_0, …, W_H)`` of matrices ``W_i`` of
shape ``(n_i, n_{i+1})``, and has no biases:

.. math:: y(a, W) = \sigma(W_H^T \sigma(W_{H-1}^T \cdots \sigma(W_0^T a))).

Everything here, and in the modules that build on it, also takes a *stack* of T networks, matrices
of shape ``(T, n_i, n_{i+1})``, and then answers for all of them at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pscore import sequential
from pscore.arguments import finite, whole_number

Weights = tuple[Tensor, ...]
Switches = tuple[Tensor, ...]


@dataclass(frozen=True)
class ReLUNetwork:
    """A feed-forward network without biases, eq. (1).

    Args:
        widths: ``(n_0, n_1, …, n_{H+1})``, whole numbers, at least one hidden layer.
        output_relu: whether the output passes through the activation, as in eq. (1). The paper's
            toy experiment has none there.
        negative_slope: the activation's slope for inputs that are not positive: 0 is ReLU,
            1 a linear network, anything else a leaky ReLU.

    Raises:
        ValueError: for fewer than three widths, a width below 1, or a slope that is not finite.
    """

    widths: tuple[int, ...]
    output_relu: bool = True
    negative_slope: float = 0.0

    def __post_init__(self) -> None:
        """Check the architecture."""
        try:
            for width in self.widths:
                whole_number("a width", width, 1)
            object.__setattr__(self, "widths", tuple(int(width) for width in self.widths))
            if len(self.widths) < 3:
                raise ValueError("a layer is missing")
        except (TypeError, ValueError) as error:
            raise ValueError(
                "widths must name the input, at least one hidden layer and the output, each at "
                f"least 1 wide, such as (2, 3, 1); got {self.widths!r} ({error})"
            ) from None
        finite("negative_slope", self.negative_slope)

    @classmethod
    def from_sequential(cls, model: nn.Sequential) -> tuple["ReLUNetwork", Weights]:
        """Return the network that a torch model is, and its weights.

        The model has linear layers, each followed by the same ``nn.ReLU`` or ``nn.LeakyReLU``, the
        last one with it or without. A bias of the first layer is the weight of one more input that
        is constantly 1: hand over the inputs with a last column of ones.

        Args:
            model: an ``nn.Sequential`` of ``nn.Linear`` and activations, in which ``nn.Flatten``,
                ``nn.Identity`` and other ``nn.Sequential`` are looked through.

        Returns:
            the network; and its weights ``W_i`` ``(n_i, n_{i+1})``, which share the model's memory
            but where a bias is appended. They have no graph.

        Raises:
            ValueError: for a model that the theory does not cover, naming the layer and what it
                would need.
        """
        return sequential.read(cls, model)

    @property
    def depth(self) -> int:
        """H, the number of hidden layers."""
        return len(self.widths) - 2

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """The shape ``(n_i, n_{i+1})`` of each weight matrix ``W_i``."""
        return tuple(zip(self.widths[:-1], self.widths[1:], strict=True))

    @property
    def parameter_count(self) -> int:
        """The dimension m of weight space."""
        return sum(rows * columns for rows, columns in self.shapes)

    @property
    def gain(self) -> float:
        """The product of the largest slopes that a path through the network can meet.

        ``max(1, |slope|)`` to the power H, or H + 1 when the output is activated too: the factor
        by which switches can lengthen a vector on its way from the first layer to the output.
        """
        return max(1.0, abs(self.negative_slope)) ** (self.depth + self.output_relu)

    def __call__(self, weights: Sequence[Tensor], inputs: Tensor) -> Tensor:
        """Return ``y(a, W)``, eq. (1).

        Args:
            weights: one network's matrices ``(n_i, n_{i+1})``, or a stack's ``(T, n_i, n_{i+1})``.
            inputs: ``(N, n_0)``; for a stack also ``(T, N, n_0)``, a data set for each.

        Returns:
            ``(N,)`` for a scalar output, ``(N, n_{H+1})`` otherwise; a stack adds a first axis T.

        Raises:
            ValueError: for arrays of other shapes, or with numbers that are not finite.
        """
        weights = self.checked_weights(weights)
        inputs = self.checked_inputs(inputs, weights)
        return self._as_given(forward(self, weights, inputs)[0][-1])

    def switches(self, weights: Sequence[Tensor], inputs: Tensor) -> Switches:
        """Return the diagonals of ``S_1, …, S_{H+1}``, eq. (2).

        An entry is 1 where the activation's input is positive, and ``negative_slope`` (0 for ReLU)
        where it is not, the value 0 included. Without output activation ``S_{H+1}`` is the
        identity.

        Args:
            weights: as for calling the network.
            inputs: as for calling the network.

        Returns:
            for each layer i = 1, …, H+1 a tensor ``(N, n_i)``; a stack adds a first axis T.
        """
        weights = self.checked_weights(weights)
        inputs = self.checked_inputs(inputs, weights)
        return forward(self, weights, inputs)[1]

    def frozen(self, weights: Sequence[Tensor], inputs: Tensor, switches: Switches) -> Tensor:
        r"""Return the output with the switches held constant.

        This is ``ỹ(a, W) = S_{H+1} W_H^T S_H ⋯ S_1 W_0^T a`` for whatever switches are given: a
        polynomial in the weights, of degree at most one in each matrix. With the network's own
        switches at ``W`` it equals ``y(a, W)``.

        Args:
            weights: as for calling the network.
            inputs: as for calling the network.
            switches: as `switches` returns them.

        Returns:
            as for calling the network.
        """
        weights = self.checked_weights(weights)
        inputs = self.checked_inputs(inputs, weights)
        held = self.checked_switches(switches)
        return self._as_given(forward(self, weights, inputs, held)[0][-1])

    def checked_weights(self, weights: Sequence[Tensor] | None) -> Weights:
        """Return the weights as tensors of one dtype, or say what is wrong with them."""
        if weights is None or isinstance(weights, nn.Module):
            raise ValueError(
                f"weights must be a sequence of matrices of the shapes {list(self.shapes)}, not "
                f"{type(weights).__name__}; a torch model is taken by ReLUNetwork.from_sequential"
            )
        given = tuple(_as_floating("weights", matrix) for matrix in weights)
        given = tuple(matrix.to(given[0]) for matrix in given)
        stack = given[0].shape[:-2] if given else ()
        wanted = tuple((*stack, *shape) for shape in self.shapes)
        if len(stack) > 1 or tuple(tuple(matrix.shape) for matrix in given) != wanted:
            raise ValueError(
                f"weights must have the shapes {list(self.shapes)}, or a stack of them with one "
                f"more axis in front; got {[tuple(matrix.shape) for matrix in given]}"
            )
        _require_finite("weights", *given)
        return given

    def checked_inputs(self, inputs: Tensor, weights: Weights) -> Tensor:
        """Return the inputs ``(…, N, n_0)`` in the weights' dtype, or refuse them."""
        given = _as_floating("inputs", inputs).to(weights[0])
        stacks = ((), weights[0].shape[:-2])
        if given.ndim < 2 or given.shape[:-2] not in stacks or given.shape[-1] != self.widths[0]:
            raise ValueError(
                f"inputs must have the shape (N, {self.widths[0]}), one row a data point, or a "
                f"first axis as long as the stack of weights; got {tuple(given.shape)}"
            )
        if given.shape[-2] == 0:
            raise ValueError("inputs is an empty data set; at least one data point is needed")
        _require_finite("inputs", given)
        return point_last(given)

    def checked_targets(self, targets: Tensor, inputs: Tensor, weights: Weights) -> Tensor:
        """Return the targets as ``(…, N, n_{H+1})``, or refuse them.

        Args:
            targets: ``(N,)`` for a scalar output, else ``(N, n_{H+1})``; a stack may add an axis.
            inputs: as `checked_inputs` returns them.
            weights: as `checked_weights` returns them.
        """
        values = _as_floating("targets", targets)
        given, outputs, points = values.to(weights[0]), self.widths[-1], inputs.shape[-2]
        if outputs == 1 and given.shape[-2:] != (points, 1):
            given = given.unsqueeze(-1)
        stacks = ((), weights[0].shape[:-2])
        if given.shape[-2:] != (points, outputs) or given.shape[:-2] not in stacks:
            shape = f"({points},)" if outputs == 1 else f"({points}, {outputs})"
            raise ValueError(
                f"targets must have the shape {shape}, one row for each of the inputs, or a first "
                f"axis as long as the stack of weights; got {tuple(values.shape)}"
            )
        _require_finite("targets", given)
        return point_last(given)

    def checked_switches(self, switches: Switches) -> Switches:
        """Return the switches as they are, or refuse those of another architecture."""
        if [S.shape[-1] for S in switches] != list(self.widths[1:]):
            raise ValueError(
                f"switches must have the widths {list(self.widths[1:])}, one tensor for each of "
                f"the layers 1 to H+1; got {[tuple(S.shape) for S in switches]}"
            )
        return switches

    def _as_given(self, outputs: Tensor) -> Tensor:
        return outputs.squeeze(-1) if self.widths[-1] == 1 else outputs


def forward(
    network: ReLUNetwork, W: Weights, a: Tensor, switches: Switches | None = None
) -> tuple[list[Tensor], Switches]:
    """Return every layer's output and the switches, without checking anything.

    The loop that all else is built from; the arguments are what `ReLUNetwork.checked_weights` and
    `ReLUNetwork.checked_inputs` return. A data point is a row, so that the layers' products are
    those of eq. (1) transposed.

    Args:
        network: the architecture.
        W: ``W_0, …, W_H``.
        a: inputs ``(…, N, n_0)``.
        switches: hold these constant; by default the network's own at W.

    Returns:
        the layers' outputs ``[a, …, y]`` and the switches ``S_1, …, S_{H+1}``, all ``(…, N, n_i)``.
    """
    layers, used = [a], []
    for i, matrix in enumerate(W):
        z = product(layers[-1], matrix)
        if switches is not None:
            S, x = switches[i], z * switches[i]
        elif i == network.depth and not network.output_relu:
            S, x = z.new_ones(()).expand_as(z), z
        elif network.negative_slope == 0:
            x = z.relu_()
            S = x.sign()
        else:
            S = torch.where(z > 0, z.new_ones(()), z.new_tensor(network.negative_slope))
            x = z * S
        used.append(S)
        layers.append(x)
    return layers, tuple(used)


def product(x: Tensor, W: Tensor) -> Tensor:
    """Return ``x @ W``, term by term where the inner dimension is tiny.

    A batched matrix product costs a stack of T networks some T small calls; one or two outer
    products for the whole stack cost a quarter of that. They are formed with the data points last
    in memory, see `point_last`.

    Args:
        x: ``(…, N, p)``.
        W: ``(…, p, q)``.
    """
    if W.shape[-2] > 2:
        return x @ W
    A, B = W.mT, x.mT
    first = A[..., :1] * B[..., :1, :]
    both = first if A.shape[-1] == 1 else torch.addcmul(first, A[..., 1:], B[..., 1:, :])
    return both.mT


def point_last(x: Tensor) -> Tensor:
    """Return rows ``(…, N, n)`` that lie in memory unit by unit, the data points side by side.

    There are many data points and few units: whatever goes through the numbers of a unit then
    goes through long stretches of memory.
    """
    return x.mT.contiguous().mT


def _as_floating(name: str, values: Tensor) -> Tensor:
    """Return a tensor of a floating type; lists and whole numbers become float64."""
    if values is None:
        raise ValueError(f"{name} is None: it must hold real numbers")
    try:
        array = values if hasattr(values, "dtype") else np.asarray(values, dtype=np.float64)
        tensor = torch.as_tensor(array)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must hold real numbers: {error}") from None
    if tensor.is_complex():
        raise ValueError(f"{name} must hold real numbers, not {tensor.dtype}: the theory is real")
    return tensor if tensor.is_floating_point() else tensor.double()


def _require_finite(name: str, *tensors: Tensor) -> None:
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise ValueError(f"{name} must be finite; found nan or infinite entries")
