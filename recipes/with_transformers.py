"""The curvature along a run of the Hugging Face trainer.

Its callbacks do not see the loss, so the trainer is the place: a loss is measured where it has been
computed and before it is divided, scaled and differentiated.
"""

from collections.abc import Callable
from typing import Any

from torch import nn
from transformers import Trainer

from pscore import CurvatureProbe, every


class CurvatureTrainer(Trainer):
    """A trainer with a probe, whose records are logged as ``curvature``.

    The trainer's AdamW has its weight decay beside the loss, so the loss is measured without.

    Args:
        schedule: from the number of a loss in training to whether it is measured.
        arguments: the trainer's.
    """

    def __init__(
        self, *arguments: Any, schedule: Callable[[int], bool] | None = None, **more: Any
    ) -> None:
        """Take hold of the model's parameters."""
        super().__init__(*arguments, **more)
        self.probe = CurvatureProbe(
            self.model,
            schedule or every(10),
            on_record=lambda record: self.log({"curvature": record.curvature}),
        )

    def compute_loss(
        self, model: nn.Module, inputs: Any, return_outputs: bool = False, **more: Any
    ) -> Any:
        """Compute the loss, under a context in which attention can be differentiated twice."""
        with self.probe.forward():
            found = super().compute_loss(model, inputs, return_outputs, **more)
        if model.training:
            self.probe.observe(found[0] if return_outputs else found, scale=1.0)
        return found
