"""The recipes for other people's trainers, run where these are installed."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from pscore import CurvatureProbe, every
from pscore.probe import measure

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def recipe(name, library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def digits(count=48):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, 5, generator=draw), torch.randint(3, (count,), generator=draw)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


@pytest.mark.parametrize("pieces", [1, 2])
def test_lightning(tmp_path, pieces):
    """What the callback measures is the quotient at the run's own weights and batches."""
    made = recipe("with_lightning", "lightning")
    lightning, x, y = sys.modules["lightning"], *digits()
    expected, ends = [], []

    class Module(lightning.LightningModule):
        def __init__(self, watch):
            super().__init__()
            self.net, self.watch = network(), watch

        def training_step(self, batch, number):
            loss = functional.cross_entropy(self.net(batch[0]), batch[1])
            if self.watch and number % 2 == 0:
                again = functional.cross_entropy(self.net(batch[0]), batch[1])
                expected.append(measure(again, list(self.net.parameters()), 0.01)[0].curvature)
            return loss

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1, weight_decay=0.01)

    for watch in (True, False):
        callback = made.CurvatureCallback(every(2))
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            callbacks=[callback] if watch else [],
            accumulate_grad_batches=pieces,
            default_root_dir=tmp_path,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module = Module(watch)
        batches = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=8)
        trainer.fit(module, batches)
        ends.append([p.detach().clone() for p in module.parameters()])
        if watch:
            found = [record.curvature for record in callback.probe.records]
            assert found == pytest.approx(expected, rel=1e-4) and len(found) == 3
            assert callback.state_dict()["step"] == 6
            assert trainer.callback_metrics["curvature"] == pytest.approx(found[-1], rel=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_the_hugging_face_trainer(tmp_path):
    made = recipe("with_transformers", "transformers")
    transformers, x, y = sys.modules["transformers"], *digits()
    expected = []

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, x, labels):
            again = functional.cross_entropy(self.net(x), labels)
            expected.append(measure(again, list(self.net.parameters()))[0].curvature)
            return {"loss": functional.cross_entropy(self.net(x), labels)}

    rows = [{"x": one, "labels": label} for one, label in zip(x, y, strict=True)]
    ends = []
    for schedule in (every(2), lambda step: False):
        trainer = made.CurvatureTrainer(
            Model(),
            transformers.TrainingArguments(
                str(tmp_path),
                max_steps=5,
                per_device_train_batch_size=8,
                report_to=[],
                save_strategy="no",
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=rows,
            schedule=schedule,
        )
        trainer.train()
        ends.append([p.detach().clone() for p in trainer.model.parameters()])
        if len(ends) == 1:
            assert [record.step for record in trainer.probe.records] == [0, 2, 4]
            found = [record.curvature for record in trainer.probe.records]
            assert found == pytest.approx(expected[::2], rel=1e-5)
            logged = [row["curvature"] for row in trainer.state.log_history if "curvature" in row]
            assert logged == [record.curvature for record in trainer.probe.records]
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_tensorboard(tmp_path):
    """A logger is a function of a record."""
    board = pytest.importorskip("torch.utils.tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model, (x, y) = network(), digits()
    with board.SummaryWriter(str(tmp_path)) as writer:
        probe = CurvatureProbe(
            model,
            every(1),
            on_record=lambda record: writer.add_scalar("curvature", record.curvature, record.step),
        )
        probe.observe(functional.cross_entropy(model(x), y))
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("curvature")
    assert [(one.step, one.value) for one in events] == [
        (0, pytest.approx(probe.records[0].curvature, rel=1e-6))
    ]
