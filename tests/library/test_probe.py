"""The curvature probe against explicit Hessians, an identity, a second library and plain torch.

Independence: the explicit Hessian is a matrix (torch.func, or rows by double backward where
batch norm makes torch.func wrong), and hessian-eigenthings is other people's code. Finite
differences of the gradient see no second derivative code at all.
"""

import copy
import gc
import math
import weakref

import pandas as pd
import pytest
import torch
from small_models import explicit, images_and_labels, quotient, small_model
from torch import nn
from torch.nn import functional

from pscore import CurvatureProbe
from pscore.probe import every, measure, measure_mean

WEIGHT_DECAY = 0.03


@pytest.mark.parametrize("middle", [(), (nn.BatchNorm1d(6),), (nn.BatchNorm1d(6), nn.Softplus())])
@pytest.mark.parametrize("weight_decay", [0.0, WEIGHT_DECAY])
def test_measure_is_the_quotient_of_the_explicit_hessian(middle, weight_decay):
    model, (x, y) = small_model(*middle), images_and_labels()
    parameters = list(model.parameters())
    g, hessian = explicit(functional.cross_entropy(model(x), y), parameters, weight_decay)
    found, _ = measure(functional.cross_entropy(model(x), y), parameters, weight_decay)
    squares = sum(float((p.detach() ** 2).sum()) for p in parameters)
    plain = functional.cross_entropy(model(x), y).item()
    assert found.loss == pytest.approx(plain + weight_decay / 2 * squares, rel=1e-13)
    assert found.squared_gradient_norm == pytest.approx(float(g @ g), rel=1e-12)
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-10)


def test_measure_agrees_with_the_hessian_of_torch_func():
    model, (x, y) = small_model(), images_and_labels()
    names, parameters = zip(*model.named_parameters(), strict=True)

    def regularised(flat):
        pieces = torch.split(flat, [p.numel() for p in parameters])
        weights = {n: v.view_as(p) for n, v, p in zip(names, pieces, parameters, strict=True)}
        logits = torch.func.functional_call(model, weights, (x,))
        return functional.cross_entropy(logits, y) + WEIGHT_DECAY / 2 * flat @ flat

    at = torch.cat([p.detach().reshape(-1) for p in parameters])
    expected = quotient(torch.func.grad(regularised)(at), torch.func.hessian(regularised)(at))
    found, _ = measure(functional.cross_entropy(model(x), y), parameters, WEIGHT_DECAY)
    assert found.curvature == pytest.approx(expected, rel=1e-10)


def test_measure_agrees_with_finite_differences_of_the_gradient():
    """Along the gradient, and with a smooth activation: ReLU's kinks would be crossed."""
    model, (x, y) = small_model(nn.Softplus()), images_and_labels()
    parameters = list(model.parameters())
    found, gradients = measure(functional.cross_entropy(model(x), y), parameters, WEIGHT_DECAY)
    g = [d + WEIGHT_DECAY * p.detach() for d, p in zip(gradients, parameters, strict=True)]

    def slope(shift):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for p, d in zip(moved.parameters(), g, strict=True):
                p += shift * d
        weights = list(moved.parameters())
        there = torch.autograd.grad(functional.cross_entropy(moved(x), y), weights)
        return sum(
            float(((new + WEIGHT_DECAY * p.detach()) * d).sum())
            for new, p, d in zip(there, weights, g, strict=True)
        )

    h = 1e-5
    second = (slope(h) - slope(-h)) / h  # 2 gᵀHg
    assert found.curvature == pytest.approx(second / found.squared_gradient_norm, rel=1e-7)


@pytest.mark.parametrize("middle", [(), (nn.BatchNorm1d(6),)])
def test_second_library_agrees(middle):
    library = pytest.importorskip(
        "hessian_eigenthings", reason="hessian-eigenthings is not installed: no second library"
    )
    model, (x, y) = small_model(*middle), images_and_labels()
    parameters = list(model.parameters())
    operator = library.HessianOperator(
        model, [(x, y)], library.supervised_loss(functional.cross_entropy)
    )
    found, gradients = measure(functional.cross_entropy(model(x), y), parameters, WEIGHT_DECAY)
    flat = torch.cat([p.detach().reshape(-1) for p in parameters])
    g = torch.cat([d.reshape(-1) for d in gradients]) + WEIGHT_DECAY * flat
    expected = 2 * float(g @ (operator @ g)) / float(g @ g) + 2 * WEIGHT_DECAY
    assert found.curvature == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weight_decay", [1e-6, 0.03, 2.0])
def test_weight_decay_adds_twice_lambda_along_the_same_gradient(weight_decay):
    """The regulariser's own Hessian is λI; with the g of the regularised loss held, H gains λ."""
    model, (x, y) = small_model(), images_and_labels()
    parameters = list(model.parameters())
    found, gradients = measure(functional.cross_entropy(model(x), y), parameters, weight_decay)
    g = torch.cat(
        [
            (d + weight_decay * p.detach()).reshape(-1)
            for d, p in zip(gradients, parameters, strict=True)
        ]
    )
    _, hessian = explicit(functional.cross_entropy(model(x), y), parameters, 0.0)
    assert found.curvature - quotient(g, hessian) == pytest.approx(2 * weight_decay, rel=1e-8)


def test_of_the_regulariser_alone_nothing_but_twice_lambda_is_left():
    weights = torch.randn(7, dtype=torch.float64, requires_grad=True)
    found, gradients = measure(0.0 * weights.sum(), [weights], WEIGHT_DECAY)
    assert found.curvature == pytest.approx(2 * WEIGHT_DECAY, rel=1e-14)
    assert torch.equal(gradients[0], torch.zeros(7, dtype=torch.float64))


def test_nothing_decays_unless_it_is_said_to():
    weights = torch.tensor([3.0], requires_grad=True)
    record = CurvatureProbe([weights], every(1)).backward((weights**2).sum())
    assert record == (0, 9.0, 36.0, 4.0)
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 3.0)
    assert measure_mean(lambda: [(model.weight.square().sum(), 2)], model) == (9.0, 36.0, 4.0)


def test_linear_loss_has_no_curvature():
    weights = torch.ones(3, requires_grad=True)
    assert measure(weights.sum(), [weights])[0] == (3.0, 3.0, 0.0)


def test_at_a_critical_point_the_curvature_is_nan():
    weights = torch.zeros(3, requires_grad=True)
    found, _ = measure((weights**2).sum(), [weights], WEIGHT_DECAY)
    assert found.squared_gradient_norm == 0.0
    assert math.isnan(found.curvature)


def test_a_parameter_that_the_loss_does_not_reach_counts_in_the_regulariser_only():
    used = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    unused = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    constant = torch.tensor([100.0], dtype=torch.float64)
    found, gradients = measure((used**2).sum(), [used, unused, constant], 0.5)
    g = torch.tensor([2.5, 5.0, 1.5], dtype=torch.float64)  # (2 + λ) W, and λ W
    hessian = torch.diag(torch.tensor([2.5, 2.5, 0.5], dtype=torch.float64))
    assert found.loss == pytest.approx(5 + 0.25 * 14)
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-14)
    assert gradients[1] is None
    assert gradients[2] is None
    probe = CurvatureProbe([used, unused, constant], every(1), 0.5)
    probe.backward((used**2).sum())
    assert unused.grad is None


def test_gradient_handed_back_is_that_of_loss_backward():
    """Bit for bit, dropout and batch norm included, and added to what is in .grad already."""
    model, (x, y) = small_model(nn.BatchNorm1d(6), nn.Dropout(0.4)), images_and_labels()
    other = copy.deepcopy(model)
    probe = CurvatureProbe(model.parameters(), every(1), WEIGHT_DECAY)
    for step in range(3):
        torch.manual_seed(step)
        probe.backward(functional.cross_entropy(model(x), y), scale=1.0)
        torch.manual_seed(step)
        functional.cross_entropy(other(x), y).backward()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)
    for p, q in zip(model.buffers(), other.buffers(), strict=True):
        assert torch.equal(p, q)  # one forward pass a step: the running statistics say so


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_probed_training_is_the_same_training(optimizer):
    x, y = images_and_labels()

    def trained(schedule):
        model = small_model()
        steps = optimizer(model.parameters(), lr=0.05, weight_decay=WEIGHT_DECAY)
        probe = CurvatureProbe(model.parameters(), schedule, WEIGHT_DECAY)
        for _ in range(20):
            steps.zero_grad()
            probe.backward(functional.cross_entropy(model(x), y))
            steps.step()
        return probe, list(model.parameters())

    probe, probed = trained(every(3))
    _, plain = trained(lambda step: False)
    assert all(torch.equal(p, q) for p, q in zip(probed, plain, strict=True))
    assert [record.step for record in probe.records] == [0, 3, 6, 9, 12, 15, 18]
    assert list(pd.DataFrame(probe.records).columns) == [
        "step",
        "loss",
        "squared_gradient_norm",
        "curvature",
    ]


def test_dropout_has_one_mask_for_both_passes():
    """With p = 0.5 two masks would differ; the explicit Hessian is of the mask of the same seed."""
    model, (x, y) = small_model(nn.Dropout(0.5)), images_and_labels()
    parameters = list(model.parameters())
    torch.manual_seed(5)
    g, hessian = explicit(functional.cross_entropy(model(x), y), parameters, 0.0)
    torch.manual_seed(5)
    found, _ = measure(functional.cross_entropy(model(x), y), parameters)
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-10)


def test_convolution_and_pooling_in_another_memory_format():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
    ).double()
    x = torch.randn(8, 2, 6, 6, dtype=torch.float64)
    y = torch.arange(8) % 3
    parameters = list(model.parameters())
    g, hessian = explicit(functional.cross_entropy(model(x), y), parameters, WEIGHT_DECAY)
    model = model.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
    probe = CurvatureProbe(model.parameters(), every(1), WEIGHT_DECAY)
    record = probe.backward(functional.cross_entropy(model(x), y))
    assert record.curvature == pytest.approx(quotient(g, hessian), rel=1e-10)
    assert all(p.grad.stride() == p.stride() for p in model.parameters())


def test_two_parameters_do_not_come_to_share_one_gradient():
    a, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    CurvatureProbe([a, b], every(1)).backward((a + b).sum())
    a.grad.zero_()
    assert b.grad.tolist() == [1.0, 1.0]


def in_pieces(model, x, y, *sizes):
    """A function that goes through x and y in pieces of the sizes named."""

    def losses():
        for inputs, targets in zip(x.split(list(sizes)), y.split(list(sizes)), strict=True):
            yield functional.cross_entropy(model(inputs), targets), len(targets)

    return losses


def test_mean_over_pieces_is_the_measurement_of_the_whole():
    model, (x, y) = small_model(), images_and_labels()
    expected, _ = measure(
        functional.cross_entropy(model(x), y), list(model.parameters()), WEIGHT_DECAY
    )
    for sizes in ((12,), (5, 4, 3)):
        found = measure_mean(in_pieces(model, x, y, *sizes), model, WEIGHT_DECAY)
        assert found == pytest.approx(expected, rel=1e-12)


def test_mean_over_pieces_knows_parameters_that_no_piece_reaches():
    """They count in the regulariser, as in one measurement."""
    model, (x, y) = small_model(), images_and_labels()
    model.register_parameter("idle", nn.Parameter(torch.tensor([3.0], dtype=torch.float64)))
    expected, _ = measure(
        functional.cross_entropy(model(x), y), list(model.parameters()), WEIGHT_DECAY
    )
    found = measure_mean(in_pieces(model, x, y, 7, 5), model, WEIGHT_DECAY)
    assert found == pytest.approx(expected, rel=1e-12)


def test_mean_over_pieces_is_the_quotient_of_the_mean_hessian_with_batch_norm():
    """Each piece is normalised by itself: the loss is a mean of three, none of all 12 images."""
    model, (x, y) = small_model(nn.BatchNorm1d(6)), images_and_labels()
    losses, before = in_pieces(model, x, y, 5, 4, 3), copy.deepcopy(model.state_dict())
    found = measure_mean(losses, model, WEIGHT_DECAY)
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    mean = sum(size * loss for loss, size in losses()) / 12
    g, hessian = explicit(mean, list(model.parameters()), WEIGHT_DECAY)
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-10)
    assert found.squared_gradient_norm == pytest.approx(float(g @ g), rel=1e-12)
    alone, _ = measure(functional.cross_entropy(model(x), y), list(model.parameters()))
    assert abs(alone.curvature - found.curvature) > 1e-3
    assert all(parameter.grad is None for parameter in model.parameters())


def test_mean_over_pieces_has_one_mask_for_both_passes():
    """The expected mask of each piece is drawn by hand from the same state."""
    model, (x, y) = small_model(nn.Dropout(0.5)), images_and_labels()
    losses = in_pieces(model, x, y, 7, 5)
    torch.manual_seed(3)
    found = measure_mean(losses, model)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1)), "the random state has moved"
    torch.manual_seed(3)
    g, hessian = explicit(sum(n * loss for loss, n in losses()) / 12, list(model.parameters()), 0.0)
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-10)


def test_mean_over_pieces_refuses_what_it_cannot_go_through():
    model, (x, y) = small_model(), images_and_labels()
    once = in_pieces(model, x, y, 12)()
    with pytest.raises(ValueError, match="nothing at its second call"):
        measure_mean(lambda: once, model)
    with pytest.raises(ValueError, match="losses gave nothing"):
        measure_mean(lambda: iter(()), model)
    for weight in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"the weight {weight}"):
            measure_mean(lambda weight=weight: [(model(x).sum(), weight)], model)
    with pytest.raises(FloatingPointError, match="the loss is inf"):
        measure_mean(lambda: [(model(x).sum() * math.inf, 1)], model)
    with pytest.raises(ValueError, match="loss must be a scalar"):
        measure_mean(lambda: [(model(x), 1)], model)


def activations_alive_after(backward):
    """Whether what a step keeps for its graph outlives it, the garbage collector switched off."""
    model, (x, y) = small_model(nn.Softplus()), images_and_labels()
    kept = []
    model[-2].register_forward_hook(lambda *args: kept.append(weakref.ref(args[-1])))
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            backward(model, functional.cross_entropy(model(x), y))
        return [reference() is not None for reference in kept]
    finally:
        gc.enable()


def test_nothing_is_left_behind():
    """Reverse over reverse by autograd.grad makes no cycle: a step's tensors die with the step."""
    probes = {}

    def probed(model, loss):
        probe = probes.setdefault("probe", CurvatureProbe(model.parameters(), every(1)))
        probe.backward(loss, scale=1.0)

    def leaking(model, loss):
        loss.backward(create_graph=True)

    assert not any(activations_alive_after(probed))
    with pytest.warns(UserWarning, match="reference cycle"):
        assert any(activations_alive_after(leaking)), "this test would not see a leak"


def test_schedule_names_the_first_steps_one_by_one():
    assert [step for step in range(12) if every(5)(step)] == [0, 5, 10]
    assert [step for step in range(12) if every(5, first=3)(step)] == [0, 1, 2, 5, 10]


@pytest.mark.parametrize("k", [0, -1, 2.0, True])
def test_schedule_wants_a_positive_integer(k):
    with pytest.raises(ValueError, match="k must be an integer >= 1"):
        every(k)
    with pytest.raises(ValueError, match="first must be an integer >= 0"):
        every(1, first=k or -1)


def test_what_is_wrong_with_the_arguments_is_said_at_once():
    weights = torch.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="schedule must be a function"):
        CurvatureProbe([weights], 10)
    with pytest.raises(TypeError, match="parameters must be tensors"):
        CurvatureProbe([("weight", weights)], every(1))
    with pytest.raises(ValueError, match="twice"):
        CurvatureProbe([weights, weights], every(1))
    used_up = (p for p in [weights])
    list(used_up)
    with pytest.raises(ValueError, match="can be read only once"):
        CurvatureProbe(used_up, every(1))
    for weight_decay in (-1e-3, math.inf, math.nan):
        with pytest.raises(ValueError, match="weight_decay"):
            CurvatureProbe([weights], every(1), weight_decay)


@pytest.mark.parametrize("schedule", [every(1), every(2)], ids=["probed", "plain"])
def test_what_is_wrong_with_the_loss_is_said(schedule):
    weights = torch.ones(2, requires_grad=True)
    probe = CurvatureProbe([weights], schedule)
    probe.step = 1
    with pytest.raises(ValueError, match=r"scalar tensor, not shape \(2,\)"):
        probe.backward(weights**2)
    probe.step = 1
    with pytest.raises(ValueError, match="scalar tensor, not float"):
        probe.backward(1.0)
    probe.step = 1
    with pytest.raises(ValueError, match="no graph"):
        probe.backward((weights**2).sum().detach())


@pytest.mark.parametrize("schedule", [every(1), every(100)], ids=["probed", "plain"])
def test_a_loss_that_is_not_finite_stops_at_its_step_and_keeps_the_records(schedule):
    weights = torch.ones(2, requires_grad=True)
    probe = CurvatureProbe([weights], schedule)
    for _ in range(3):
        probe.backward((weights**2).sum(), scale=1.0)
    kept, before = list(probe.records), weights.grad.clone()
    with pytest.raises(FloatingPointError, match="step 3: the loss is inf"):
        probe.backward((weights / 0).sum(), scale=1.0)
    assert probe.records == kept
    assert torch.equal(weights.grad, before)


def test_a_gradient_that_is_not_finite_stops_at_its_step():
    weights = torch.zeros(2, requires_grad=True)
    probe = CurvatureProbe([weights], every(1))
    with pytest.raises(FloatingPointError, match="step 0: the squared norm of the gradient"):
        probe.backward(weights.sqrt().sum())
    assert probe.records == []
    assert weights.grad is None
