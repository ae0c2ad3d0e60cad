"""The curvature along a run of Lightning, by a callback."""

from collections.abc import Callable
from typing import Any

import lightning
from torch import Tensor

from pscore import CurvatureProbe, every


class CurvatureCallback(lightning.Callback):
    """Measures before each backward that the schedule names, and logs what it finds.

    Args:
        schedule: from the number of a backward to whether it is measured.
        make: the probe of an optimiser; for AdamW, ``lambda o, schedule: CurvatureProbe(...)``.
    """

    def __init__(
        self,
        schedule: Callable[[int], bool] | None = None,
        make: Callable[..., CurvatureProbe] = CurvatureProbe.of_optimizer,
    ) -> None:
        """Nothing is computed before training starts."""
        self.schedule, self.make = schedule or every(10), make
        self.probe: CurvatureProbe | None = None

    def on_train_start(self, trainer: lightning.Trainer, module: Any) -> None:
        """Make the probe, once the optimiser is there; go on with one that was loaded."""
        probe = self.make(trainer.optimizers[0], self.schedule)
        probe.on_record = lambda record: module.log("curvature", record.curvature)
        if self.probe is not None:
            probe.load_state_dict(self.probe.state_dict())
        self.probe = probe

    def on_before_backward(self, trainer: lightning.Trainer, module: Any, loss: Tensor) -> None:
        """Measure the loss that is about to be differentiated, as Lightning has scaled it."""
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        scale = 1.0 if scaler is None else scaler.get_scale()
        assert self.probe is not None
        self.probe.observe(loss, scale=scale / trainer.accumulate_grad_batches)

    def state_dict(self) -> dict[str, Any]:
        """Return what Lightning's checkpoint keeps."""
        return self.probe.state_dict() if self.probe else {}
