"""Ladders of learning rates: what is measured on them, and the exponents."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from evidence import learning_rates as checks
from evidence.claims import Unsound
from pscore.experiments.data import ImageData
from pscore.experiments.settings import squared_error
from pscore.experiments.trials import stored

PLAN = checks.Plan(
    learning_rate=0.1,
    batch_size=4,
    loss="squared",
    weight_decay=0.01,
    steps=40,
    log_first=3,
    log_every=10,
    whole_images=12,
    batches=3,
    lanczos=27,
)


def small_network():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(0)
    x, labels = torch.randn(12, 1, 2, 2, generator=draw).double(), torch.arange(12) % 3
    return ImageData("noise", 3, x, labels, x, labels, "digest")


def by_hand(model, images, chosen):
    """Gradient and Hessian entry by entry, from a loss that is a function of one vector."""
    names, shapes = zip(*[(n, w.shape) for n, w in model.named_parameters()], strict=True)
    flat = torch.cat([w.detach().reshape(-1) for w in model.parameters()])

    def loss(W):
        pieces = W.split([int(np.prod(s)) for s in shapes])
        weights = {n: p.view(s) for n, p, s in zip(names, pieces, shapes, strict=True)}
        out = torch.func.functional_call(model, weights, (images.x[chosen],))
        return squared_error(out, images.labels[chosen]) + 0.005 * W @ W

    functional = torch.autograd.functional
    return functional.jacobian(loss, flat), functional.hessian(loss, flat)


def test_gradients_curvatures_and_spectrum_are_those_of_an_explicit_hessian(data):
    images, model = checks.Images(data), small_network().double()
    g, H = by_hand(model, images, slice(0, 12))
    local = checks.Local(images, model, PLAN, slice(0, 12))
    assert torch.allclose(local.g, g)
    v = torch.arange(len(g)).double()
    assert torch.allclose(local.product(v), H @ v)
    assert local.along(v) == pytest.approx((2 * v @ H @ v / (v @ v)).item())
    found, eigenvalues = checks.spectrum(local, 27), torch.linalg.eigvalsh(H)
    assert found["largest"] == pytest.approx(eigenvalues[-1].item(), rel=1e-6)
    assert found["least"] == pytest.approx(eigenvalues[0].item(), rel=1e-3)
    first = torch.randn(len(g), generator=torch.Generator().manual_seed(0)).double()
    values, vectors = torch.linalg.eigh(H)
    below = values < -1e-3 * values.abs().max()
    weight = ((vectors.T @ first / first.norm()) ** 2)[below].sum()
    assert found["negative"] == pytest.approx(weight.item(), abs=1e-6)


def test_batches_at_held_weights_are_measured_as_their_definitions_say(data):
    images, model = checks.Images(data), small_network().double()
    found = checks.of_batches(images, model, PLAN, seed=1)
    draw = checks.torch_generator(1, "data")
    both = [by_hand(model, images, torch.randperm(12, generator=draw)[:4]) for _ in range(3)]
    own = [(2 * g @ H @ g / (g @ g)).item() for g, H in both]
    across = [
        (2 * g @ H @ g / (g @ g)).item() for (g, _), (_, H) in zip(both[:2], both[1:], strict=True)
    ]
    inner = np.mean([(both[i][0] @ both[j][0]).item() for i, j in ((0, 1), (0, 2), (1, 2))])
    squares = np.mean([(g @ g).item() for g, _ in both])
    assert found["own"] == pytest.approx(np.mean(own))
    assert found["across"] == pytest.approx(np.mean(across))
    assert found["rho"] == pytest.approx(inner / squares)


def test_a_trial_logs_what_its_plan_says(data):
    images = checks.Images(data)
    row, steps = checks.train(small_network, data, images, 0, PLAN)
    assert PLAN.points == [2, 8, 39]
    assert steps.step.tolist() == [0, 1, 2, 8, 10, 20, 30, 39]
    assert steps.step[steps.whole_curvature.notna()].tolist() == [2, 8, 39]
    assert steps.step[steps.largest.notna()].tolist() == [39]
    assert row.steps.item() == 40 and not row.diverged.item()
    model = checks.initialized(small_network, 0)
    chosen = next(images.orders(0, 4))
    g, H = by_hand(model, images, chosen)
    assert steps.curvature[0] == pytest.approx((2 * g @ H @ g / (g @ g)).item())
    flat = torch.cat([w.detach().reshape(-1) for w in model.parameters()]) - 0.1 * g
    nn.utils.vector_to_parameters(flat, model.parameters())
    after = squared_error(model(images.x[chosen]), images.labels[chosen]) + 0.005 * flat @ flat
    assert steps.loss_after[0] == pytest.approx(after.item())


def test_a_ladder_has_its_rates_and_its_time(data):
    given = {name: getattr(PLAN, name) for name in PLAN.__dataclass_fields__}
    given |= {"first_rate": 0.004, "rates": 4, "time": 0.4, "spectra": 0, "log_every": 0}
    trials, paths = checks.ladder(small_network, data, checks.Images(data), 0, given)
    assert trials.learning_rate.tolist() == pytest.approx([0.004, 0.00862, 0.0186, 0.04], rel=1e-2)
    assert trials.steps.tolist() == [100, 46, 22, 10]
    assert paths.groupby("learning_rate").size().tolist() == [100, 46, 22, 10]
    assert "largest" not in paths


def test_a_run_that_blows_up_is_kept_as_such(data):
    wild = partial(small_network)
    plan = checks.Plan(**{**PLAN.__dict__, "learning_rate": 1e9, "batches": 0, "whole_images": 0})
    row, steps = checks.train(wild, data, checks.Images(data), 0, plan)
    assert row.diverged.item() and np.isnan(row.test_accuracy.item()) and len(steps)


def test_exponents_are_found_in_tables_that_have_them():
    rows = [
        {"seed": seed, "rung": rung, "window": w, "curvature": 10 ** (w - power * rung / 3)}
        for seed, power in ((0, 1.0), (1, 0.5))
        for rung in range(5)
        for w in (1, 2)
    ]
    table = pd.DataFrame(rows)
    assert checks.exponents(table, "window").tolist() == pytest.approx([-1, -0.5])
    table.loc[3, "curvature"] = -7.0
    assert checks.exponents(table, "window").tolist() == pytest.approx([-1, -0.5])


@pytest.mark.parametrize("name", ["squared-128", "cross-entropy-16"])
def test_windows_match_in_time(name):
    steps = checks.logged(name)
    eta_t = steps.learning_rate * (steps.step + 1)
    assert (eta_t <= 0.004 * 10 ** (steps.time / 3) * (1 + 1e-6)).all()
    assert (eta_t > 0.004 * 10 ** ((steps.time - 1) / 3) * (1 - 1e-6)).all()


def test_the_ladders_differ_in_loss_and_batch_alone():
    made = [stored(f"learning-rates/{n}").provenance for n in ("squared-128", "cross-entropy-16")]
    differ = {k for k in made[0]["parameters"] if len({m["parameters"][k] for m in made}) > 1}
    assert differ == {"loss", "batch_size"}
    assert made[0]["data_digest"] == made[1]["data_digest"]


def test_rates_in_reverse_turn_the_check_red(monkeypatch):
    logged = checks.logged
    monkeypatch.setattr(checks, "logged", lambda n: logged(n).assign(rung=6 - logged(n).rung))
    with pytest.raises(Unsound, match="violated"):
        checks.check_exponents(0)
