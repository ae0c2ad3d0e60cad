r"""The curvature (17) along anybody's training run, at chosen steps."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pscore.arguments import not_negative, whole_number
from pscore.measurement import Measurement, check_loss, free_of, kept, measure, measure_mean
from pscore.twice import CheapTwice

__all__ = ["CurvatureProbe", "Measurement", "Record", "every", "measure", "measure_mean"]

# Optimisers that add λ W to the gradient, so that λ/2 ‖W‖² belongs to the loss.
COUPLED = ("SGD", "Adam", "Adamax", "NAdam", "RAdam", "Adagrad", "Adadelta", "ASGD", "RMSprop")
# From here on, a power of two that the loss was multiplied by is taken for a gradient scaler's.
LEAST_SCALE = 128.0


class Record(NamedTuple):
    """A `Measurement` with the training step, counted from 0, before whose update it was made."""

    step: int
    loss: float
    squared_gradient_norm: float
    curvature: float


def every(k: int, first: int = 0) -> Callable[[int], bool]:
    """Return the schedule that is true at the steps 0, k, 2k, ..., and at each of the first ones.

    A schedule is any function from a step's number to a truth value.

    Args:
        k: the period, in steps.
        first: how many steps at the start are all named.

    Raises:
        ValueError: if k is no positive integer, or ``first`` is no integer >= 0.
    """
    whole_number("k", k, 1)
    whole_number("first", first, 0)
    return lambda step: step % k == 0 or step < first


class CurvatureProbe:
    r"""Record the curvature (17) along a training run.

    ::

        probe = CurvatureProbe(model, schedule=every(10), weight_decay=5e-4)
        for x, y in batches:
            optimizer.zero_grad()
            probe.backward(loss_fn(model(x), y))      # in place of loss.backward()
            optimizer.step()
        probe.table()

    At the steps that the schedule names, it measures :math:`2 g^T\mathbf{H}g/\|g\|^2`, the
    left-hand side of (17), which has the sign of the second derivative (16) of the loss along the
    gradient flow. With :math:`\ell` the loss that was passed it is for
    :math:`\ell_\lambda = \ell + \frac\lambda2\|W\|^2`: weight decay adds exactly
    :math:`2\lambda`, see `measure`.

    There are two doors. `backward` stands in the place of ``loss.backward()`` and costs, at a
    probed step, one backpropagation more. `observe` stands before it, in a trainer's callback for
    instance: it leaves the graph, the gradients, the buffers and the random state as they are,
    and costs two more. The measured loss is that of the batch that was passed, at the weights
    before the update.

    Where several processes train (`torch.distributed`), ``loss.backward()`` is called in any case,
    so that the hooks which average gradients fire. What is measured is each process's own batch,
    along its own gradient; or with ``ranks="mean"`` the mean of all processes' losses, along its
    gradient, the same number in each.

    Args:
        parameters: the model, or what the optimiser trains, such as ``model.parameters()``. The
            regulariser runs over all of them that require a gradient. Of a model the buffers are
            known, too, and kept as they are where activations are checkpointed.
        schedule: a function from a step's number, from 0, to whether it is probed.
        weight_decay: :math:`\lambda \ge 0`, the optimiser's ``weight_decay``; or one number for
            each parameter. See `of_optimizer`.
        ranks: "own" or "mean", where several processes train.
        on_record: is called with each new `Record`, for a logger.

    Attributes:
        records: a list of `Record`, the steps measured so far.
        step: how many steps there have been: calls of `backward` or `observe`.

    Raises:
        TypeError: if ``parameters`` holds anything but tensors, or ``schedule`` is no function.
        ValueError: if no parameter requires a gradient, one appears twice, is complex or sharded,
            or ``weight_decay`` or ``ranks`` is none of what is said above.
    """

    def __init__(
        self,
        parameters: nn.Module | Iterable[Tensor],
        schedule: Callable[[int], bool],
        weight_decay: float | Sequence[float] = 0.0,
        *,
        ranks: str = "own",
        on_record: Callable[[Record], Any] | None = None,
    ) -> None:
        """Take hold of the parameters; nothing is computed before the first step."""
        for name, function in (("schedule", schedule), ("on_record", on_record or print)):
            if not callable(function):
                raise TypeError(f"{name} must be a function, such as every(10), not {function!r}")
        if ranks not in ("own", "mean"):
            raise ValueError(f"ranks must be 'own' or 'mean', not {ranks!r}")
        self.buffers: list[Tensor] = []
        if isinstance(parameters, nn.Module):
            self.buffers, parameters = list(parameters.buffers()), parameters.parameters()
        self.parameters = list(parameters)
        free_of(self.parameters)
        each = weight_decay if isinstance(weight_decay, Sequence) else [weight_decay]
        for value in each:
            not_negative("weight_decay", value)
        self.schedule, self.weight_decay = schedule, weight_decay
        self.ranks, self.on_record = ranks, on_record
        self.optimizer: torch.optim.Optimizer | None = None
        self.records: list[Record] = []
        self.step = 0
        self._moved: tuple[int, int] | None = None

    @classmethod
    def of_optimizer(
        cls, optimizer: torch.optim.Optimizer, schedule: Callable[[int], bool], **more: Any
    ) -> "CurvatureProbe":
        r"""Return a probe of what an optimiser trains, with the :math:`\lambda` of each group.

        :math:`\frac12\sum_p\lambda_p\|p\|^2` is added to the loss, with the ``weight_decay`` that
        each parameter's group has when a step is measured: often 0 for biases and norms.

        Args:
            optimizer: one of torch's that adds :math:`\lambda W` to the gradient.
            schedule: as for the class.
            more: ``ranks``, ``on_record``.

        Raises:
            ValueError: if the optimiser's weight decay is decoupled from the loss, as AdamW's is,
                or if that cannot be known; and what to do.
        """
        probe = cls(
            [p for group in optimizer.param_groups for p in group["params"]], schedule, **more
        )
        probe.optimizer = optimizer
        probe._decay()
        return probe

    def forward(self) -> AbstractContextManager[object]:
        """Return a context in which a forward pass that is to be measured is prepared for it.

        ::

            with probe.forward():
                loss = loss_fn(model(x), y)
            probe.backward(loss)

        With it the measurement is cheaper where the model has convolutions or batch norms, see
        `pscore.twice`, and possible where it has attention, which then takes no fused kernel. At
        a step that is not probed it does nothing.
        """
        if not self.schedule(self.step):
            return nullcontext()
        stack = ExitStack()
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(CheapTwice())
        return stack

    def backward(self, loss: Tensor, scale: float | None = None) -> Record | None:
        r"""Backpropagate, and measure if the schedule names this step.

        What it leaves in ``.grad`` is the gradient of the loss that was passed, added to what is
        there, as after ``loss.backward()``: an optimiser with a ``weight_decay`` of its own adds
        :math:`\lambda W` itself. It reads the loss, for which a GPU is waited for. A loop that sees
        to that itself may call ``loss.backward()`` at steps that are not probed, and add them to
        `step`.

        Args:
            loss: the scalar loss of this step, without the weight decay term.
            scale: what it was multiplied by: a gradient scaler's ``get_scale()``, or 1/k if it is
                one of k pieces whose gradients are accumulated.

        Returns:
            The new record, or None at a step that is not probed.

        Raises:
            ValueError: as in `measure`; or if the loss looks scaled and ``scale`` is not said.
            FloatingPointError: if the loss, or at a probed step its gradient, is not finite; the
                message names the step. The records up to there are kept, ``.grad`` is not touched.
        """
        due = self.schedule(self.step)
        if due and not _several_processes():
            measured, gradients = self._measure(loss, scale, retain_graph=False)
            _accumulate(self.parameters, gradients)
            return measured
        record = self._measure(loss, scale, retain_graph=True)[0] if due else None
        if not due:
            self._pass(loss)
        loss.backward()
        return record

    def observe(self, loss: Tensor, scale: float | None = None) -> Record | None:
        """Measure if the schedule names this step, and leave all as it is for a backward to come.

        Args:
            loss: as for `backward`; its graph is kept.
            scale: likewise.

        Returns:
            as `backward`.

        Raises:
            ValueError: as `backward`.
            FloatingPointError: likewise.
        """
        if self.schedule(self.step):
            return self._measure(loss, scale, retain_graph=True)[0]
        self._pass(loss)
        return None

    def table(self) -> Any:
        """Return the records as a table of pandas, which has to be there: one row a step."""
        import pandas as pd

        return pd.DataFrame(self.records, columns=list(Record._fields))

    def state_dict(self) -> dict[str, Any]:
        """Return the step and the records, as plain numbers: what a checkpoint has to keep."""
        return {"step": self.step, "records": [list(record) for record in self.records]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            ValueError: if the state is of another kind; nothing is changed then.
        """
        try:
            records = [Record(int(step), *map(float, rest)) for step, *rest in state["records"]]
            step = state["step"]
            whole_number("step", step, 0)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"state must be what state_dict() gave: {error!r}") from error
        self.step, self.records = step, records

    def _measure(
        self, loss: Tensor, scale: float | None, retain_graph: bool
    ) -> tuple[Record, list[Tensor | None]]:
        """Measure this step, count it, and keep the record."""
        step, self.step = self.step, self.step + 1
        check_loss(loss)
        self._check_moved(step, scale)
        if scale is None and (found := _scale_of(loss)):
            raise ValueError(
                f"the loss was multiplied by {found:g}, as gradient scalers do, and so would be "
                "the curvature: pass observe the loss before that, or scale=scaler.get_scale(); "
                "scale=1.0 if it is part of the loss"
            )
        over_ranks = self.ranks == "mean" and _several_processes()
        try:
            with kept(self.buffers):
                measurement, gradients = measure(
                    loss,
                    self.parameters,
                    self._decay(),
                    scale=1.0 if scale is None else scale,
                    retain_graph=retain_graph,
                    over_ranks=over_ranks,
                )
        except FloatingPointError as error:
            raise FloatingPointError(f"step {step}: {error}") from None
        record = Record(step, *measurement)
        self.records.append(record)
        if self.on_record is not None:
            self.on_record(record)
        return record, gradients

    def _pass(self, loss: Tensor) -> None:
        """Count a step that is not measured."""
        check_loss(loss)
        step, self.step = self.step, self.step + 1
        if not math.isfinite(value := loss.item()):
            raise FloatingPointError(f"step {step}: the loss is {value}")

    def _check_moved(self, step: int, scale: float | None) -> None:
        """Warn of a second measurement at the same weights: gradients are being accumulated."""
        version = sum(parameter._version for parameter in self.parameters)
        if scale is None and self._moved is not None and self._moved[1] == version:
            warnings.warn(
                f"the weights are those that step {self._moved[0]} was measured at: if gradients "
                "are accumulated over k pieces, pass scale=1/k, and each record is of its piece",
                stacklevel=4,
            )
        self._moved = step, version

    def _decay(self) -> float | Sequence[float]:
        """Return λ, or that of each parameter as its optimiser has it now."""
        if self.optimizer is None:
            return self.weight_decay
        groups, name = self.optimizer.param_groups, type(self.optimizer).__name__
        decays = [group.get("weight_decay", 0.0) for group in groups for _ in group["params"]]
        coupled = name in COUPLED and not any(g.get("decoupled_weight_decay") for g in groups)
        if any(decays) and not coupled:
            raise ValueError(
                f"the weight decay of {name} is decoupled from the loss, or may be: it is the "
                "gradient of nothing that is measured. Make the probe of the model, with "
                "weight_decay=0.0 for the loss alone"
            )
        return decays


def _several_processes() -> bool:
    here = distributed.is_available() and distributed.is_initialized()
    return here and distributed.get_world_size() > 1


def _scale_of(loss: Tensor) -> float | None:
    """Return the power of two, 128 or more, that a loss was multiplied by at the end, if any."""
    if type(loss.grad_fn).__name__ != "MulBackward0":
        return None
    for name in ("_saved_self", "_saved_other"):
        factor = getattr(loss.grad_fn, name, None)
        if isinstance(factor, Tensor) and factor.numel() == 1 and not factor.requires_grad:
            mantissa, _ = math.frexp(value := factor.item())
            if mantissa == 0.5 and value >= LEAST_SCALE:
                return value
    return None


def _accumulate(parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Add the gradients to ``.grad`` as `Tensor.backward` does."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            continue
        if parameter.grad is None:  # a copy, in the parameter's own memory format: two parameters
            parameter.grad = torch.empty_like(parameter).copy_(gradient)  # may share one gradient
        else:
            parameter.grad += gradient
