"""The probe in other people's training: callbacks, mixed precision, several processes, and so on.

Each is either right, by comparison with a plain loop in float64 or with the explicit Hessian, or
refused in words that name what is wrong.
"""

import copy
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from small_models import explicit, images_and_labels, quotient, small_model
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pscore import CurvatureProbe, measurement
from pscore.probe import every, measure

ROOT = Path(__file__).resolve().parents[2]


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_observe_leaves_the_training_as_it_was():
    """Two runs, one of them observed from a callback: the same weights, buffers and draws."""
    x, y = images_and_labels(40)
    ends = []
    for observed in (True, False):
        torch.manual_seed(3)
        model = small_model(nn.BatchNorm1d(6), nn.Dropout(0.3))
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        probe = CurvatureProbe(model, every(2))
        for _ in range(6):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            if observed:
                probe.observe(loss)
                assert all(p.grad is None for p in model.parameters())
            loss.backward()
            optimizer.step()
        ends.append((state_of(model), torch.get_rng_state()))
        assert [record.step for record in probe.records] == ([0, 2, 4] if observed else [])
    (first, drawn), (second, drawn_plainly) = ends
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(drawn, drawn_plainly)


def test_observe_measures_what_backward_measures():
    x, y = images_and_labels()
    model = small_model(nn.BatchNorm1d(6))
    loss = functional.cross_entropy(model(x), y)
    seen = CurvatureProbe(model, every(1), 0.01).observe(loss)
    g, hessian = explicit(functional.cross_entropy(model(x), y), list(model.parameters()), 0.01)
    assert seen.curvature == pytest.approx(quotient(g, hessian), rel=1e-9)
    assert seen.squared_gradient_norm == pytest.approx(float(g @ g), rel=1e-12)


def test_a_callback_hears_of_each_record_and_a_table_holds_them():
    x, y = images_and_labels()
    model, heard = small_model(), []
    probe = CurvatureProbe(model, lambda step: step in (1, 2), on_record=heard.append)
    for _ in range(4):
        probe.backward(functional.cross_entropy(model(x), y), scale=1.0)
    assert heard == probe.records and [record.step for record in heard] == [1, 2]
    assert probe.table().step.tolist() == [1, 2]
    assert list(probe.table()) == ["step", "loss", "squared_gradient_norm", "curvature"]


@pytest.mark.parametrize("door", ["backward", "observe"])
def test_a_schedule_is_asked_once_a_step(door):
    """One that draws lots would say two things if it were asked twice."""
    x, y = images_and_labels()
    model, asked = small_model(), []

    def lots(step):
        asked.append(step)
        return len(asked) % 2 == 0

    probe = CurvatureProbe(model, lots)
    for _ in range(4):
        getattr(probe, door)(functional.cross_entropy(model(x), y), scale=1.0)
    assert asked == [0, 1, 2, 3] and [record.step for record in probe.records] == [1, 3]


@pytest.mark.parametrize("door", ["backward", "observe"])
def test_a_scaled_loss_is_refused_or_divided(door):
    x, y = images_and_labels()
    model = small_model()
    plain = measure(functional.cross_entropy(model(x), y), list(model.parameters()), 0.01)[0]
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    probe = CurvatureProbe(model, every(1), 0.01)
    scaled = scaler.scale(functional.cross_entropy(model(x), y))
    with pytest.raises(ValueError, match=r"multiplied by 1024, .*scale=scaler.get_scale\(\)"):
        getattr(probe, door)(scaled)
    assert not probe.records and all(p.grad is None for p in model.parameters())
    record = getattr(probe, door)(scaled, scale=scaler.get_scale())
    assert record[1:] == pytest.approx(plain, rel=1e-12)
    whole = getattr(probe, door)(functional.cross_entropy(model(x), y) * 1024.0, scale=1.0)
    assert whole.loss > 1000 * (plain.loss - 1)


def test_half_of_a_loss_is_not_taken_for_a_scaler_s():
    x, y = images_and_labels()
    model = small_model()
    loss = functional.cross_entropy(model(x), y)
    assert CurvatureProbe(model, every(1)).observe(0.5 * loss * torch.tensor(2.0)) is not None


def test_a_scaler_trains_as_it_would_have():
    x, y = images_and_labels()
    ends = []
    for probed in (True, False):
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
        probe = CurvatureProbe(model, every(2))
        for _ in range(4):
            optimizer.zero_grad()
            loss = scaler.scale(functional.cross_entropy(model(x), y))
            if probed:
                probe.backward(loss, scale=scaler.get_scale())
            else:
                loss.backward()
            scaler.step(optimizer)
            scaler.update()
        ends.append(state_of(model))
    for name in ends[0]:
        torch.testing.assert_close(ends[0][name], ends[1][name], rtol=1e-12, atol=0)


@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_half_precision_is_within_its_error_of_float64(how):
    """bfloat16 keeps eight bits: measured here to a few per cent, never by another factor."""
    x, y = images_and_labels(60)
    errors = []
    for seed in range(8):
        model = small_model(seed=seed)
        parameters = list(model.parameters())
        exact = measure(functional.cross_entropy(model(x), y), parameters)[0].curvature
        rounded = model.float() if how == "autocast" else model.bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
            outputs = rounded(x.to(next(rounded.parameters()).dtype))
        found = measure(functional.cross_entropy(outputs.float(), y), parameters)[0]
        errors.append(abs(found.curvature / exact - 1))
    assert 1e-5 < sorted(errors)[4] < 0.05 and max(errors) < 0.25


def test_sums_of_squares_do_not_overflow_in_half_precision():
    weights = torch.full((100,), 40.0, dtype=torch.float16, requires_grad=True)
    found, _ = measure((weights.float() ** 2).sum() * 3, [weights])
    assert found.squared_gradient_norm == pytest.approx(100 * 240**2)  # 65504 is float16's largest
    assert found.curvature == pytest.approx(12)


def test_pieces_of_a_batch_are_told_by_their_scale():
    """Of k pieces each is measured by itself, and the gradients add up as without the probe."""
    x, y = images_and_labels(12)
    model = small_model()
    probe = CurvatureProbe(model, every(1), 0.02)
    for piece in (slice(0, 6), slice(6, 12)):
        probe.backward(functional.cross_entropy(model(x[piece]), y[piece]) / 2, scale=1 / 2)
        alone = functional.cross_entropy(model(x[piece]), y[piece])
        expected, _ = measure(alone, list(model.parameters()), 0.02)
        assert probe.records[-1][1:] == pytest.approx(expected, rel=1e-12)
    whole = functional.cross_entropy(model(x), y)
    for parameter, g in zip(
        model.parameters(), torch.autograd.grad(whole, list(model.parameters())), strict=True
    ):
        torch.testing.assert_close(parameter.grad, g)


def test_pieces_without_a_scale_are_warned_of():
    x, y = images_and_labels()
    model = small_model()
    probe = CurvatureProbe(model, every(1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            optimizer.zero_grad()
            probe.backward(functional.cross_entropy(model(x), y))
            optimizer.step()
    probe.backward(functional.cross_entropy(model(x), y) / 2)
    with pytest.warns(UserWarning, match="weights are those that step 3 .* pass scale=1/k") as said:
        probe.backward(functional.cross_entropy(model(x), y) / 2)
    assert said[0].filename == __file__


def test_a_compiled_model_is_refused_by_name():
    model = small_model()
    x, y = images_and_labels()
    compiled = torch.compile(model, backend="aot_eager")
    probe = CurvatureProbe(model, every(1))
    with pytest.raises(ValueError, match=r"the model is compiled.*_orig_mod"):
        probe.observe(functional.cross_entropy(compiled(x), y))
    assert probe.observe(functional.cross_entropy(compiled._orig_mod(x), y), scale=1.0) is not None


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.three, self.last = nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x):
        q, k, v = self.three(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.last(mixed.transpose(1, 2).flatten(2).mean(1))


def test_fused_attention_is_refused_by_name_or_prepared():
    torch.manual_seed(0)
    model, (x, y) = Attention().double(), (torch.randn(5, 7, 8).double(), torch.arange(5) % 3)
    probe = CurvatureProbe(model, every(1))
    with pytest.raises(ValueError, match=r"attention .*probe.forward\(\).*SDPBackend.MATH"):
        probe.observe(functional.cross_entropy(model(x), y))
    with probe.forward():
        loss = functional.cross_entropy(model(x), y)
        g, hessian = explicit(functional.cross_entropy(model(x), y), list(model.parameters()), 0.0)
    found = probe.observe(loss, scale=1.0)
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-8)


class Checkpointed(nn.Module):
    def __init__(self, inner, reentrant):
        super().__init__()
        self.inner, self.reentrant = inner, reentrant

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=self.reentrant)


def test_checkpointed_activations_are_right_or_refused():
    x, y = images_and_labels()
    inner = small_model(nn.BatchNorm1d(6))
    g, hessian = explicit(functional.cross_entropy(inner(x), y), list(inner.parameters()), 0.0)
    before = state_of(inner)
    kept, plain = (Checkpointed(copy.deepcopy(inner), False) for _ in range(2))
    probe = CurvatureProbe(kept, every(1))
    loss = functional.cross_entropy(kept(x), y)
    after = state_of(kept.inner)
    assert not torch.equal(after["1.running_mean"], before["1.running_mean"])
    found = probe.observe(loss)
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-9)
    assert all(torch.equal(after[name], now) for name, now in state_of(kept.inner).items())
    loss.backward()
    functional.cross_entropy(plain(x), y).backward()
    for a, b in zip(kept.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("first", [nn.Identity(), nn.Linear(5, 5).double()])
@pytest.mark.parametrize("last", [nn.Identity(), nn.Linear(3, 3).double()])
def test_the_reentrant_way_to_checkpoint_is_refused(first, last):
    """Without weights before it, torch would take those inside for unused without a word."""
    x, y = images_and_labels()
    wrong = nn.Sequential(first, Checkpointed(small_model(), True), last)
    loss = functional.cross_entropy(wrong(x.requires_grad_()), y)
    with pytest.raises(ValueError, match="reentrant way.*use_reentrant=False"):
        CurvatureProbe(wrong, every(1)).observe(loss)


def test_shared_weights_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
            self.second.weight = self.first.weight

        def forward(self, x):
            return self.second(torch.tanh(self.first(x)))

    torch.manual_seed(0)
    model, (x, y) = Tied().double(), images_and_labels()
    parameters = list(model.parameters())
    assert len(parameters) == 3
    g, hessian = explicit(functional.cross_entropy(model(x), y), parameters, 0.1)
    found = CurvatureProbe(model, every(1), 0.1).observe(functional.cross_entropy(model(x), y))
    assert found.curvature == pytest.approx(quotient(g, hessian), rel=1e-9)


def test_complex_sharded_and_sparse_are_refused_by_name():
    real = nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="complex tensor: pass its real and imaginary parts"):
        CurvatureProbe([real, nn.Parameter(torch.ones(2, dtype=torch.cfloat))], every(1))

    class DTensor(nn.Parameter):
        pass

    with pytest.raises(ValueError, match="shards of weights"):
        CurvatureProbe([real, DTensor(torch.ones(2))], every(1))
    model = nn.Sequential(nn.Embedding(4, 2, sparse=True), nn.Linear(2, 1))
    with pytest.raises(ValueError, match="a gradient is sparse: .*sparse=False"):
        CurvatureProbe(model, every(1)).observe(model(torch.tensor([1, 2])).square().sum())


def test_what_is_not_to_be_kept_is_used_up():
    """As by loss.backward(), so that a measured step holds no two graphs."""
    x, y = images_and_labels()
    model = small_model()
    loss = functional.cross_entropy(model(x), y)
    measure(loss, list(model.parameters()))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


def test_a_mean_over_ranks_is_their_sum_by_their_number(monkeypatch):
    monkeypatch.setattr(measurement.distributed, "all_reduce", lambda values: values.mul_(6))
    monkeypatch.setattr(measurement.distributed, "get_world_size", lambda: 3)
    x, y = images_and_labels()
    model = small_model()
    alone, _ = measure(functional.cross_entropy(model(x), y), list(model.parameters()))
    W, loss = list(model.parameters()), functional.cross_entropy(model(x), y)
    together, _ = measure(loss, W, over_ranks=True)  # each "mean" is twice what is here
    expected = 2 * alone.loss, 4 * alone.squared_gradient_norm, 2 * alone.curvature
    # H is reduced once more than its direction, g, which is twice as long: 2 (2g)·2H(2g) / ‖2g‖²
    assert together == pytest.approx(expected, rel=1e-12)


# The loss that is meant.


def two_groups(kind=torch.optim.SGD, decay=0.1, **more):
    model = small_model()
    weights, biases = ([p for p in model.parameters() if p.ndim == n] for n in (2, 1))
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
    return model, kind(groups, lr=0.1, **more)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_each_group_s_weight_decay_is_read_when_it_is_measured(kind):
    x, y = images_and_labels()
    model, optimizer = two_groups(kind)
    probe = CurvatureProbe.of_optimizer(optimizer, every(1))
    for decay in (0.1, 0.4):
        optimizer.param_groups[0]["weight_decay"] = decay
        loss = functional.cross_entropy(model(x), y)
        regulariser = decay / 2 * sum((p**2).sum() for p in model.parameters() if p.ndim == 2)
        expected, _ = measure(loss + regulariser, list(model.parameters()))
        found = probe.observe(functional.cross_entropy(model(x), y), scale=1.0)
        assert found[1:] == pytest.approx(expected, rel=1e-10)


def test_one_weight_decay_for_each_parameter():
    x, y = images_and_labels()
    model = small_model()
    frozen = next(model.parameters()).requires_grad_(False)
    each = [9.0] + [0.3] * (len(list(model.parameters())) - 1)  # what is frozen has no say
    assert frozen is next(model.parameters())
    found = CurvatureProbe(model, every(1), each).observe(functional.cross_entropy(model(x), y))
    expected, _ = measure(functional.cross_entropy(model(x), y), list(model.parameters()), 0.3)
    assert found[1:] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="one for each of the 4 parameters; got 1"):
        measure(functional.cross_entropy(model(x), y), list(model.parameters()), [0.1])


def test_decoupled_weight_decay_is_named_for_what_it_is():
    for kind, more in ((torch.optim.AdamW, {}), (torch.optim.NAdam, {"decoupled_weight_decay": 1})):
        with pytest.raises(ValueError, match=f"decay of {kind.__name__} is decoupled .*0.0 for"):
            CurvatureProbe.of_optimizer(two_groups(kind, **more)[1], every(1))
        _, without = two_groups(kind, decay=0.0, **more)
        assert CurvatureProbe.of_optimizer(without, every(1)).optimizer is without


# State.


def test_a_probe_goes_on_where_another_stopped():
    x, y = images_and_labels()
    whole, half = (CurvatureProbe(small_model(), every(2)) for _ in range(2))
    model = small_model()
    for probe, steps in ((whole, 6), (half, 3)):
        for _ in range(steps):
            probe.parameters = list(model.parameters())
            probe.observe(functional.cross_entropy(model(x), y), scale=1.0)
    state = torch.load(saved(half.state_dict()), weights_only=True)
    again = CurvatureProbe(model, every(2))
    again.load_state_dict(state)
    for _ in range(3):
        again.observe(functional.cross_entropy(model(x), y), scale=1.0)
    assert again.records == whole.records and again.step == whole.step
    for bad in ({}, {"step": -1, "records": []}, {"step": 1, "records": [[1, 2]]}, None):
        with pytest.raises(ValueError, match="state must be what state_dict"):
            again.load_state_dict(bad)
    assert again.records == whole.records


def saved(state):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"ranks": "all"}, "ranks must be 'own' or 'mean', not 'all'"),
        ({"on_record": 3}, "on_record must be a function"),
        ({"weight_decay": "small"}, "weight_decay must be a finite number"),
        ({"weight_decay": [0.1, -1.0]}, "weight_decay must be a finite number"),
        ({"weight_decay": None}, "weight_decay must be a finite number"),
        ({"parameters": nn.ReLU()}, "no tensor that requires a gradient"),
        ({"schedule": 10}, "schedule must be a function"),
    ],
)
def test_what_is_wrong_with_the_new_arguments_is_said_at_once(wrong, words):
    given = {"parameters": small_model(), "schedule": every(1), **wrong}
    with pytest.raises((ValueError, TypeError), match=words):
        CurvatureProbe(**given)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "2", True])
def test_a_scale_is_a_positive_number(scale):
    x, y = images_and_labels()
    model = small_model()
    probe = CurvatureProbe(model, every(1))
    with pytest.raises(ValueError, match="scale must be positive and finite"):
        probe.observe(functional.cross_entropy(model(x), y), scale=scale)
    assert not probe.records


# Several processes.

RANK = """
import sys, torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.functional import cross_entropy
from pscore import CurvatureProbe, every
from pscore.probe import measure

rank, ranks, file, probed = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] == "1"
distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()
x, y = torch.randn(24, 5, dtype=torch.float64), torch.randint(3, (24,))
alone = model  # its weights are the wrapped model's
ddp = DistributedDataParallel(model)
optimizer = torch.optim.SGD(ddp.parameters(), 0.5)
probe = CurvatureProbe(ddp, every(3) if probed else lambda step: False, 0.01, ranks=ranks)
own = slice(12 * rank, 12 * rank + 12)
for step in range(9):
    optimizer.zero_grad()
    part = slice(0, 24) if ranks == "mean" else own
    expected, _ = measure(cross_entropy(alone(x[part]), y[part]), list(alone.parameters()), 0.01)
    record = probe.backward(cross_entropy(ddp(x[own]), y[own]))
    if record is not None:
        torch.testing.assert_close(torch.tensor(record[1:]), torch.tensor(expected))
    optimizer.step()
print(len(probe.records), *(repr(float(p.detach().sum())) for p in ddp.parameters()))
distributed.destroy_process_group()
"""


def two_ranks(tmp_path, ranks, probed):
    command = [sys.executable, "-c", RANK]
    rest = [ranks, str(tmp_path / f"meet-{ranks}-{probed}"), str(int(probed))]
    started = [
        subprocess.Popen(
            [*command, str(rank), *rest],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for rank in range(2)
    ]
    said = [one.communicate(timeout=120) for one in started]
    assert [one.returncode for one in started] == [0, 0], said
    return [out.split() for out, _ in said]


@pytest.mark.parametrize("ranks", ["own", "mean"])
def test_two_processes_stay_together_and_each_says_what_it_measured(tmp_path, ranks):
    """Their weights are equal at the end, bit for bit, and those of a run without a probe."""
    first, second = two_ranks(tmp_path, ranks, probed=True)
    assert first == second and first[0] == "3"
    assert two_ranks(tmp_path, ranks, probed=False)[0][1:] == first[1:]
